import { describe, expect, it } from 'vitest'
import { createAlarm } from '../../src/chains/drive/alarm.ts'
import { testEnv } from '../fakes/env.ts'
import { OK, unavailable } from '../fakes/provider.ts'
import { line, scope, start, step, world } from './set-up.ts'

describe('alarm', () => {
  it('rings once, at the earliest of the moments it was told; what is past rings at once', async () => {
    const { clock } = testEnv()
    const rung: number[] = []
    const alarm = createAlarm(clock, () => rung.push(clock.now()))
    const now = clock.now()
    for (const ms of [3000, 505, 90_000, 505]) alarm.at(now + ms)
    expect([alarm.isSet, clock.pending]).toEqual([true, 1])
    await clock.advance(120_000)
    expect(rung).toEqual([now + 505])
    expect(alarm.isSet).toBe(false)
    alarm.at(now)
    await clock.advance(0)
    expect(rung).toEqual([now + 505, now + 120_000])
    // Further off than timers go it looks in between.
    alarm.at(now + 1e12)
    await clock.advance(3_600_000)
    expect(rung).toHaveLength(3)
    alarm.at(clock.now() + 100)
    alarm.stop()
    alarm.at(clock.now() + 50)
    await clock.advance(1000)
    expect(rung).toHaveLength(3)
    expect(clock.pending).toBe(0)
  })

  it('a wait, a back-off and a time limit end when they are due, though no loop comes round', async () => {
    const waits = { name: 'rest', wait: { seconds: 2 } }
    const again = step('try', 'p', { retry: { max_attempts: 2, backoff: 'fixed', initial_ms: 4000 } })
    const w = await world([line(waits, again, { name: 'never', wait_for_signal: { signal: 'x' } })], {
      p: { script: [unavailable(), OK] },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(1990)
    expect(w.providers['p']!.sent).toHaveLength(0)
    await w.env.clock.advance(40)
    expect(w.providers['p']!.sent).toHaveLength(1)
    await w.env.clock.advance(4040)
    expect(w.providers['p']!.sent).toHaveLength(2)
    await w.env.clock.advance(93_900)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
    await w.env.clock.advance(100)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out' })
  })

  it('what another process put down is woken when it is due too, once this one has looked', async () => {
    const w = await world([line({ name: 'rest', wait: { seconds: 50 } }, step('next'))], { p: {} })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.advance(1000)
    await first.stop()
    const second = await w.node()
    await second.pull()
    await w.env.clock.advance(48_900)
    expect(w.providers['p']!.sent).toHaveLength(0)
    await w.env.clock.advance(1200)
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed' })
  })
})
