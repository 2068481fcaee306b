import { describe, expect, it } from 'vitest'
import type { ChainEvent } from '../../src/chains/model/happening.ts'
import { cancelId } from '../../src/chains/model/inbox.ts'
import { seededRandom } from '../../src/core/ids.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import { testEnv } from '../fakes/env.ts'
import { scriptedProvider } from '../fakes/provider.ts'
import { type Trouble, troubled } from '../fakes/store.ts'
import { actionOf, audit, line, scope, slow, start, step, type World, world } from './set-up.ts'

const STEPS = ['in', 'in2', 'in3']
const nested = [
  line(step('before'), { name: 'sub', sub_chain: 'inner' }, step('after')),
  { name: 'inner', steps: STEPS.map((name) => step(name, 'p', { payload_template: { step: name } })) },
]

/** What became of cancels, and what was begun in spite of them, in the order in which it was stored. */
interface Seen {
  /** Whose cancel stands unseen, or has been acted on. */
  readonly told: Set<string>
  readonly wrong: string[]
}
/** Looks at commits as they are done, beneath whatever delays them. */
function looking(base: StateStore, seen: Seen): StateStore {
  const unseen = new Set<string>()
  function look(ops: readonly Op[], skipped: (i: number) => boolean): void {
    ops.forEach((op, i) => {
      if (skipped(i)) return
      if (op.op === 'delete' && op.kind === 'inbox') unseen.delete(op.id)
      if (op.op === 'put' && op.kind === 'run' && unseen.has(cancelId(op.id)))
        seen.wrong.push(`${op.id} went on beside a cancel it had not looked at`)
      if (op.op === 'put' && op.kind === 'history') lookAtHistory(op.id.split('/')[0]!, op.value)
    })
    ops.forEach((op, i) => {
      if (op.op !== 'put' || op.kind !== 'inbox' || skipped(i) || !op.id.endsWith('/cancel')) return
      unseen.add(op.id)
      seen.told.add(op.id.split('/')[0]!)
    })
  }
  function lookAtHistory(id: string, value: string): void {
    if (!seen.told.has(id)) return
    for (const e of JSON.parse(value) as ChainEvent[])
      if (e.type === 'step_entered' || e.type === 'step_attempted')
        seen.wrong.push(`${id} began "${e.step}" after it was told to end`)
  }
  return {
    ...base,
    async commit(s, ops, o) {
      const done = await base.commit(s, ops, o)
      if (done.ok && !o?.dry) look(ops, (i) => done.results[i]?.skipped === true)
      return done
    },
  }
}

/** Parent and child on stores that take up to `most` ms before and after a commit; a cancel of the parent comes at `at` ms. */
async function race(seed: number, at: number, most: number, from: 'here' | 'elsewhere', loses: boolean) {
  const env = testEnv({ seed })
  const random = seededRandom(seed * 1000 + at)
  const some = (): number => Math.floor(random.float() * most)
  const next = (kind: 'read' | 'write'): Trouble => {
    if (kind === 'read') return 'none'
    if (loses && random.float() < 0.15) return 'lost'
    return random.float() < 0.5 ? { before: some() } : { after: some() }
  }
  const provider = scriptedProvider('p', [slow(env, 10)])
  const w: World = await world(nested, { p: { provider } }, { env })
  const seen: Seen = { told: new Set(), wrong: [] }
  const store = (): StateStore => troubled(looking(w.memory.state, seen), env.clock, next)
  const chains = await w.node(store())
  const other = from === 'here' ? chains : await w.node(store())
  const id = await start(w, chains, w.memory.state, 'line', actionOf())
  await env.clock.advance(at)
  const cancelled = other.cancel(scope, id, 'ann').catch(() => undefined)
  for (let s = 0; s < 50; s += 10) {
    const pulled = chains.pull()
    await env.clock.advance(10_000)
    await pulled
  }
  await cancelled
  const all = (await chains.list(scope, { limit: 10 })).chains
  const status = (name: string) => all.find((c) => c['chain_name'] === name)?.['status'] ?? 'unborn'
  const ends = (await audit(w, { kind: 'chain' })).map((r) => r.outcome)
  const left = (await w.memory.state.list('inbox', scope, { limit: 10 })).entries.map((e) => e.key.id)
  const due = (await w.memory.state.depths()).find((d) => d.kind === 'run')
  return { how: `${status('line')}, ${status('inner')}`, wrong: seen.wrong, ends, left, due, sent: provider.sent }
}

describe('a cancel of parent and child on a store that takes its time', () => {
  it.each([
    ['here', false],
    ['elsewhere', false],
    ['here', true],
  ] as const)(
    'from %s, answers lost: %s: no step is begun once the cancel is stored; both end once',
    async (from, loses) => {
      const ways = new Map<string, number>()
      for (let seed = 1; seed <= 4; seed++)
        for (let at = 0; at <= 400; at += 25) {
          const label = `seed ${seed}, cancel at ${at} ms`
          const r = await race(seed, at, 60, from, loses)
          expect(r.wrong, label).toEqual([])
          expect([r.left, r.due], label).toEqual([[], undefined])
          expect(r.ends.toSorted(), label).toEqual(
            r.how
              .split(', ')
              .filter((s) => s !== 'unborn')
              .toSorted(),
          )
          // Nothing goes out twice, and nothing out of its turn.
          expect(new Set(r.sent.map((s) => s.token)).size, label).toBe(r.sent.length)
          ways.set(r.how, (ways.get(r.how) ?? 0) + 1)
        }
      // Too early for a child; while it was at work; as it was at its last step or done already; too late for both.
      expect([...ways.keys()].toSorted()).toEqual([
        'cancelled, cancelled',
        'cancelled, completed',
        'cancelled, unborn',
        'completed, completed',
      ])
    },
  )
})
