import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type Crash, crashing } from '../fakes/store.ts'
import { type ChainName, chains, editedNode, ends, everything, isOver, play } from './everything.ts'
import { audit, scope, type World } from './set-up.ts'

const MODES: readonly Crash[] = ['before', 'after', 'reply-lost']

const recorded = async (w: World) =>
  (await audit(w)).map((r) => `${r.kind} ${String((r.details as JsonObject)['step'])} ${r.outcome}`).sort()

/** A run without a fault: what there is to be seen of it, and how many commits it takes. */
async function clean(name: ChainName) {
  const given = await everything()
  const counted = crashing(given.w.memory.state, Number.POSITIVE_INFINITY, 'before')
  await play(given, name, await given.w.node(counted), counted)
  const node = await given.w.node()
  const all = (await node.list(scope, { limit: 10 })).chains
  expect(all.find((c) => c['chain_name'] === name)).toMatchObject({ status: ends[name] })
  return {
    effects: given.effects(),
    undone: given.undone,
    writes: counted.writes,
    ended: all.map((c) => `${c['chain_name']} ${c['status']}`).sort(),
    steps: await recorded(given.w),
  }
}

describe.each(chains)('PITFALLS 39, 42, 43: the crash matrix of every kind of step and every policy: %s', (name) => {
  it('a node dies at each of its writes, and one with other definitions finishes: each effect once, one body a token', async () => {
    const wanted = await clean(name)
    expect(wanted.writes).toBeGreaterThan(name === 'graph' ? 10 : 20)
    let again = 0
    for (let n = 1; n <= wanted.writes; n++)
      for (const mode of MODES) {
        const label = `write ${n}, ${mode}`
        const given = await everything()
        const { w, taken } = given
        const dying = crashing(w.memory.state, n, mode)
        await play(given, name, await w.node(dying), dying)
        expect(dying.crashed, label).toBe(true)
        const second = await editedNode(given)
        for (let s = 0; s < 200 && !(await isOver(w)); s += 10) {
          await w.env.clock.advance(10_000)
          await second.pull()
        }
        const all = (await second.list(scope, { limit: 10 })).chains
        // It never began: nothing was promised, and nothing is sent.
        if (n === 1 && all.length === 0) {
          expect(taken.taken, label).toBe(0)
          continue
        }
        expect(all.map((c) => `${c['chain_name']} ${c['status']}`).sort(), label).toEqual(wanted.ended)
        expect(given.effects(), label).toEqual(wanted.effects)
        again += taken.taken - taken.effects.size
        // What was done later is undone earlier; of what was done at once each comes when it comes.
        const phases = given.undone.map((u) => Number(u[0]))
        expect(phases, label).toEqual(phases.toSorted((a, b) => b - a))
        expect(given.undone.toSorted(), label).toEqual(wanted.undone.toSorted())
        expect(await recorded(w), label).toEqual(wanted.steps)
        expect((await w.memory.state.list('inbox', scope, { limit: 10 })).entries, label).toEqual([])
        expect(await isOver(w), label).toBe(true)
      }
    // It has met the case it is for: sent, and the end not stored.
    expect(again).toBeGreaterThan(4)
  }, 60_000)
})
