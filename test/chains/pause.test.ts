import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import type { StateStore } from '../../src/core/state.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, held, OK, unavailable } from '../fakes/provider.ts'
import { actionOf, line, pullFor, scope, slow, start, step, stepsOf, world } from './set-up.ts'

const ask = (more: JsonObject = {}) => ({ name: 'ask', wait_for_signal: { signal: 'go', ...more } })
const said = { name: 'go', payload: null, by: 'ann' }

describe('pause', () => {
  it('lets a step under way finish and begins no other, until it is resumed', async () => {
    const h = held()
    const w = await world([line(step('a'), step('b'))], { p: { script: [h.answer, OK] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await chains.pause(scope, id, 'ann')).toMatchObject({ chain_id: id, pause_requested: true })
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ paused_by: 'ann' })
    await expect(chains.pause(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_paused' })
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', steps_taken: 1, current_step: 'b' })
    // Long after its time limit: that stands still.
    await pullFor(w, chains, 500)
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect(await chains.resume(scope, id, 'ann')).toMatchObject({ resume_requested: true })
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(view).not.toHaveProperty('paused_by')
    await expect(chains.resume(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_ended' })
    await expect(chains.pause(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_ended' })
  })

  it('that comes beside a cancel, or twice, does nothing more', async () => {
    const h = held()
    const compensate = { provider: 'u', action_type: 'undo' }
    const w = await world([line(step('a', 'p', { compensate }), step('b'))], { p: { script: [h.answer, OK] }, u: {} })
    const chains = await w.node()
    const cancelled = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    // Both wait for the node that acts on it, which looks by itself from time to time.
    const other = await w.node()
    await other.pause(scope, cancelled, 'ann')
    await other.cancel(scope, cancelled, 'bob')
    await w.env.clock.advance(5_000)
    h.finish(OK)
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    expect(await chains.get(scope, cancelled)).toMatchObject({ status: 'compensated', cancelled_by: 'bob' })

    const twice = await start(w, chains, w.memory.state, 'line', actionOf({}))
    await Promise.all([chains.pause(scope, twice, 'ann'), chains.pause(scope, twice, 'bob')])
    for (let i = 0; i < 4; i++) await w.env.clock.settle()
    const events = (await chains.history(scope, twice, { limit: 100 }))?.entries
    expect(JSON.stringify(events).match(/"type":"paused"/g)).toHaveLength(1)
  })

  it('holds the time of waits, of limits on them, of back-off and of the execution; a moment of the calendar comes', async () => {
    const w = await world(
      [
        {
          name: 'line',
          timeout_seconds: 200,
          steps: [
            { name: 'wait', needs: [], wait: { seconds: 60 } },
            { ...ask({ timeout_seconds: 60, on_timeout: 'continue' }), needs: [] },
            { name: 'moment', needs: [], wait: { until: '{{origin.payload.at}}' } },
            { ...step('again', 'p', { retry: { max_attempts: 2, backoff: 'fixed', initial_ms: 60_000 } }), needs: [] },
          ],
        },
      ],
      { p: { script: [unavailable(60_000), OK] } },
    )
    const chains = await w.node()
    const moment = new Date(w.env.clock.now() + 60_000).toISOString()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ at: moment }))
    await pullFor(w, chains, 50)
    await expect(chains.resume(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_not_paused' })
    await chains.pause(scope, id, 'ann')
    await pullFor(w, chains, 1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', steps_taken: 0 })
    await chains.resume(scope, id, 'ann')
    await w.env.clock.settle()
    const statuses = async () => {
      const steps = stepsOf(await chains.get(scope, id))
      return ['wait', 'ask', 'moment', 'again'].map((s) => steps[s]!['status'])
    }
    expect(await statuses()).toEqual(['waiting', 'waiting', 'completed', 'pending'])
    await pullFor(w, chains, 200)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: expect.any(Number) })
  })

  it('shows no moment that stands still meanwhile as one that has passed', async () => {
    const steps = [
      { name: 'wait', needs: [], wait: { seconds: 60 } },
      { name: 'moment', needs: [], wait: { until: '{{origin.payload.at}}' } },
      { ...step('again', 'p', { retry: { max_attempts: 2, backoff: 'fixed', initial_ms: 60_000 } }), needs: [] },
    ]
    const w = await world([{ name: 'line', steps }], { p: { script: [unavailable(60_000), OK] } })
    const chains = await w.node()
    const at = new Date(w.env.clock.now() + 1_000_000).toISOString()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ at }))
    await pullFor(w, chains, 1)
    const moments = async () => {
      const view = (await chains.get(scope, id))!
      const { wait, moment, again } = stepsOf(view)
      return [view, wait!, moment!, again!].map((v) =>
        Object.keys(v).filter((k) => ['expires_at', 'not_before', 'waits_until'].includes(k)),
      )
    }
    const running = [['not_before', 'expires_at'], ['waits_until'], ['waits_until'], ['not_before']]
    expect(await moments()).toEqual(running)
    await chains.pause(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await moments()).toEqual([[], [], ['waits_until'], []])
    await chains.resume(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await moments()).toEqual(running)
  })

  it('is taken back, and said again, also before anybody has acted on what was said before', async () => {
    const h = held()
    const w = await world([line(step('a'), ask())], { p: { script: [h.answer] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    // What is said here waits for the node that drives it, which looks by itself from time to time.
    const other = await w.node()
    await other.pause(scope, id, 'ann')
    await other.resume(scope, id, 'ann')
    await expect(other.resume(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_not_paused' })
    await w.env.clock.advance(5_000)
    expect(await other.get(scope, id)).not.toHaveProperty('paused_at')
    await other.pause(scope, id, 'ann')
    await w.env.clock.advance(5_000)
    expect(await other.get(scope, id)).toMatchObject({ paused_by: 'ann' })
    await other.resume(scope, id, 'bob')
    await other.pause(scope, id, 'cyd')
    await expect(other.pause(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_paused' })
    await w.env.clock.advance(5_000)
    expect(await other.get(scope, id)).toMatchObject({ paused_by: 'cyd' })
    h.finish(OK)
    await w.env.clock.settle()
  })

  it('is taken back also where it is acted on between two looks', async () => {
    const w = await world([line(ask())], {})
    const chains = await w.node()
    let isDone = false
    const slowly: StateStore = {
      ...w.memory.state,
      async get(keys) {
        const found = await w.memory.state.get(keys)
        if (!isDone) {
          isDone = true
          await chains.pause(scope, id, 'ann')
          await w.env.clock.settle()
        }
        return found
      },
    }
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    const other = await w.node(slowly)
    expect(await other.resume(scope, id, 'bob')).toMatchObject({ resume_requested: true })
    await pullFor(w, chains, 5)
    expect(await chains.get(scope, id)).not.toHaveProperty('paused_at')
  })

  it('still ends an execution in time, counted without the pause', async () => {
    const w = await world([line(ask())], {})
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 60)
    await chains.pause(scope, id, 'ann')
    await pullFor(w, chains, 600)
    await chains.resume(scope, id, 'ann')
    await pullFor(w, chains, 30)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
    await pullFor(w, chains, 20)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out' })
  })

  it('does not run out for its sub-chains either, nor for what they begin meanwhile', async () => {
    const inner = { name: 'inner', timeout_seconds: 1000, steps: [ask(), step('b')] }
    for (const sub of [{}, { timeout_seconds: 80 }]) {
      const env = testEnv()
      const w = await world(
        [
          line({ name: 'sub', sub_chain: 'middle', ...sub }),
          { name: 'middle', steps: [{ name: 'm', sub_chain: 'inner' }] },
          inner,
        ],
        { p: { script: [slow(env, 20_000)] } },
        { env },
      )
      const chains = await w.node()
      const id = await start(w, chains, w.memory.state, 'line')
      await pullFor(w, chains, 50)
      await chains.pause(scope, id, 'ann')
      await pullFor(w, chains, 40)
      const [child] = (await chains.list(scope, { name: 'inner', limit: 1 })).chains
      await chains.signal(scope, child!['chain_id'] as string, said)
      // It would be over before the attempt is.
      await pullFor(w, chains, 100)
      expect(await chains.get(scope, child!['chain_id'] as string)).toMatchObject({ status: 'completed' })
      expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    }
  })

  it('runs on for them when it goes on', async () => {
    for (const sub of [{}, { timeout_seconds: 80 }]) {
      const limit = 'timeout_seconds' in sub ? 80 : 100
      const w = await world(
        [line({ name: 'sub', sub_chain: 'inner', ...sub }), { name: 'inner', timeout_seconds: 1000, steps: [ask()] }],
        {},
      )
      const chains = await w.node()
      const id = await start(w, chains, w.memory.state, 'line')
      await pullFor(w, chains, 50)
      await chains.pause(scope, id, 'ann')
      await pullFor(w, chains, 200)
      await chains.resume(scope, id, 'ann')
      await pullFor(w, chains, limit - 60)
      expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
      await pullFor(w, chains, 20)
      expect(await chains.get(scope, id)).toMatchObject({ error: { code: 'timed_out' } })
      const [child] = (await chains.list(scope, { name: 'inner', limit: 1 })).chains
      expect(child).toMatchObject({ status: 'timed_out', error: { message: expect.stringContaining('of its parent') } })
    }
  })

  it('moves a back-off that began meanwhile by what was left of it only', async () => {
    const h = held()
    const w = await world(
      [line(step('a', 'a', { retry: { max_attempts: 2, backoff: 'fixed', initial_ms: 1000 } }))],
      { a: { script: [h.answer, OK], timeoutMs: 200_000 } },
      { config: { stepDeadlineSeconds: 200 } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await chains.pause(scope, id, 'ann')
    await w.env.clock.advance(50_000)
    h.finish(unavailable())
    await w.env.clock.advance(10_000)
    await chains.resume(scope, id, 'ann')
    await w.env.clock.advance(1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('of a graph stands still also before a reset of it', async () => {
    const wait = { name: 'w', needs: [], wait: { seconds: 50 } }
    const w = await world([line({ ...step('a'), needs: [] }, wait)], { p: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 20)
    await chains.pause(scope, id, 'ann')
    await pullFor(w, chains, 60)
    await chains.reset(scope, id, { step: 'a', by: 'ann' })
    await chains.resume(scope, id, 'ann')
    await pullFor(w, chains, 20)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
    await pullFor(w, chains, 20)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('keeps what is said meanwhile for when it goes on', async () => {
    const w = await world([line(ask({ timeout_seconds: 60 }))], {})
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 30)
    await chains.pause(scope, id, 'ann')
    await pullFor(w, chains, 100)
    await chains.signal(scope, id, said)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', steps_taken: 0 })
    await chains.resume(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('of a group lets members under way finish and begins no others', async () => {
    const ends = [held(), held()]
    const w = await world(
      [
        line({
          name: 'each',
          for_each: {
            items: [1, 2, 3, 4],
            max_concurrency: 2,
            step: { provider: 'p', action_type: 'x', payload_template: { no: '{{item}}' } },
          },
        }),
      ],
      { p: { script: [...ends.map((h) => h.answer), OK] } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await chains.pause(scope, id, 'ann')
    await w.env.clock.settle()
    for (const h of ends) h.finish(OK)
    await w.env.clock.settle()
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', steps_taken: 2 })
    await chains.resume(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(4)
  })

  it('of one that is in line for its lock keeps its place, and it begins when both are there', async () => {
    const h = held()
    const locked = { name: 'locked', lock_by: 'payload.device', steps: [step('one')] }
    const w = await world([locked], { p: { script: [h.answer, OK] } })
    const chains = await w.node()
    const of = (no: number) => actionOf({ device: 'd1', no })
    const a = await start(w, chains, w.memory.state, 'locked', of(1))
    const b = await start(w, chains, w.memory.state, 'locked', of(2))
    const c = await start(w, chains, w.memory.state, 'locked', of(3))
    await w.env.clock.settle()
    await chains.pause(scope, b, 'ann')
    await w.env.clock.settle()
    h.finish(OK)
    await pullFor(w, chains, 30)
    const status = async (id: string) => (await chains.get(scope, id))!['status']
    expect([await status(a), await status(b), await status(c)]).toEqual(['completed', 'pending', 'pending'])
    expect(await chains.get(scope, b)).toMatchObject({ paused_by: 'ann' })
    await chains.resume(scope, b, 'ann')
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect([await status(b), await status(c)]).toEqual(['completed', 'completed'])
    expect(w.providers['p']!.sent).toHaveLength(3)
  })

  it('a cancel ends a paused execution at once', async () => {
    const w = await world([line(step('a'), ask())], { p: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await chains.pause(scope, id, 'ann')
    await w.env.clock.settle()
    await chains.cancel(scope, id, 'bob')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'cancelled', cancelled_by: 'bob' })
    expect((await w.memory.state.list('inbox', scope, { limit: 9 })).entries).toEqual([])
  })

  it('a cancel ends it also where a step has failed meanwhile, and what was done is undone', async () => {
    const h = held()
    const undo = { compensate: { provider: 'u', action_type: 'undo' } }
    const w = await world([line(step('a', 'a', undo), step('b', 'b'), step('c', 'c'))], {
      a: {},
      b: { script: [h.answer] },
      c: {},
      u: {},
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await chains.pause(scope, id, 'ann')
    await w.env.clock.settle()
    h.finish(badRequest())
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', paused_by: 'ann' })
    await chains.cancel(scope, id, 'bob')
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
    expect(w.providers['u']!.sent).toHaveLength(1)
  })

  it('of one that is about to end is refused', async () => {
    const h = held()
    const w = await world([line(step('a'), step('b'))], { p: { script: [h.answer] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await chains.cancel(scope, id, 'ann')
    await w.env.clock.settle()
    await expect(chains.pause(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_ending' })
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'cancelled' })
  })

  it('is durable: another node that comes after does not go on either', async () => {
    const w = await world([line(step('a'), ask(), step('b'))], { p: {} })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.settle()
    await first.pause(scope, id, 'ann')
    await w.env.clock.settle()
    await first.stop()
    const second = await w.node()
    await second.signal(scope, id, said)
    await pullFor(w, second, 100)
    expect(await second.get(scope, id)).toMatchObject({ status: 'waiting', steps_taken: 1 })
    await second.resume(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed' })
  })
})
