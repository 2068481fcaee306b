import { describe, expect, it } from 'vitest'
import { kinds } from '../../src/core/hold.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { badRequest, OK } from '../fakes/provider.ts'
import { actionOf, scope, start, step, type World, world } from './set-up.ts'

/** Every entry of the scope, whatever it is. */
const everything = async (w: World) => {
  const pages = await Promise.all(Object.values(kinds).map((kind) => w.memory.state.list(kind, scope, { limit: 1000 })))
  return pages.flatMap((p) => p.entries.map((e) => `${e.key.kind} ${e.key.id}`))
}
const settled = async (w: World, times = 4) => {
  for (let i = 0; i < times; i++) await w.env.clock.settle()
}

describe('purge', () => {
  it('of what an execution has left nothing remains, of whatever kind', async () => {
    const undo = { provider: 'u', action_type: 'undo' }
    const steps: JsonObject[] = [
      step('a', 'p', { compensate: undo, cache_ttl_seconds: 60, cache_key: '{{origin.id}}' }),
      { name: 'both', parallel: { branches: [step('x'), { name: 'w', wait: { seconds: 1 } }] } },
      { name: 'each', for_each: { items: [1, 2, 3], step: { provider: 'p', action_type: 'x' } } },
      { name: 'sub', sub_chain: 'inner' },
      { name: 'ask', wait_for_signal: { signal: 'go' } },
      step('bad', 'bad'),
    ]
    const w = await world(
      [
        { name: 'line', lock_by: 'payload.device', max_concurrent: 1, attributes: { a: 'b' }, steps },
        { name: 'inner', steps: [step('in')] },
      ],
      { p: {}, u: {}, bad: { script: [badRequest()] } },
      { config: { maxConcurrentPerScope: 3, deadLetterTtlSeconds: 60 } },
    )
    const chains = await w.node()
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.push(await start(w, chains, w.memory.state, 'line', actionOf({ device: 'd1' })))
    for (const id of ids) {
      for (const name of ['go', 'nobody']) await chains.signal(scope, id, { name, payload: null, by: 'ann' })
      await w.env.clock.advance(5000)
      await settled(w)
      expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
    }
    await w.env.clock.advance(1000)
    const all = await everything(w)
    expect(new Set(all.map((e) => e.split(' ')[0]))).toEqual(
      new Set(['run', 'step', 'history', 'step_cache', 'dead_letter', 'signal_came']),
    )
    // Sub-chains go after what began them.
    expect(await chains.purge(scope, w.env.clock.now(), 100)).toBe(3)
    expect(await chains.purge(scope, w.env.clock.now(), 100)).toBe(3)
    // What may be reused and what may be redriven have times of their own.
    await w.env.clock.advance(60_000)
    await w.memory.state.commit(scope, [
      ...(await everything(w))
        .filter((e) => e.startsWith('dead_letter'))
        .map((e) => ({ op: 'delete' as const, kind: 'dead_letter', id: e.split(' ')[1]! })),
    ])
    expect(await everything(w)).toEqual([])
  })

  it('of one with a thousand members too, and not of one that is brought back meanwhile', async () => {
    const items = Array.from({ length: 450 }, (_, i) => i)
    const many = (name: string, provider: string) => ({
      name,
      steps: [
        { name: 'each', for_each: { items, max_concurrency: 50, step: { provider, action_type: 'x' } } },
        step('end', 'end'),
      ],
    })
    const w = await world([many('many', 'p')], { p: {}, end: { script: [OK, badRequest(), OK] } })
    let between: (() => Promise<void>) | undefined
    const chains = await w.node({
      ...w.memory.state,
      async commit(...[s, ops, o]: Parameters<typeof w.memory.state.commit>) {
        const bites = ops.filter((op) => op.op === 'delete' && op.kind === 'step').length > 1
        if (bites && between) {
          const act = between
          between = undefined
          await act()
        }
        return w.memory.state.commit(s, ops, o)
      },
    })
    await start(w, chains, w.memory.state, 'many')
    await settled(w, 10)
    expect((await everything(w)).length).toBeGreaterThan(450)
    await w.env.clock.advance(1)
    expect(await chains.purge(scope, w.env.clock.now(), 10)).toBe(1)
    expect(await everything(w)).toEqual([])

    const id = await start(w, chains, w.memory.state, 'many')
    await settled(w, 10)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    await w.env.clock.advance(1)
    between = async () => {
      await chains.retry(scope, id, 'ann')
      await settled(w)
    }
    expect(await chains.purge(scope, w.env.clock.now(), 10)).toBe(0)
    expect(between).toBeUndefined()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(view!['steps']).toHaveLength(453)
  })

  it('what began before and has only just ended keeps nothing behind it', async () => {
    const w = await world(
      [
        { name: 'long', steps: [{ name: 'w', wait: { seconds: 100 } }] },
        { name: 'short', steps: [step('one')] },
      ],
      { p: {} },
    )
    const chains = await w.node()
    const long = await start(w, chains, w.memory.state, 'long')
    await w.env.clock.advance(1000)
    const short = await start(w, chains, w.memory.state, 'short')
    await w.env.clock.advance(50_000)
    const before = w.env.clock.now()
    await w.env.clock.advance(60_000)
    await settled(w)
    expect(await chains.purge(scope, before, 1)).toBe(1)
    expect(await chains.get(scope, short)).toBeUndefined()
    expect(await chains.get(scope, long)).toMatchObject({ status: 'completed' })
  })

  it('a sub-chain stays as long as what waits for it, or may be brought back to it', async () => {
    const w = await world(
      [
        {
          name: 'line',
          steps: [
            { name: 'sub', sub_chain: 'inner', on_failure: 'continue' },
            { name: 'w', wait: { seconds: 100 } },
          ],
        },
        { name: 'inner', steps: [step('one', 'p'), step('two', 'bad')] },
      ],
      { p: {}, bad: { script: [badRequest(), OK] } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await settled(w)
    await w.env.clock.advance(50_000)
    expect(await chains.purge(scope, w.env.clock.now(), 10)).toBe(0)
    await w.env.clock.advance(60_000)
    await settled(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'partially_completed' })
    expect(await chains.purge(scope, w.env.clock.now() - 50_000, 10)).toBe(0)
    await chains.retry(scope, id, 'ann')
    await settled(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    // What was done in it was not done again.
    expect(w.providers['p']!.sent).toHaveLength(1)
    await w.env.clock.advance(1)
    expect(await chains.purge(scope, w.env.clock.now(), 10)).toBe(1)
    expect(await chains.purge(scope, w.env.clock.now(), 10)).toBe(1)
    expect(await everything(w)).toEqual([])
  })

  it('once begun, nobody brings the rest back', async () => {
    const w = await world([{ name: 'line', steps: [step('a')] }], { p: { script: [badRequest()] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await settled(w)
    await w.memory.state.commit(scope, [{ op: 'delete', kind: 'step', id: `${id}/begin` }])
    await expect(chains.retry(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_moved_on' })
    await expect(chains.reset(scope, id, { step: 'a', by: 'ann' })).rejects.toMatchObject({ status: 409 })
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    expect(await chains.purge(scope, w.env.clock.now() + 1, 10)).toBe(1)
    expect((await everything(w)).filter((e) => !e.startsWith('dead_letter'))).toEqual([])
  })
})
