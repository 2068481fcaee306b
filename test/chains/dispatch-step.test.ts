import { describe, expect, it } from 'vitest'
import { good } from '../../src/chains/model/outcomes.ts'
import type { Dispatcher } from '../../src/chains/model/step-kind.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { actionOf, scope, start, step, stepsOf, world } from './set-up.ts'

type End = Awaited<ReturnType<Dispatcher['dispatch']>>
const later = (): End => ({
  result: { success: false, fallback: false, status: 429, body: null, error: { code: 'throttled', message: 'later' } },
  retryable: true,
})
const done: End = { result: good({ outcome: 'executed' }, 200), retryable: false }

/** Rules that answer one after another; the last answer again and again. */
async function chainOf(steps: readonly JsonObject[], answers: readonly ((now: number) => End | Promise<End>)[]) {
  const w = await world([{ name: 'line', timeout_seconds: 1000, steps }], { p: {} })
  const asked: { token: string; id: string; at: number; payload: unknown }[] = []
  const dispatch: Dispatcher = {
    async dispatch(action, { token }) {
      const answer = answers[Math.min(asked.length, answers.length - 1)]!
      asked.push({ token, id: action.id, at: w.env.clock.now(), payload: action.payload })
      return await answer(w.env.clock.now())
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
    const ask = (now: number): End => ({ askAt: now + 500 })
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
    expect(new Set(tokens.slice(0, 4)).size).toBe(1)
    expect(tokens.slice(4)).toEqual([`${tokens[0]}/2`, `${tokens[0]}/2`])
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
    })
    const { w, chains, id } = await chainOf([tell()], [no])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    expect((await w.memory.state.list('dead_letter', scope, { limit: 9 })).entries).toEqual([])
  })
})
