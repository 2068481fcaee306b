import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import type { Json, JsonObject } from '../../src/core/json.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import { held, OK } from '../fakes/provider.ts'
import { line, scope, start, step, stepsOf, type World, world } from './set-up.ts'

const ask = { name: 'ask', wait_for_signal: { signal: 'go' } }
const said = { name: 'go', payload: 'yes', by: 'ann' }
const wrote = (ops: readonly Op[], text: string) =>
  ops.some((op) => op.op === 'put' && op.kind === 'run' && op.value.includes(text))

/** A store that does something between a node's decision to write `text` and its commit. */
function between(w: World, text: string): { readonly store: StateStore; act: (() => Promise<unknown>) | undefined } {
  const given: { store: StateStore; act: (() => Promise<unknown>) | undefined } = {
    act: undefined,
    store: {
      ...w.memory.state,
      async commit(s, ops, o) {
        const { act } = given
        if (act && wrote(ops, text)) {
          given.act = undefined
          await act()
        }
        return w.memory.state.commit(s, ops, o)
      },
    },
  }
  return given
}
/** An execution of `line`, cancelled by another node between a node's decision to write `text` and its commit. */
async function cancelledBetween(definitions: readonly Json[], text: string) {
  const w = await world(definitions, { p: {}, q: {} })
  const race = between(w, text)
  const chains = await w.node(race.store)
  const other = await w.node()
  let id = ''
  race.act = () => other.cancel(scope, id, 'ann')
  id = await start(w, chains, w.memory.state, 'line')
  await settled(w)
  expect(race.act).toBeUndefined()
  return { w, chains, id }
}
const settled = async (w: World) => {
  for (let i = 0; i < 4; i++) await w.env.clock.advance(100)
}
const status = async (chains: Chains, id: string) => (await chains.get(scope, id))!['status']
const nothingLeft = async (w: World) => {
  expect((await w.memory.state.list('inbox', scope, { limit: 9 })).entries).toEqual([])
  expect((await w.memory.state.depths()).find((d) => d.kind === 'run')).toBeUndefined()
}

describe('a cancel', () => {
  it('that comes as a step ends: what it gave is kept, and nothing follows', async () => {
    const { w, chains, id } = await cancelledBetween([line(step('a'), step('b'))], '"done":["a"]')
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'cancelled', steps_taken: 1 })
    expect(stepsOf(view)).toMatchObject({ a: { status: 'completed' }, b: { status: 'skipped' } })
    expect(w.providers['p']!.sent).toHaveLength(1)
    await nothingLeft(w)
  })

  it('that comes as the last step ends is too late, and answered as that or not at all acted on', async () => {
    const { w, chains, id } = await cancelledBetween([line(step('a'))], '"completed"')
    expect(await status(chains, id)).toBe('completed')
    await nothingLeft(w)
  })

  it('beside a signal, both unseen: the cancel counts; after one that was acted on, what it let begin is ended', async () => {
    const w = await world([line(ask, step('b'))], { p: {} })
    const chains = await w.node()
    const asleep = await w.node({ ...w.memory.state, claim: () => Promise.resolve([]) })
    const id = await start(w, chains, w.memory.state, 'line')
    await settled(w)
    await asleep.signal(scope, id, said)
    await asleep.cancel(scope, id, 'ann')
    await chains.pull()
    await settled(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'cancelled', steps_taken: 0 })
    expect(w.providers['p']!.sent).toHaveLength(0)
    await nothingLeft(w)

    const race = between(w, '"signalled"')
    const second = await w.node({
      ...race.store,
      async commit(s, ops, o) {
        const signalled = ops.some((op) => op.op === 'put' && op.kind === 'history' && op.value.includes('"signalled"'))
        if (signalled && race.act) {
          const { act } = race
          race.act = undefined
          await act()
        }
        return w.memory.state.commit(s, ops, o)
      },
    })
    const late = await start(w, second, w.memory.state, 'line')
    await settled(w)
    race.act = () => asleep.cancel(scope, late, 'ann')
    await asleep.signal(scope, late, said)
    await second.pull()
    await settled(w)
    expect(await status(chains, late)).toBe('cancelled')
    expect(w.providers['p']!.sent).toHaveLength(0)
    await nothingLeft(w)
  })

  const nested = (more: JsonObject = {}) => [
    line({ name: 'sub', sub_chain: 'inner', ...more }, step('after', 'q')),
    { name: 'inner', steps: [step('in')] },
  ]

  it("as the child ends: the child's end stands, the parent's step is not taken, nothing is left of it", async () => {
    const { w, chains, id } = await cancelledBetween(nested(), '"completed"')
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    expect(await status(chains, id)).toBe('cancelled')
    expect(['completed', 'cancelled']).toContain(await status(chains, child))
    expect(w.providers['q']!.sent).toHaveLength(0)
    await nothingLeft(w)
  })

  it('of the child as the parent is cancelled: both end once', async () => {
    const h = held()
    const w = await world(nested(), { p: { script: [h.answer] }, q: {} })
    const chains = await w.node()
    const other = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await settled(w)
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    await Promise.all([
      chains.cancel(scope, id, 'ann'),
      other.cancel(scope, child, 'bob'),
      chains.cancel(scope, id, 'cy'),
    ])
    await settled(w)
    h.finish(OK)
    await settled(w)
    // The step under way was the child's last: what is complete is complete.
    expect([await status(chains, id), await status(chains, child)]).toEqual(['cancelled', 'completed'])
    expect(await chains.get(scope, id)).toMatchObject({ cancelled_by: 'ann' })
    await nothingLeft(w)
  })

  it('as its time runs out, in whichever order: it ends once, with nothing sent afterwards', async () => {
    for (const first of ['cancel', 'time'] as const) {
      const w = await world([line(ask, step('b'))], { p: {} })
      const asleep = await w.node({ ...w.memory.state, claim: () => Promise.resolve([]) })
      const chains = await w.node()
      const id = await start(w, chains, w.memory.state, 'line')
      await settled(w)
      await chains.stop()
      await w.env.clock.advance(first === 'cancel' ? 90_000 : 110_000)
      await asleep.cancel(scope, id, 'ann')
      await w.env.clock.advance(20_000)
      const second = await w.node()
      await second.pull()
      await settled(w)
      expect(['cancelled', 'timed_out']).toContain(await status(second, id))
      expect(w.providers['p']!.sent).toHaveLength(0)
      await nothingLeft(w)
    }
  })
})

describe('a child that ends', () => {
  it('as the time of its step runs out: the step fails or has its result, the child is nobody’s or done', async () => {
    const w = await world(
      [
        line({ name: 'sub', sub_chain: 'inner', timeout_seconds: 10, default_next: 'after' }, step('after', 'q')),
        { name: 'inner', steps: [{ name: 'wait', wait: { seconds: 10 } }] },
      ],
      { q: {} },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(11_000)
    await settled(w)
    expect(await status(chains, id)).toBe('completed')
    expect(w.providers['q']!.sent).toHaveLength(1)
    await nothingLeft(w)
  })
})
