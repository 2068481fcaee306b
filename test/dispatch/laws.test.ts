import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AuditRecord } from '../../src/core/audit.ts'
import { Problem } from '../../src/core/errors.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { SCOPE, testHouse } from '../fakes/house.ts'
import {
  badRequest,
  type Receiver,
  receiver,
  refused,
  type Scripted,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'
import { DUE, work } from './work.ts'

/** What an attempt comes to, and whether it took effect before that. */
const attempts: { readonly [name: string]: (taken: Receiver) => Scripted } = {
  ok: (t) => t.accept(),
  'done, but 500': (t) => t.accept(serverError()),
  'nothing, and 500': () => serverError(),
  503: () => unavailable(),
  refused: () => refused(),
  400: () => badRequest(),
}
const actions = [
  '{ type: throttle, max_count: 2, window_seconds: 30 }',
  '{ type: copy, target_provider: copied }',
  '{ type: schedule, delay_seconds: 5 }',
  '{ type: schedule, delay_seconds: 8, key: all, on_repeat: keep }',
  '{ type: group, group_by: [payload.from], group_wait_seconds: 5 }',
  '{ type: suppress }',
  '{ type: deny }',
  '{ type: reroute, target_provider: other }',
  '{ type: modify, changes: { seen: true } }',
]
const someRules = fc.array(
  fc.record({
    action: fc.constantFrom(...actions),
    on: fc.constantFrom('a', 'b', undefined),
    priority: fc.integer({ min: 2, max: 5 }),
  }),
  { maxLength: 4 },
)
const someActions = fc.array(
  fc.record({
    is: fc.constantFrom('a', 'b'),
    dedup: fc.constantFrom('x', 'y', undefined),
    key: fc.constantFrom('i', 'j', undefined, undefined),
    async: fc.boolean(),
    after: fc.constantFrom(0, 0, 500, 7_000, 31_000),
  }),
  { minLength: 1, maxLength: 10 },
)
const someAttempts = fc.array(fc.constantFrom(...Object.keys(attempts)), { maxLength: 6 })

const ADMITTED = new Set([
  'executed',
  'rerouted',
  'failed',
  'circuit_open',
  'grouped',
  'scheduled',
  'deduplicated by keep',
])
const runs = (records: readonly AuditRecord[]): ReadonlySet<string> => new Set(records.map((r) => r.run_id))

type Body = { payload: { dedup?: string; events?: { payload: { dedup?: string } }[] } }

describe('laws, over random rules, actions and answers', () => {
  it('no event takes effect twice, quotas count what was admitted, and every run ends once', async () => {
    await fc.assert(
      fc.asyncProperty(someRules, someActions, someAttempts, async (ruleset, list, script) => {
        const taken = receiver()
        const hook = scriptedProvider('hook', [...script.map((s) => attempts[s]!(taken)), taken.accept()])
        const others = ['other', 'copied'].map((name) => scriptedProvider(name, [taken.accept()]))
        const house = await testHouse({
          providers: [hook, ...others],
          loops: false,
          rules: rules(
            rule('once', 1, '{ type: deduplicate, ttl_seconds: 86400 }', '{ field: action.dedup_key, exists: true }'),
            ...ruleset.map((r, i) => rule(`r${i}`, r.priority, r.action, r.on && type(r.on))),
          ),
        })
        const quota = { max_actions: 1e6, window: 'daily', overage_behavior: 'block' }
        await house.quotas.put(SCOPE, 'q', quota, { caller: 'me' })
        const told: Outcome[] = []
        for (const [i, a] of list.entries()) {
          await house.env.clock.advance(a.after)
          await work(house)
          // Under one key always the same body.
          const id = a.key ?? `n${i}`
          const dedup = a.key ? undefined : a.dedup
          const action = {
            id,
            action_type: a.key ? 'a' : a.is,
            provider: 'hook',
            payload: { dedup, from: 1 },
            dedup_key: dedup,
          }
          try {
            told.push(await house.dispatch(action, { async: a.async, ...(a.key && { key: a.key }) }))
          } catch (e) {
            if (!(e instanceof Problem && e.code === 'idempotency_in_progress')) throw e
          }
          await house.gateway.idle()
        }
        for (let idle = 0; idle < 2; ) {
          await house.env.clock.advance(61_000)
          idle =
            (await work(house)) === 0 && (await Promise.all(DUE.map((k) => house.stored(k)))).flat().length === 0
              ? idle + 1
              : 0
        }

        const records = await house.records()
        const of = (kind: string) => records.filter((r) => r.kind === kind)
        // Nothing twice, by event: what has a dedup key has one effect at the most, copies aside.
        const effects = [...taken.effects.values()] as (Body & { to: string })[]
        const events = effects
          .filter((e) => e.to !== 'copied')
          .flatMap((e) => e.payload.events?.map((x) => x.payload.dedup) ?? [e.payload.dedup])
          .filter((d) => d !== undefined)
        expect(new Set(events).size).toBe(events.length)

        // Quotas: each admitted run and each copy, once.
        const admitted = of('dispatch').filter((r) => ADMITTED.has(r.outcome))
        const used = (await house.quotas.usage(SCOPE, 'q'))?.['used']
        expect(used).toBe(runs(admitted).size + runs(of('copy')).size)

        // What was promised ended, once: held again is no end.
        const ended = records.filter((r) => r.kind !== 'dispatch' && r.outcome !== 'scheduled')
        expect(runs(ended).size).toBe(ended.length)
        for (const r of records.filter((x) => x.outcome === 'scheduled'))
          expect(ended.filter((x) => x.run_id === r.run_id)).toHaveLength(1)
        for (const o of told.filter((x) => x.outcome === 'accepted'))
          expect(of('dispatch').filter((r) => r.run_id === o.run_id).length).toBeGreaterThanOrEqual(1)
        // A run with two records ended unknown before somebody took it over.
        for (const run of runs(of('dispatch'))) {
          const all = of('dispatch').filter((r) => r.run_id === run)
          for (const r of all.slice(0, -1)) expect((r.details as { unknown?: boolean }).unknown).toBe(true)
        }
        // Each grouped event, a flush that met another group rule included, is in one flush.
        const grouped = records.filter((r) => r.outcome === 'grouped').map((r) => r.action_id)
        const flushed = of('flush').flatMap((r) => (r.payload as { events: { action_id: string }[] }).events)
        expect(flushed.map((e) => e.action_id).sort()).toEqual(grouped.sort())
      }),
      { seed: 20260105, numRuns: 60 },
    )
  })
})
