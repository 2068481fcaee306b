import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ChainEvent } from '../../src/chains/history.ts'
import type { RunStatus } from '../../src/chains/run.ts'
import { deliveryToken, seededRandom } from '../../src/core/ids.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Receipt } from '../../src/core/provider.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, OK, receiver, type Sent, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { type Crash, crashing } from '../fakes/store.ts'
import { actionOf, both, each, scope, start, type World, world } from './set-up.ts'

/*
 * Small chains of any shape, against an endpoint that does anything: they end, what they say is what happened, and each effect is
 * there once.
 */

/** Same seeds each time; `FC_SEED` and `FC_RUNS` look elsewhere. */
const law = { seed: Number(process.env['FC_SEED'] ?? 20_260_105), numRuns: Number(process.env['FC_RUNS'] ?? 60) }

const retry = fc.record(
  {
    max_attempts: fc.integer({ min: 1, max: 3 }),
    backoff: fc.constantFrom('fixed', 'linear', 'exponential'),
    initial_ms: fc.constantFrom(0, 500, 3000),
  },
  { requiredKeys: ['max_attempts'] },
)
const compensate = fc.constant({ provider: 'undo', action_type: 'undo' })
const sometimes = <T>(a: fc.Arbitrary<T>) => fc.option(a, { nil: undefined, freq: 2 })
const policies = fc.record({
  retry: sometimes(retry),
  timeout_seconds: sometimes(fc.constantFrom(1, 5)),
  delay_seconds: sometimes(fc.constantFrom(0, 2)),
})
const plain = (o: object): JsonObject => JSON.parse(JSON.stringify(o)) as JsonObject

const sends = fc
  .record({ more: policies, compensate: sometimes(compensate) })
  .map((p) => (name: string) => plain({ name, provider: 'p', action_type: 'x', ...p.more, compensate: p.compensate }))
