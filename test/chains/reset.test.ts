import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { badRequest, held, OK, refused, serverError } from '../fakes/provider.ts'
import { both, letters, line, scope, start, step, stepsOf, type World, world } from './set-up.ts'

const fails = badRequest()
const sent = (w: World) => Object.fromEntries(Object.entries(w.providers).map(([name, p]) => [name, p.sent.length]))
async function ended(w: World, chains: Chains, name = 'line'): Promise<string> {
  const id = await start(w, chains, w.memory.state, name)
  await w.env.clock.settle()
  return id
}
const back = (to: string) => ({ step: to, by: 'ann' })
const ask = (signal: string, more: JsonObject = {}) => ({ name: signal, wait_for_signal: { signal }, ...more })

describe('reset', () => {
  it('goes back to a step: it and those after it run again under new tokens, those before do not', async () => {
    const w = await world(
      [line(step('a', 'a'), step('b', 'b', { payload_template: { saw: '{{prev.body.n}}' } }), step('c', 'c'))],
      { a: { script: [{ status: 200, body: { n: 7 } }] }, b: {}, c: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains)
    expect(await chains.reset(scope, id, back('b'))).toEqual({
      chain_id: id,
      chain_name: 'line',
      reset_to: 'b',
      steps: ['b', 'c'],
    })
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', resumed: 1, last_step: 'c' })
    expect(sent(w)).toEqual({ a: 1, b: 2, c: 2 })
    for (const name of ['b', 'c']) {
      expect(new Set(w.providers[name]!.sent.map((s) => s.token)).size).toBe(2)
      expect(stepsOf(view)[name]).toMatchObject({ iteration: 1 })
    }
    expect(w.providers['b']!.sent[1]!.request).toMatchObject({ payload: { saw: 7 } })
  })

  it('to the step that failed, with its letter; and says which steps there are', async () => {
    const w = await world([line(step('a', 'a'), step('b', 'b'), step('c', 'c'))], {
      a: {},
      b: { script: [fails, OK] },
      c: {},
    })
    const chains = await w.node()
    const id = await ended(w, chains)
    await expect(chains.reset(scope, id, back('x'))).rejects.toMatchObject({ status: 422, code: 'unknown_step' })
    await expect(chains.reset(scope, id, back('c'))).rejects.toMatchObject({ status: 409, code: 'step_not_taken' })
    await expect(chains.reset(scope, 'nothing', back('c'))).rejects.toMatchObject({ status: 404 })
    await chains.reset(scope, id, back('a'))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(sent(w)).toEqual({ a: 2, b: 2, c: 1 })
    // The step that failed has run again: nobody is to redrive what it could not deliver before.
    expect(await letters(w)).toEqual([])
  })

  it('of a graph takes the letters of all that runs again, and leaves those of steps beside it that go on', async () => {
    const fails1 = { script: [fails, OK] }
    const w = await world(
      [
        {
          name: 'line',
          steps: [
            { ...step('a', 'a'), needs: [] },
            { ...step('b', 'b'), needs: [] },
            { ...step('c', 'c'), needs: ['a', 'b'] },
          ],
        },
        {
          name: 'beside',
          steps: [
            { ...step('a', 'a'), needs: [] },
            both('g', [step('x', 'x'), ask('wait')], { on_failure: 'best_effort' }, { needs: [] }),
          ],
        },
      ],
      { a: {}, b: fails1, c: {}, x: fails1 },
    )
    const chains = await w.node()
    const id = await ended(w, chains)
    expect(await letters(w)).toHaveLength(1)
    await chains.reset(scope, id, back('a'))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect([sent(w), await letters(w)]).toEqual([{ a: 2, b: 2, c: 1, x: 0 }, []])
    const beside = await ended(w, chains, 'beside')
    await chains.pause(scope, beside, 'ann')
    await w.env.clock.settle()
    await chains.reset(scope, beside, back('a'))
    await w.env.clock.settle()
    expect((await letters(w)).map((l) => l.origin)).toMatchObject([{ chain_id: beside, step: 'g.x' }])
  })

  it('of a graph runs again what needs the step, and lets the rest be', async () => {
    const w = await world(
      [
        {
          name: 'line',
          steps: [
            { ...step('a', 'a'), needs: [] },
            { ...step('b', 'b'), needs: ['a'] },
            { ...step('x', 'x'), needs: [] },
            { ...step('last', 'last'), needs: ['b', 'x'] },
          ],
        },
      ],
      { a: {}, b: {}, x: {}, last: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains)
    await chains.reset(scope, id, back('b'))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(sent(w)).toEqual({ a: 1, b: 2, x: 1, last: 2 })
  })

  it('of a paused graph leaves what waits beside it waiting', async () => {
    const w = await world(
      [
        {
          name: 'line',
          steps: [
            { ...step('a', 'a'), needs: [] },
            { ...ask('b'), needs: ['a'] },
            { ...ask('x'), needs: [] },
            { name: 'sub', needs: ['a'], sub_chain: 'inner' },
          ],
        },
        { name: 'inner', steps: [ask('in')] },
      ],
      { a: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains)
    await expect(chains.reset(scope, id, back('a'))).rejects.toMatchObject({ status: 409, code: 'chain_running' })
    const before = stepsOf(await chains.get(scope, id))
    await chains.pause(scope, id, 'ann')
    await w.env.clock.settle()
    await chains.reset(scope, id, back('a'))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', paused_by: 'ann' })
    await chains.resume(scope, id, 'ann')
    await w.env.clock.settle()
    const after = stepsOf(await chains.get(scope, id))
    expect(after['x']).toEqual(before['x'])
    expect(after['b']).toMatchObject({ iteration: 1, status: 'waiting' })
    // Nobody waits for the first child any more, so it was told to end.
    expect(after['sub']!['child_chain_id']).not.toBe(before['sub']!['child_chain_id'])
    expect(await chains.get(scope, before['sub']!['child_chain_id'] as string)).toMatchObject({ status: 'cancelled' })
    for (const name of ['b', 'x']) await chains.signal(scope, id, { name, payload: null, by: 'ann' })
    await chains.signal(scope, after['sub']!['child_chain_id'] as string, { name: 'in', payload: null, by: 'ann' })
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(sent(w)).toEqual({ a: 2 })
  })

  it('of a paused execution waits for the end of the sub-chain it leaves, where that has a lock or may be undone', async () => {
    const undo = { compensate: { provider: 'u', action_type: 'undo' } }
    const sub = { name: 's', sub_chain: 'inner' }
    const lines: JsonObject[] = [
      { ...line(step('a', 'a'), sub, step('z', 'z')), lock_by: 'payload.device_id' },
      line(step('a', 'a', undo), sub, step('z', 'z')),
      line(step('a', 'a', undo), both('s', [{ ...sub, name: 'in' }]), step('z', 'z')),
      { name: 'line', steps: [step('a', 'a', undo), { ...sub, needs: ['a'] }, { ...step('z', 'z'), needs: ['s'] }] },
    ]
    for (const root of lines)
      for (const to of ['a', 's']) {
        const h = held()
        const w = await world([root, { name: 'inner', steps: [step('k', 'k'), step('m', 'm')] }], {
          a: {},
          m: {},
          k: { script: [h.answer, OK] },
          u: {},
          z: {},
        })
        const chains = await w.node()
        const id = await ended(w, chains)
        await chains.pause(scope, id, 'ann')
        await w.env.clock.settle()
        await chains.reset(scope, id, back(to))
        await w.env.clock.settle()
        await chains.resume(scope, id, 'ann')
        const other = await ended(w, chains)
        for (let i = 0; i < 3; i++) await w.env.clock.settle()
        expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
        expect(sent(w)).toMatchObject({ k: root['lock_by'] ? 1 : 2, z: root['lock_by'] ? 0 : 1 })
        h.finish(OK)
        for (let i = 0; i < 6; i++) await w.env.clock.settle()
        const all = (await chains.list(scope, { limit: 9 })).chains
        expect(all.map((c) => `${c['chain_name']} ${c['status']}`).toSorted()).toEqual([
          ...['inner cancelled', 'inner completed', 'inner completed'],
          ...['line completed', 'line completed'],
        ])
        expect(await chains.get(scope, other)).toMatchObject({ status: 'completed' })
        expect(sent(w)).toMatchObject({ a: to === 'a' ? 3 : 2, k: 3, u: 0, z: 2 })
      }
  })

  it('is asked again while the sub-chain it has left is on its way, or is cancelled then', async () => {
    const undo = { compensate: { provider: 'u', action_type: 'undo' } }
    for (const cancels of [false, true]) {
      const h = held()
      const w = await world(
        [
          line(step('a', 'a', undo), { name: 's', sub_chain: 'inner' }, step('z', 'z')),
          { name: 'inner', steps: [step('k', 'k')] },
        ],
        { a: {}, k: { script: [h.answer, OK] }, u: {}, z: {} },
      )
      const chains = await w.node()
      const id = await ended(w, chains)
      for (const to of ['s', 'a', 's']) {
        await chains.pause(scope, id, 'ann')
        await w.env.clock.settle()
        await chains.reset(scope, id, back(to))
        await chains.resume(scope, id, 'ann')
        for (let i = 0; i < 3; i++) await w.env.clock.settle()
      }
      expect(sent(w)).toEqual({ a: 2, k: 1, u: 0, z: 0 })
      if (cancels) await chains.cancel(scope, id, 'ann')
      for (let i = 0; i < 3; i++) await w.env.clock.settle()
      expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting' })
      h.finish(OK)
      for (let i = 0; i < 6; i++) await w.env.clock.settle()
      expect(await chains.get(scope, id)).toMatchObject({ status: cancels ? 'compensated' : 'completed' })
      expect(sent(w)).toEqual(cancels ? { a: 2, k: 1, u: 2, z: 0 } : { a: 2, k: 2, u: 0, z: 1 })
    }
  })

  it('leaves a sub-chain that comes to its end all the same: that is undone with the rest', async () => {
    const undo = { compensate: { provider: 'u', action_type: 'undo', payload_template: { saw: '{{result.body.n}}' } } }
    for (const to of ['a', 's']) {
      const h = held()
      const w = await world(
        [
          line(step('a', 'a', undo), { name: 's', sub_chain: 'inner', ...undo }, step('z', 'z')),
          { name: 'inner', steps: [step('k', 'k')] },
        ],
        { a: {}, k: { script: [h.answer, { status: 200, body: { n: 2 } }] }, u: {}, z: { script: [fails] } },
      )
      const chains = await w.node()
      const id = await ended(w, chains)
      await chains.pause(scope, id, 'ann')
      await w.env.clock.settle()
      await chains.reset(scope, id, back(to))
      await chains.resume(scope, id, 'ann')
      for (let i = 0; i < 3; i++) await w.env.clock.settle()
      h.finish({ status: 200, body: { n: 1 } })
      for (let i = 0; i < 9; i++) await w.env.clock.settle()
      expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
      const saw = w.providers['u']!.sent.map((s) => (s.request as { payload: JsonObject }).payload['saw'])
      expect(saw.toSorted()).toEqual([1, 2, ...Array(to === 'a' ? 2 : 1).fill(null)])
    }
  })

  it('while an attempt is backed off: what was not done is not undone, and what may have been is', async () => {
    const undo = { compensate: { provider: 'u', action_type: 'undo', payload_template: { saw: '{{result}}' } } }
    const retry = { max_attempts: 3, backoff: 'fixed', initial_ms: 60_000 }
    for (const inGroup of [false, true])
      for (const [first, undos] of [
        [refused(), 1],
        [serverError(), 2],
      ] as const) {
        const a = step('a', 'a', { retry, ...undo })
        const w = await world([line(inGroup ? both('g', [a]) : a, step('c', 'c'))], {
          a: { script: [first, OK] },
          c: { script: [fails] },
          u: {},
        })
        const chains = await w.node()
        const id = await ended(w, chains)
        await chains.pause(scope, id, 'ann')
        await w.env.clock.settle()
        await chains.reset(scope, id, back(inGroup ? 'g' : 'a'))
        await w.env.clock.settle()
        await chains.resume(scope, id, 'ann')
        for (let i = 0; i < 4; i++) await w.env.clock.settle()
        expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
        expect(w.providers['u']!.sent).toHaveLength(undos)
      }
  })

  it('of a paused child its parent goes on waiting', async () => {
    const w = await world(
      [line({ name: 'sub', sub_chain: 'inner' }), { name: 'inner', steps: [step('a', 'a'), ask('in')] }],
      { a: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains)
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    await chains.pause(scope, child, 'ann')
    await w.env.clock.settle()
    await chains.reset(scope, child, back('a'))
    await chains.resume(scope, child, 'ann')
    await chains.signal(scope, child, { name: 'in', payload: null, by: 'ann' })
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(sent(w)).toEqual({ a: 2 })
  })

  it('is refused while a step is under way in it', async () => {
    const h = held()
    const w = await world([line(step('a', 'a'), step('b', 'b'), step('c', 'c'))], {
      a: {},
      b: { script: [h.answer] },
      c: {},
    })
    const chains = await w.node()
    const id = await ended(w, chains)
    await chains.pause(scope, id, 'ann')
    await w.env.clock.settle()
    await expect(chains.reset(scope, id, back('a'))).rejects.toMatchObject({
      status: 409,
      code: 'chain_running',
      message: expect.stringContaining('is let finish first'),
    })
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', paused_by: 'ann' })
    await chains.reset(scope, id, back('a'))
  })
})
