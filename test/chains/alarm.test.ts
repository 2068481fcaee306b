import { describe, expect, it } from 'vitest'
import { createAlarm } from '../../src/chains/alarm.ts'
import { testEnv } from '../fakes/env.ts'
import { OK, unavailable } from '../fakes/provider.ts'
import { line, scope, start, step, world } from './set-up.ts'

describe('alarm', () => {
  it('rings once for each moment, near ones together, those beyond the horizon and those that are past not at all', async () => {
    const { clock } = testEnv()
    let rung = 0
    const alarm = createAlarm(clock, () => rung++)
    const now = clock.now()
    for (const ms of [501, 505, 3000, 90_000, -5]) alarm.at(now + ms)
    await clock.advance(499)
    expect(rung).toBe(0)
    await clock.advance(21)
    expect(rung).toBe(1)
    await clock.advance(3000)
    expect(rung).toBe(2)
    await clock.advance(120_000)
    expect(rung).toBe(2)
    alarm.at(clock.now() + 100)
    alarm.stop()
    alarm.at(clock.now() + 50)
    await clock.advance(1000)
    expect(rung).toBe(2)
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
    // Its time limit was too far off when it was put down: that is for the loop, or for the next time it is put down.
    await w.env.clock.advance(40_000)
    await chains.signal(scope, id, { name: 'nobody', payload: null, by: 'ann' })
    await w.env.clock.advance(54_000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out' })
  })
})