const leaf: fc.Arbitrary<(name: string) => JsonObject> = fc.oneof(
  { weight: 5, arbitrary: sends },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0, 1, 4).map((s) => (name: string) => plain({ name, wait: { seconds: s } })),
  },
  { weight: 1, arbitrary: fc.constant((name: string) => plain({ name, set: { x: '{{origin.id}}' } })) },
  { weight: 1, arbitrary: sometimes(retry).map((r) => (name: string) => plain({ name, sub_chain: 'kid', retry: r })) },
)
const group = fc.record({
  join: fc.constantFrom('all', 'any', 2),
  on_failure: fc.constantFrom('fail_fast', 'best_effort'),
  max_concurrency: fc.integer({ min: 1, max: 3 }),
})
const step: fc.Arbitrary<(name: string) => JsonObject> = fc.oneof(
  { weight: 3, arbitrary: leaf },
  {
    weight: 1,
    arbitrary: fc.record({ of: fc.array(leaf, { minLength: 2, maxLength: 4 }), group, own: policies }).map(
      ({ of, group: g, own }) =>
        (name: string) =>
          plain(
            both(
              name,
              of.map((f, i) => f(`b${i}`)),
              g,
              plain(own),
            ),
          ),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({ n: fc.integer({ min: 0, max: 5 }), of: sends, group, own: policies }).map(
      ({ n, of, group: g, own }) =>
        (name: string) =>
          plain(
            each(
              name,
              Array.from({ length: n }, (_, i) => i),
              of(name),
              g,
              plain(own),
            ),
          ),
    ),
  },
)
const onFailure = sometimes(fc.constantFrom('abort', 'continue', 'dead_letter'))
const sequence = fc
  .array(fc.record({ step, onFailure, jump: sometimes(fc.nat()) }), { minLength: 1, maxLength: 5 })
  .map((all) =>
    all.map(({ step: make, onFailure: on_failure, jump }, i) => {
      const later = all.length - i - 1
      // Judged by a branch: where it failed, to some later step.
      if (jump !== undefined && later > 1)
        return {
          ...make(`s${i}`),
          branches: [{ field: 'success', operator: 'eq', value: false, target: `s${i + 2 + (jump % (later - 1))}` }],
        }
      return plain({ ...make(`s${i}`), on_failure })
    }),
  )
const graph = fc
  .array(fc.record({ step, onFailure, needs: fc.array(fc.nat(), { maxLength: 2 }) }), { minLength: 2, maxLength: 6 })
  .map((all) =>
    all.map(({ step: make, onFailure: on_failure, needs }, i) =>
      plain({ ...make(`s${i}`), on_failure, needs: [...new Set(i === 0 ? [] : needs.map((n) => `s${n % i}`))] }),
    ),
  )
const chain = fc
  .record({ steps: fc.oneof(sequence, graph), timeout_seconds: fc.constantFrom(20, 500) })
  .map((c) => ({ name: 'any', ...c }))
const kid = fc
  .record({ steps: fc.array(sends, { minLength: 1, maxLength: 2 }) })
  .map(({ steps }) => ({ name: 'kid', steps: steps.map((s, i) => s(`k${i}`)) }))

/** What an endpoint does with each attempt: decided by its token and number, so that it does not matter who asks. */
function endpoint(w: () => World, of: number, bad: number) {
  const taken = receiver()
  const times = new Map<string, number>()
  const sent = new Set<string>()
  const p = async (s: Sent): Promise<Receipt> => {
    const n = (times.get(s.token) ?? 0) + 1
    times.set(s.token, n)
    sent.add(s.token)
    const random = seededRandom([...`${s.token}${n}`].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, of))
    const [luck, how, ms] = [random.float(), random.float(), random.float() * 3000]
    if (ms > 1500) await w().env.clock.sleep(ms - 1500)
    if (luck > bad) {
      taken.take(s)
      return { status: 200, body: { n } }
    }
    if (how < 0.3) throw badRequest()
    if (how < 0.6) throw unavailable()
    // Nobody knows: some of these were done.
    if (random.float() < 0.5) taken.take(s)
    if (how < 0.85) throw serverError()
    return new Promise<never>(() => {})
  }
  const undo = (s: Sent): Receipt => {
    const n = (times.get(s.token) ?? 0) + 1
    times.set(s.token, n)
    if (n === 1 && of % 3 === 0) throw unavailable()
    taken.take(s)
    return OK
  }
  return { taken, sent, p, undo }
}

const good: readonly RunStatus[] = ['completed', 'partially_completed']

/** What an execution says of itself against what the endpoint has seen. */
function isTrue(
  view: JsonObject,
  events: readonly ChainEvent[],
  seen: ReturnType<typeof endpoint>,
  steps: readonly JsonObject[],
  died: boolean,
): void {
  const id = view['chain_id'] as string
  const status = view['status'] as RunStatus
  const ended = events.filter((e) => e.type === 'ended')
  expect(ended).toHaveLength(1)
  expect(view['steps_taken']).toBe(events.filter((e) => e.type === 'step_ended').length)
  if (status === 'completed') expect(view).not.toHaveProperty('failed_steps')
  if (status === 'partially_completed') expect(view).toHaveProperty('failed_steps')
  if (status === 'failed') expect(view).toHaveProperty('error')
  for (const e of events) {
    if (e.type !== 'step_entered' || e.undo) continue
    const definition = definitionOf(steps, e.step)
    const token = deliveryToken(id, e.step, e.iteration, '')
    const end = events.find(
      (x) => x.type === 'step_ended' && !x.undo && x.step === e.step && x.iteration === e.iteration,
    )
    if (definition['provider'] === 'p') {
      if (end?.type === 'step_ended' && end.success)
        expect(seen.taken.effects.has(token), `${e.step} succeeded`).toBe(true)
      const tries = events.filter((x) => x.type === 'step_attempted' && x.step === e.step).length
      if (seen.sent.has(token)) expect(tries, `${e.step} was counted`).toBeGreaterThan(0)
    }
    if (!definition['compensate']) continue
    const undone = seen.taken.effects.has(deliveryToken(id, e.step, e.iteration, 'undo'))
    if (good.includes(status)) expect(undone, `${e.step} of what is done is not undone`).toBe(false)
    else if (seen.taken.effects.has(token)) expect(undone, `${e.step} was done, and is undone (${status})`).toBe(true)
    // A node that dies between storing and sending leaves nobody who knows.
    if (undone && !died) expect(seen.sent.has(token), `${e.step} was undone, and so was sent`).toBe(true)
  }
}
function definitionOf(steps: readonly JsonObject[], key: string): JsonObject {
  const [name, member] = key.split('.')
  const top = steps.find((s) => s['name'] === name)!
  if (member === undefined) return top
  const parallel = top['parallel'] as { branches: readonly JsonObject[] } | undefined
  return parallel
    ? parallel.branches.find((b) => b['name'] === member)!
    : (top['for_each'] as { step: JsonObject }).step
}

