import { describe, expect, it } from 'vitest'
import { held, OK } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { audit, letters, line, pullFor, scope, start, step, stepsOf, world } from './set-up.ts'

describe('timeouts', () => {
  it('PITFALLS 18: a node that dies leaves an execution that is due, and its timeout fires', async () => {
    const h = held()
    const w = await world([line(step('one'), step('two'))], { p: { script: [h.answer] } })
    const dying = crashing(w.memory.state, 2, 'before')
    const first = await w.node(dying)
    const id = await start(w, first, dying, 'line')
    await w.env.clock.settle()
    h.finish(OK)
    await w.env.clock.advance(101_000)
    const second = await w.node()
    await second.pull()
    await w.env.clock.settle()
    expect(await second.get(scope, id)).toMatchObject({ status: 'timed_out', error: { code: 'timed_out' } })
    // It was sent, but nobody knows how it ended: it is kept, with what was sent.
    expect(await letters(w)).toMatchObject([
      {
        code: 'timed_out',
        unknown: true,
        provider: 'p',
        request: w.providers['p']!.sent[0]!.request,
        origin: { chain_id: id, step: 'one' },
      },
    ])
    expect((await audit(w, { kind: 'chain' })).map((r) => r.outcome)).toEqual(['timed_out'])
  })

  it('ends a step that hangs, and says which', async () => {
    const w = await world([line(step('one', 'p', { timeout_seconds: 5 }), step('two'))], {
      p: { script: [() => new Promise<never>(() => {})] },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(5000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', last_step: 'one', error: { code: 'timeout' } })
    expect(await letters(w)).toMatchObject([{ code: 'timeout', unknown: true }])
  })

  it('a parent that times out ends its child with it, and nothing that was accepted vanishes', async () => {
    const h = held()
    const w = await world(
      [line({ name: 'sub', sub_chain: 'inner' }), { name: 'inner', timeout_seconds: 3600, steps: [step('in')] }],
      {
        p: { script: [h.answer], timeoutMs: 500_000 },
      },
      { config: { stepDeadlineSeconds: 1000 } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 130)
    const all = (await chains.list(scope, { limit: 10 })).chains
    expect(all.map((c) => c['status'])).toEqual(['timed_out', 'timed_out'])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out' })
    expect(await letters(w)).toHaveLength(1)
    expect((await w.memory.state.depths()).find((d) => d.kind === 'run')).toBeUndefined()
  })

  it('of a step that runs a sub-chain runs also while that waits for a place', async () => {
    const h = held()
    const w = await world(
      [
        line({ name: 'sub', sub_chain: 'inner', timeout_seconds: 5, on_failure: 'continue' }, step('after', 'q')),
        { name: 'inner', max_concurrent: 1, steps: [step('in')] },
      ],
      { p: { script: [h.answer], timeoutMs: 500_000 }, q: {} },
      { config: { stepDeadlineSeconds: 500 } },
    )
    const chains = await w.node()
    await start(w, chains, w.memory.state, 'inner')
    await w.env.clock.settle()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 10)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'partially_completed' })
    expect(stepsOf(view)['sub']).toMatchObject({ output: { error: { code: 'timed_out' } } })
    expect(w.providers['p']!.sent).toHaveLength(1)
  })

  it('a sub-chain that ended in time completes its parent, though nobody saw it until later', async () => {
    const h = held()
    const nested = [line({ name: 'sub', sub_chain: 'inner' }), { name: 'inner', steps: [step('in')] }]
    const w = await world(
      nested,
      { p: { script: [h.answer], timeoutMs: 500_000 } },
      { config: { stepDeadlineSeconds: 1000 } },
    )
    let asleep = false
    const first = await w.node({
      ...w.memory.state,
      claim: (...a) => (asleep ? Promise.resolve([]) : w.memory.state.claim(...a)),
    })
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.advance(90_000)
    asleep = true
    h.finish(OK)
    await w.env.clock.advance(60_000)
    expect(await first.get(scope, id)).toMatchObject({ status: 'waiting' })
    const second = await w.node()
    await second.pull()
    await w.env.clock.settle()
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('a step that is complete at the last moment completes the execution', async () => {
    const h = held()
    const w = await world(
      [line(step('one'))],
      { p: { script: [h.answer], timeoutMs: 500_000 } },
      { config: { stepDeadlineSeconds: 1000 } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(99_999)
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
  })
})

describe('keeping', () => {
  it('purges executions that ended before a moment with all they left, and no others', async () => {
    const h = held()
    const w = await world([line(step('one'), step('two'))], { p: { script: [OK, OK, OK, OK, h.answer] } })
    const chains = await w.node()
    await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(1000)
    const young = await start(w, chains, w.memory.state, 'line')
    const open = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await chains.purge(scope, w.env.clock.now(), 10)).toBe(1)
    expect((await chains.list(scope, { limit: 10 })).chains.map((c) => c['chain_id']).sort()).toEqual(
      [young, open].sort(),
    )
    const left = await w.memory.state.list('step', scope, { limit: 100 })
    expect(left.entries.every((e) => e.key.id.startsWith(young) || e.key.id.startsWith(open))).toBe(true)
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.purge(scope, w.env.clock.now() + 1, 10)).toBe(2)
    expect((await chains.list(scope, { limit: 10 })).chains).toEqual([])
    expect((await w.memory.state.list('step', scope, { limit: 100 })).entries).toEqual([])
  })
})
