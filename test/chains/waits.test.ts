import { describe, expect, it } from 'vitest'
import { isoTime } from '../../src/core/clock.ts'
import { OK, unavailable } from '../fakes/provider.ts'
import { actionOf, scope, start, step, stepsOf, world } from './set-up.ts'

const wait = { name: 'wait', wait: { seconds: '{{origin.payload.s}}' } }
const line = (...steps: object[]) => ({ name: 'line', timeout_seconds: 100_000, steps }) as never
const due = async (w: Awaited<ReturnType<typeof world>>) =>
  (await w.memory.state.depths()).find((d) => d.kind === 'run')

describe('wait', () => {
  it('for seconds and until a moment: over at that moment, without anybody looking', async () => {
    const w = await world([line(wait, { name: 'until', wait: { until: '{{origin.payload.at}}' } }, step('last'))], {
      p: {},
    })
    const chains = await w.node()
    const began = w.env.clock.now()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ s: 7.5, at: isoTime(began + 20_000) }))
    await w.env.clock.advance(7_499)
    expect(stepsOf(await chains.get(scope, id))['wait']).toMatchObject({
      status: 'waiting',
      waits_until: isoTime(began + 7_500),
    })
    await w.env.clock.advance(1)
    expect(stepsOf(await chains.get(scope, id))['wait']).toMatchObject({
      status: 'completed',
      output: { body: { waited_until: isoTime(began + 7_500) } },
    })
    await w.env.clock.advance(12_499)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', current_step: 'until' })
    await w.env.clock.advance(1)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 20_000 })
  })

  it('a moment after the year 9999 cannot be written down: refused, and a failure where data gives it', async () => {
    const w = await world([line({ name: 'until', wait: { until: '{{origin.payload.at}}' } })], { p: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ at: '9999-12-31T23:59:59-01:00' }))
    await w.env.clock.advance(1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', error: { code: 'invalid_wait' } })
  })

  it('a back-off of less than a look takes no longer than it says', async () => {
    const retry = { max_attempts: 3, backoff: 'fixed', initial_ms: 100 }
    const w = await world([line(step('one', 'p', { retry }))], { p: { script: [unavailable(), unavailable(), OK] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(200)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('a node that comes after has it in time, and so has one that opens the data anew', async () => {
    const w = await world([line(wait, step('last'))], { p: {} })
    const first = await w.node()
    const ids = [
      await start(w, first, w.memory.state, 'line', actionOf({ s: 60 })),
      await start(w, first, w.memory.state, 'line', actionOf({ s: 90 })),
    ]
    await w.env.clock.advance(10_000)
    await first.stop()
    const second = await w.node()
    await second.pull()
    await w.env.clock.advance(49_999)
    expect(await second.get(scope, ids[0]!)).toMatchObject({ status: 'waiting' })
    await w.env.clock.advance(1)
    expect(await second.get(scope, ids[0]!)).toMatchObject({ status: 'completed' })
    await second.stop()
    const reopened = await w.memory.restart()
    const third = await w.node(reopened.state)
    await third.pull()
    await w.env.clock.advance(30_000)
    expect(await third.get(scope, ids[1]!)).toMatchObject({ status: 'completed' })
  })

  it('a stray wake-up ends no wait, and does not make it longer', async () => {
    const w = await world([line(wait, step('last'))], { p: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ s: 60 }))
    await w.env.clock.advance(10_000)
    await w.memory.state.commit(scope, [{ op: 'wake', kind: 'run', id }])
    expect(await chains.pull()).toBe(1)
    await w.env.clock.advance(49_999)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
    await w.env.clock.advance(1)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('two thousand that wait are due in the store and nowhere else, and are done in time', async () => {
    const w = await world([line(wait)], {})
    const chains = await w.node()
    const timers = w.env.clock.pending
    await Promise.all(
      Array.from({ length: 2000 }, (_, i) =>
        start(w, chains, w.memory.state, 'line', actionOf({ s: 100 + (i % 100) })),
      ),
    )
    for (let i = 0; i < 5; i++) await w.env.clock.settle()
    expect(chains.driven()).toBe(0)
    expect(chains.room()).toBe(64)
    expect(await due(w)).toMatchObject({ waiting: 2000, due: 0 })
    // One timer, whatever waits, once none is left that looks after starts which may be refused.
    await w.env.clock.advance(1000)
    expect(w.env.clock.pending - timers).toBe(1)
    await w.env.clock.advance(149_000)
    expect(await due(w)).toMatchObject({ waiting: 980 })
    await w.env.clock.advance(50_000)
    expect(await due(w)).toBeUndefined()
    await chains.stop()
    expect(w.env.clock.pending).toBe(timers)
  })
})
