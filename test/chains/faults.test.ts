import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import { seededRandom } from '../../src/core/ids.ts'
import { type Crash, crashing, type Trouble, troubled } from '../fakes/store.ts'
import { type ChainName, chains, type Everything, editedNode, ends, everything, isOver, play } from './everything.ts'
import { scope } from './set-up.ts'

/** Same seeds each time; `FC_SEED` looks elsewhere. */
const seed = Number(process.env['FC_SEED'] ?? 20_260_105)
const law = { seed, numRuns: Number(process.env['FC_RUNS'] ?? 6) }
/** Of endpoints: none, or drawn anew each time. */
const latency = fc.option(fc.integer(), { freq: 4 }).map((of) => {
  if (of === null) return () => 0
  const random = seededRandom(of)
  return () => Math.floor(random.float() * 6000)
})

/** What comes of it without a fault. */
const clean = new Map<ChainName, { readonly effects: readonly string[]; readonly undone: readonly string[] }>()
async function wanted(name: ChainName) {
  if (!clean.has(name)) {
    const given = await everything()
    await play(given, name, await given.w.node(), given.w.memory.state)
    clean.set(name, { effects: given.effects(), undone: given.undone })
  }
  return clean.get(name)!
}

/** The first, and whatever is due looked for by all: a store that is slow, or a node that sleeps, is waited for by nobody. */
const impatient = (...nodes: readonly Chains[]): Chains => ({
  ...nodes[0]!,
  async pull() {
    for (const n of nodes) void n.pull()
    return 0
  },
})
async function drained(given: Everything, node: Pick<Chains, 'pull'>, seconds = 200): Promise<void> {
  for (let s = 0; s < seconds && !(await isOver(given.w)); s += 10) {
    await given.w.env.clock.advance(10_000)
    await node.pull()
  }
}
async function asWanted(given: Everything, name: ChainName): Promise<void> {
  const { w, taken } = given
  const { effects, undone } = await wanted(name)
  const all = (await (await w.node()).list(scope, { limit: 10 })).chains
  expect(all.find((c) => c['chain_name'] === name)).toMatchObject({ status: ends[name] })
  expect(given.effects()).toEqual(effects)
  expect(given.undone.toSorted()).toEqual(undone.toSorted())
  // What was done later is undone earlier; of what was done at once each comes when it comes.
  const phases = given.undone.map((u) => Number(u[0]))
  expect(phases).toEqual(phases.toSorted((a, b) => b - a))
  expect(taken.conflicts).toEqual([])
  expect((await w.memory.state.list('inbox', scope, { limit: 10 })).entries).toEqual([])
  expect(await isOver(w)).toBe(true)
}

describe.each(chains)('whatever befalls the store and the nodes, each effect is there once: %s', (name) => {
  it('a law: nodes die one after another, wherever', async () => {
    const death = fc.record({
      n: fc.integer({ min: 1, max: 25 }),
      mode: fc.constantFrom<Crash>('before', 'after', 'reply-lost'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(death, { minLength: 2, maxLength: 4 }), latency, async (deaths, slow) => {
        const given = await everything(slow)
        const { w } = given
        const [first, ...rest] = deaths
        const dying = crashing(w.memory.state, first!.n + 1, first!.mode)
        await play(given, name, await w.node(dying), dying, 30)
        for (const d of rest) {
          const node = await w.node(crashing(w.memory.state, d.n, d.mode))
          for (let s = 0; s < 60; s += 5) {
            await w.env.clock.advance(5000)
            await node.pull()
          }
        }
        await drained(given, await editedNode(given))
        await asWanted(given, name)
      }),
      law,
    )
  })

  it('a law: a store that is unavailable, slow, or loses answers, at any call', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.double({ min: 0.02, max: 0.4, noNaN: true }),
        latency,
        async (of, rate, slow) => {
          const given = await everything(slow)
          const { w } = given
          const random = seededRandom(of)
          let over = false
          const trouble = (): Trouble => {
            if (over || random.float() > rate) return 'none'
            const which = random.float()
            if (which < 0.35) return 'unavailable'
            if (which < 0.7) return 'lost'
            return which < 0.85 ? { before: random.float() * 5000 } : { after: random.float() * 5000 }
          }
          const node = impatient(await w.node(troubled(w.memory.state, w.env.clock, trouble)))
          await play(given, name, node, w.memory.state, 200)
          over = true
          await drained(given, node)
          await asWanted(given, name)
        },
      ),
      law,
    )
  })

  it('a law: two nodes, each of which sleeps now and then for longer than its claims last', async () => {
    const nap = fc.record({ from: fc.integer({ min: 0, max: 120_000 }), ms: fc.integer({ min: 1000, max: 90_000 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.array(nap, { maxLength: 4 }),
        fc.array(nap, { maxLength: 4 }),
        latency,
        async (a, b, slow) => {
          const given = await everything(slow)
          const { w } = given
          const begun = w.env.clock.now()
          const [first, second] = await Promise.all(
            [a, b].map((mine) =>
              w.node(
                troubled(w.memory.state, w.env.clock, () => {
                  const now = w.env.clock.now() - begun
                  const asleep = mine.find((n) => n.from <= now && now < n.from + n.ms)
                  return asleep ? { before: asleep.from + asleep.ms - now } : 'none'
                }),
              ),
            ),
          )
          const both = impatient(first!, second!)
          await play(given, name, both, w.memory.state, 200)
          await drained(given, both)
          await asWanted(given, name)
        },
      ),
      law,
    )
  })
})
