import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { MAX_HOPS } from '../../src/core/lineage.ts'
import { testGateway } from '../fakes/gateway.ts'
import type { ScriptedProvider, Sent } from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'
import { carrying, left } from './loop-world.ts'

const TYPES = ['a', 'b', 'c'] as const
const PROVIDERS = ['p', 'q'] as const
const CHAINS = PROVIDERS.map(
  (p) =>
    `[[chains.definitions]]\nname = "to-${p}"\nsteps = [{ name = "s", provider = "${p}", action_type = "step" }]\n`,
).join('')

const target = fc.constantFrom(...PROVIDERS)
const action = fc.oneof(
  target.map((p) => `{ type: reroute, target_provider: ${p} }`),
  target.map((p) => `{ type: copy, target_provider: ${p} }`),
  target.map((p) => `{ type: chain, chain: to-${p} }`),
  target.map((p) => `{ type: chain, chain: to-${p}, then: continue }`),
  fc.constantFrom(
    '{ type: allow }',
    '{ type: schedule, delay_seconds: 1 }',
    '{ type: group, group_by: [payload.k], group_wait_seconds: 1 }',
    '{ type: modify, changes: { seen: true } }',
  ),
)
const ruleSet = fc.array(
  fc.record({ on: fc.option(fc.constantFrom(...TYPES), { nil: undefined }), action, reentrant: fc.boolean() }),
  { minLength: 1, maxLength: 5 },
)
/** What the receiver behind each provider dispatches when something arrives. */
const reply = fc.record({ p: fc.option(fc.constantFrom(...TYPES)), q: fc.option(fc.constantFrom(...TYPES)) })

it('whatever the rules and the receivers, one that hands the lineage on never runs for ever, and passes a rule twice only if it is reentrant', async () => {
  await fc.assert(
    fc.asyncProperty(ruleSet, reply, fc.constantFrom(...TYPES), async (list, replies, first) => {
      const text = rules(
        ...list.map((r, i) => {
          const one = rule(`r${i}`, i, r.action, r.on === undefined ? '' : type(r.on))
          return r.reentrant ? `${one}    reentrant: true\n` : one
        }),
      )
      const providers: { [name: string]: ScriptedProvider } = { p: carrying('p'), q: carrying('q') }
      // By the lineage alone: a limit of runs would end some of it sooner.
      const set = ['hot_rules.internal_mode=off']
      const g = await testGateway({ rules: text, providers, toml: CHAINS, loops: true, set })
      const statuses: number[] = []
      const dispatch = async (action_type: string, sent?: Sent): Promise<void> => {
        const headers = sent && { 'signalbox-lineage': left(sent).lineage }
        const told = await g.dispatch({ action_type, provider: 'p', payload: { k: 1 } }, headers)
        statuses.push(told.status)
      }
      await dispatch(first)
      // Each turn hands back all that arrived in the one before: nine hops and their holds take no more turns than this.
      const answered = { p: 0, q: 0 }
      let busy = 0
      for (let turn = 0; turn < 40; turn++) {
        await g.advance(2500)
        busy = 0
        for (const p of PROVIDERS) {
          const { sent } = providers[p]!
          const next = replies[p]
          const fresh = sent.slice(answered[p], answered[p] + 20)
          // Copies and starts of reentrant rules branch: some of the branches tell as much as all.
          answered[p] = sent.length
          if (next === null) continue
          busy += fresh.length
          for (const s of fresh) await dispatch(next, s)
        }
      }
      expect(busy).toBe(0)
      for (const p of PROVIDERS)
        for (const sent of providers[p]!.sent) {
          const { passed, hops } = g.signer.read(left(sent).lineage)!
          expect(hops).toBeLessThanOrEqual(MAX_HOPS)
          const once = passed.filter(
            (s) => s.startsWith('chain:') || !list[Number(s.slice('rule:r'.length))]?.reentrant,
          )
          expect(new Set(once).size).toBe(once.length)
        }
      // Reported, never an error of ours.
      for (const status of statuses) expect([200, 202, 508]).toContain(status)
      const looped = (await g.records()).filter((r) => r['outcome'] === 'loop_detected')
      for (const r of looped) expect((r['details'] as JsonObject)['cycle']).toBeInstanceOf(Array)
      await g.close()
    }),
    { numRuns: 25 },
  )
}, 120_000)
