import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { scriptedProvider } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import {
  actionOf,
  audit,
  both,
  line,
  pullFor,
  quiet,
  ran,
  scope,
  start,
  step,
  stepsOf,
  type World,
  world,
} from './set-up.ts'

const key = { cache_ttl_seconds: 60, cache_key: '{{origin.payload.k}}' }
const sub = { name: 'sub', sub_chain: 'inner', ...key }
const after = step('after', 'q', { payload_template: { n: '{{prev.body.n}}' } })
const inner = (...steps: readonly JsonObject[]) => ({ name: 'inner', steps })
const counting = () => {
  let n = 0
  return scriptedProvider('p', [() => ({ status: 200, body: { n: ++n } })])
}
const made = (definitions: readonly JsonObject[]) => world(definitions, { p: { provider: counting() }, q: {} })

const run = (w: World, definitions: readonly JsonObject[], payload: JsonObject = { k: 1 }) =>
  ran(w, 'line', payload, definitions)
const children = async (w: World) => (await (await w.node()).list(scope, { name: 'inner', limit: 10 })).chains

describe('cache_ttl_seconds of a sub_chain step', () => {
  const chains = [line(sub, after), inner(step('in'))]

  it('the second time no child is born, the result is the same, and the step is shown as cached', async () => {
    const w = await made(chains)
    const first = stepsOf(await run(w, chains))['sub']!
    expect(first).toMatchObject({ status: 'completed', output: { success: true, body: { n: 1 } } })
    expect(first).not.toHaveProperty('cached')
    expect(first['child_chain_id']).toBe((await children(w))[0]!['chain_id'])

    const view = await run(w, chains)
    expect(view).toMatchObject({ status: 'completed', steps_taken: 2 })
    const second = stepsOf(view)['sub']!
    expect(second).toMatchObject({ status: 'completed', cached: true, output: first['output']! })
    expect(second).not.toHaveProperty('child_chain_id')
    expect(second).not.toHaveProperty('attempts')
    expect(await children(w)).toHaveLength(1)
    // What follows has what it would have had.
    expect(w.providers['q']!.sent.map((s) => s.request)).toMatchObject([{ payload: { n: 1 } }, { payload: { n: 1 } }])
    const told = await audit(w, { chainId: view['chain_id'] as string, kind: 'chain_step' })
    const details = told.map((r) => r.details as JsonObject)
    expect(details.find((d) => d['step'] === 'sub')).toMatchObject({ cached: true, body: { n: 1 } })
    expect(details.some((d) => 'child_chain_id' in d)).toBe(false)
    // Nothing of the child that was not needed is stored.
    expect((await w.memory.state.depths()).find((d) => d.kind === 'run')).toBeUndefined()
    expect(await w.memory.state.list('inbox', scope, { limit: 10 })).toMatchObject({ entries: [] })
  })

  it('another key, and the time after, have a child of their own', async () => {
    const w = await made(chains)
    await run(w, chains)
    expect(stepsOf(await run(w, chains, { k: 2 }))['sub']).toMatchObject({ output: { body: { n: 2 } } })
    await w.env.clock.advance(60_001)
    expect(stepsOf(await run(w, chains))['sub']).toMatchObject({ output: { body: { n: 3 } } })
    expect(await children(w)).toHaveLength(3)
  })

  it('a child that failed is not kept', async () => {
    const failing = [line(sub, after), inner(step('in', 'q'), { name: 'no', provider: 'q', action_type: 'x' })]
    const q = scriptedProvider('q', [new Error('away'), { status: 200, body: { n: 9 } }])
    const w = await world(failing, { p: {}, q: { provider: q } })
    expect(await run(w, failing)).toMatchObject({ status: 'failed' })
    expect(stepsOf(await run(w, failing))['sub']).toMatchObject({ status: 'completed', output: { body: { n: 9 } } })
    expect(await children(w)).toHaveLength(2)
  })

  it('an edit of the sub-chain, or of one below it, makes it run again; an edit of another does not', async () => {
    const deep = (n: number, other = 1): JsonObject[] => [
      line(sub, both('g', [{ name: 'also', sub_chain: 'inner' }], {}, key), { name: 'o', sub_chain: 'other' }),
      inner({ name: 'in', sub_chain: 'lowest' }),
      { name: 'lowest', steps: [step('low', 'p', { payload_template: { n } })] },
      { name: 'other', steps: [step('else', 'q', { payload_template: { other } })] },
    ]
    const w = await made(deep(1))
    await run(w, deep(1))
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect(stepsOf(await run(w, deep(1, 2)))).toMatchObject({ sub: { cached: true }, g: { cached: true } })
    expect(w.providers['p']!.sent).toHaveLength(2)
    const view = stepsOf(await run(w, deep(2, 2)))
    expect(w.providers['p']!.sent).toHaveLength(4)
    expect(view['sub']).toMatchObject({ status: 'completed', output: { body: { n: 3 } } })
    expect(view['sub']).not.toHaveProperty('cached')
  })

  it('a node that dies at any commit of the second one leaves it to be given by another: still no child', async () => {
    for (let n = 2; ; n++) {
      const w = await made(chains)
      await run(w, chains)
      const dying = crashing(w.memory.state, n, 'after')
      const id = await start(w, await w.node(dying), dying, 'line', actionOf({ k: 1 }))
      await quiet(w)
      if (!dying.crashed) {
        expect(n).toBeGreaterThan(3)
        return
      }
      const second = await w.node()
      await pullFor(w, second, 40)
      const view = await second.get(scope, id)
      expect(view, `commit ${n}`).toMatchObject({ status: 'completed' })
      expect(stepsOf(view)['sub'], `commit ${n}`).toMatchObject({ cached: true, output: { body: { n: 1 } } })
      expect(await children(w), `commit ${n}`).toHaveLength(1)
    }
  })
})
