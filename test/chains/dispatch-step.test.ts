import { describe, expect, it } from 'vitest'
import { good } from '../../src/chains/model/outcomes.ts'
import type { Dispatcher } from '../../src/chains/model/step-kind.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { actionOf, scope, start, step, stepsOf, world } from './set-up.ts'

type End = Awaited<ReturnType<Dispatcher['dispatch']>>
const later = (): End => ({
  result: { success: false, fallback: false, status: 429, body: null, error: { code: 'throttled', message: 'later' } },
  retryable: true,
  unknown: false,
})
const lost = (): End => ({
  result: {
    success: false,
    fallback: false,
    status: 504,
    body: null,
    error: { code: 'timeout', message: 'who knows' },
  },
  retryable: true,
  unknown: true,
})
const done: End = { result: good({ outcome: 'executed' }, 200), retryable: false, unknown: false }

/** Rules that answer one after another; the last answer again and again. */
async function chainOf(steps: readonly JsonObject[], answers: readonly ((now: number) => End | Promise<End>)[]) {
  const w = await world([{ name: 'line', timeout_seconds: 1000, steps }], { p: {}, u: {} })
  const asked: { token: string; id: string; at: number; payload: unknown; within: number }[] = []
  const dispatch: Dispatcher = {
    async dispatch(action, { token, deadline }) {
      const answer = answers[Math.min(asked.length, answers.length - 1)]!
      const now = w.env.clock.now()
      asked.push({ token, id: action.id, at: now, payload: action.payload, within: deadline - now })
      return await answer(now)
    },
  }
  const chains = await w.node(w.memory.state, { dispatch })
  const id = await start(w, chains, w.memory.state, 'line', actionOf({ no: 7 }))
  await w.env.clock.settle()
  return { w, chains, id, asked, dispatch }
}
const tell = (more: JsonObject = {}, dispatch: JsonObject = {}) => ({
  name: 'tell',
  dispatch: { action_type: 'told', ...dispatch },
  ...more,
})

describe('dispatch', () => {
  it('asks again under the same token for as long as nobody knows, and that is no attempt of its policy', async () => {
    const retry = { max_attempts: 2, backoff: 'fixed', initial_ms: 1000 }
    const ask = (now: number): End => ({ askAt: now + 500, unknown: false })
    const { w, chains, id, asked } = await chainOf(
      [tell({ retry }), step('last')],
      [ask, ask, ask, later, ask, () => done],
    )
    await w.env.clock.advance(1400)
    expect(asked.map((a) => a.at - asked[0]!.at)).toEqual([0, 500, 1000])
    await w.env.clock.advance(5000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(stepsOf(view)['tell']).toMatchObject({ status: 'completed', attempts: 2 })
    const tokens = asked.map((a) => a.token)
    expect(tokens).toHaveLength(6)
    expect(new Set(tokens).size).toBe(1)
    expect(new Set(asked.map((a) => a.id)).size).toBe(1)
  })

  it('gives the payload of the origin where it has none of its own, and refuses one that is no object', async () => {
    const own = await chainOf([tell()], [() => done])
    expect(own.asked[0]!.payload).toEqual({ no: 7 })
    const wrong = await chainOf([tell({}, { payload: '{{origin.payload.no}}' })], [() => done])
    expect(wrong.asked).toEqual([])
    expect(await wrong.chains.get(scope, wrong.id)).toMatchObject({
      status: 'failed',
      error: { code: 'invalid_payload' },
    })
  })

  it('that throws is not an end: the execution goes on when its claim has run out', async () => {
    let broken = true
    const { w, chains, id, asked } = await chainOf(
      [tell()],
      [() => (broken ? Promise.reject(new TypeError('a fault')) : done)],
    )
    expect(await chains.get(scope, id)).toMatchObject({ status: 'running' })
    expect(w.env.logged.some((l) => l.level === 'error')).toBe(true)
    broken = false
    await chains.pull()
    await w.env.clock.advance(31_000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(new Set(asked.map((a) => a.token)).size).toBe(1)
  })

  it('leaves no dead letter: what the rules could not deliver has left one of its own', async () => {
    const no = (): End => ({
      result: { success: false, fallback: false, status: 502, body: null, error: { code: 'failed', message: 'no' } },
      retryable: false,
      unknown: false,
    })
    const { w, chains, id } = await chainOf([tell()], [no])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    expect((await w.memory.state.list('dead_letter', scope, { limit: 9 })).entries).toEqual([])
  })

  it('is told how long it may take', async () => {
    const { asked } = await chainOf([tell({ timeout_seconds: 2 })], [() => done])
    expect(asked[0]!.within).toBe(2000)
  })

  const undone = { compensate: { provider: 'u', action_type: 'untell' } }
  it('whose end is unknown is undone with what was done, however a later attempt ends', async () => {
    const no = (): End => ({ ...later(), retryable: false })
    const retry = { max_attempts: 2, backoff: 'fixed', initial_ms: 1000 }
    for (const answers of [[lost], [lost, no]]) {
      const { w, chains, id, asked } = await chainOf([tell({ retry, ...undone })], answers)
      await w.env.clock.advance(2000)
      expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
      expect(asked).toHaveLength(2)
      expect(w.providers['u']!.sent).toHaveLength(1)
    }
    const { w, chains, id } = await chainOf([tell(undone)], [no])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    expect(w.providers['u']!.sent).toEqual([])
  })

  it('that is cancelled while nobody knows of it is undone, and one that was not done is not', async () => {
    for (const unknown of [true, false]) {
      const { w, chains, id } = await chainOf([tell(undone)], [(now) => ({ askAt: now + 500, unknown })])
      await chains.cancel(scope, id, 'ann')
      for (let i = 0; i < 3; i++) await w.env.clock.settle()
      expect(await chains.get(scope, id)).toMatchObject({ status: unknown ? 'compensated' : 'cancelled' })
    }
  })
})