describe('a law: chains of any shape against an endpoint that does anything', () => {
  it('end, say what happened, and each effect is there once; undone where they did not come to a good end', async () => {
    const death = sometimes(
      fc.record({ n: fc.integer({ min: 2, max: 20 }), mode: fc.constantFrom<Crash>('before', 'after', 'reply-lost') }),
    )
    const cancelAt = sometimes(fc.integer({ min: 0, max: 15 }))
    const statuses = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(
        chain,
        kid,
        fc.integer(),
        fc.constantFrom(0, 0.2, 0.5),
        death,
        cancelAt,
        async (any, inner, of, bad, dies, cancels) => {
          const env = testEnv()
          const seen = endpoint(() => w, of, bad)
          const w: World = await world(
            [any, inner],
            {
              p: {
                provider: scriptedProvider('p', [seen.p], {
                  render: ({ payload, created_at }) => ({ payload, created_at }),
                }),
                timeoutMs: 8000,
              },
              undo: { provider: scriptedProvider('undo', [seen.undo]) },
            },
            { env },
          )
          const store = dies ? crashing(w.memory.state, dies.n, dies.mode) : w.memory.state
          const first = await w.node(store)
          const id = await start(w, first, w.memory.state, 'any', actionOf({ a: 1 }))
          const second = await w.node()
          for (let s = 0; s < 40; s++) {
            await env.clock.advance(s < 20 ? 1000 : 60_000)
            await first.pull()
            if (s === cancels) await second.cancel(scope, id, 'ann').catch(() => undefined)
            if (s > 20) await second.pull()
            if (s >= 20 && !(await w.memory.state.depths()).some((d) => d.kind === 'run')) break
          }
          const all = (await second.list(scope, { limit: 100 })).chains
          for (const view of all) {
            const name = view['chain_name'] as string
            expect(view, name).toHaveProperty('ended_at')
            isTrue(
              view,
              w.watch.events(view['chain_id'] as string),
              seen,
              name === 'any' ? any.steps : inner.steps,
              dies !== undefined,
            )
          }
          const status = all.find((c) => c['chain_id'] === id)!['status'] as string
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
          expect((await w.memory.state.depths()).find((d) => d.kind === 'run')).toBeUndefined()
          // A cancel may have come to a child that had ended; it goes with it.
          const left = (await w.memory.state.list('inbox', scope, { limit: 10 })).entries
          expect(left.filter((e) => JSON.parse(e.value).type !== 'cancel')).toEqual([])
          if (!dies) expect(env.logged.filter((l) => l.level === 'error')).toEqual([])
          expect(seen.taken.conflicts).toEqual([])
        },
      ),
      law,
    )
    // All of these were seen: a law that only meets good ends says little.
    expect([...statuses.keys()]).toEqual(expect.arrayContaining(['completed', 'failed', 'compensated', 'cancelled']))
  }, 60_000)
})
