import { expect, it } from 'vitest'
import { StateUnavailable } from '../../src/core/errors.ts'
import type { StateStore } from '../../src/core/state.ts'
import { crashing } from '../fakes/store.ts'
import { each, pullFor, scope, start, world } from './set-up.ts'

/** On a store that takes few entries in one commit, what executions do at one moment is spread over several. */

const KIDS = 12
const FEW = 8
/** Beside those: the execution itself, what it is told, its history, and the last that was begun. */
const MOST = 32

const items = Array.from({ length: KIDS }, (_, i) => i)
const make = () =>
  world(
    [
      { name: 'line', steps: [each('kids', items, { sub_chain: 'inner' }, { max_concurrency: KIDS })] },
      { name: 'inner', steps: [{ name: 'waits', wait_for_signal: { signal: 'go' } }] },
    ],
    {},
    { config: { mostEntries: FEW } },
  )

/** Keeps the largest of its commits. */
function weighing(base: StateStore) {
  const seen = { largest: 0 }
  const store: StateStore = {
    ...base,
    commit(s, ops, opts) {
      const entries = ops.filter((o) => o.op !== 'record')
      const tags = entries.reduce((n, o) => n + (o.op === 'put' ? (o.tags?.length ?? 0) : 0), 0)
      seen.largest = Math.max(seen.largest, entries.length + tags)
      return base.commit(s, ops, opts)
    },
  }
  return { seen, store }
}

it('begins many sub-chains and ends them by and by, also when its node dies at any commit on the way', async () => {
  async function life(n: number) {
    const w = await make()
    const { seen, store } = weighing(w.memory.state)
    const dying = crashing(store, n, 'after')
    const first = await w.node(dying)
    const id = await start(w, first, dying, 'line')
    const second = await w.node(store)
    await w.env.clock.advance(1000)
    // Whoever hears of it acts on it: the first, as long as it lives.
    const told = (dying.crashed ? second : first).cancel(scope, id, 'me')
    await told.catch((e: unknown) => expect(e).toBeInstanceOf(StateUnavailable))
    await w.env.clock.advance(1000)
    await pullFor(w, second, 120)
    expect(await second.get(scope, id), `commit ${n}`).toMatchObject({ status: 'cancelled' })
    const { chains } = await second.list(scope, { name: 'inner', limit: 100 })
    expect(new Set(chains.map((c) => c['status'])), `commit ${n}`).toEqual(new Set(['cancelled']))
    expect(seen.largest, `commit ${n}`).toBeLessThanOrEqual(MOST)
    return { writes: dying.writes, begun: chains.length }
  }
  const whole = await life(Number.POSITIVE_INFINITY)
  expect(whole.begun).toBe(KIDS)
  for (let n = 2; n <= whole.writes; n++) await life(n)
})
