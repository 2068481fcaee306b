import fc from 'fast-check'
import type { JsonObject } from '../../src/core/json.ts'
import { both, each } from './set-up.ts'

const retry = fc.record(
  {
    max_attempts: fc.integer({ min: 1, max: 3 }),
    backoff: fc.constantFrom('fixed', 'linear', 'exponential'),
    initial_ms: fc.constantFrom(0, 500, 3000),
  },
  { requiredKeys: ['max_attempts'] },
)
const compensate = fc.constant({ provider: 'undo', action_type: 'undo' })
export const sometimes = <T>(a: fc.Arbitrary<T>) => fc.option(a, { nil: undefined, freq: 2 })
const policies = fc.record({
  retry: sometimes(retry),
  timeout_seconds: sometimes(fc.constantFrom(1, 5)),
  delay_seconds: sometimes(fc.constantFrom(0, 2)),
})
const plain = (o: object): JsonObject => JSON.parse(JSON.stringify(o)) as JsonObject

const sends = fc
  .record({ more: policies, compensate: sometimes(compensate) })
  .map((p) => (name: string) => plain({ name, provider: 'p', action_type: 'x', ...p.more, compensate: p.compensate }))
const waits = fc.record({
  wait: fc.oneof(
    fc.constantFrom(0, 1, 4).map((seconds) => ({ wait: { seconds } })),
    fc
      .record({ timeout_seconds: fc.constantFrom(2, 6), on_timeout: fc.constantFrom('fail', 'continue') })
      .map((w) => ({ wait_for_signal: { signal: 'go', ...w } })),
  ),
  more: policies,
})
const leaf: fc.Arbitrary<(name: string) => JsonObject> = fc.oneof(
  { weight: 5, arbitrary: sends },
  {
    weight: 2,
    arbitrary: waits.map(
      ({ wait, more }) =>
        (name: string) =>
          plain({ name, ...wait, ...more }),
    ),
  },
  { weight: 1, arbitrary: fc.constant((name: string) => plain({ name, set: { x: '{{origin.id}}' } })) },
  {
    weight: 1,
    arbitrary: sometimes(retry).map((r) => (name: string) => plain({ name, sub_chain: 'kid', retry: r })),
  },
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
/** A small chain of any shape. */
export const chain = fc
  .record({ steps: fc.oneof(sequence, graph), timeout_seconds: fc.constantFrom(20, 500) })
  .map((c) => ({ name: 'any', ...c }))
/** What it has as a sub-chain. */
export const kid = fc
  .record({ steps: fc.array(sends, { minLength: 1, maxLength: 2 }) })
  .map(({ steps }) => ({ name: 'kid', steps: steps.map((s, i) => s(`k${i}`)) }))
