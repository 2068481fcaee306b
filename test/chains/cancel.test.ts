import { describe, expect, it } from 'vitest'
import { held, OK, unavailable } from '../fakes/provider.ts'
import { audit, line, pullFor, scope, start, step, stepsOf, world } from './set-up.ts'

describe('cancel', () => {
  it('PITFALLS 38: a cancel that comes while a step is in flight is not overwritten by its result', async () => {
    const h = held()
    const w = await world([line(step('one'), step('two'))], { p: { script: [h.answer, OK] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    // From another node: it does not share the memory of the one that sends.
    const other = await w.node()
    expect(await other.cancel(scope, id, 'ann')).toMatchObject({ chain_id: id, cancel_requested: true })
    await w.env.clock.settle()
    h.finish(OK)
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'cancelled', cancelled_by: 'ann', steps_taken: 1 })
    expect(stepsOf(view)['one']).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(1)
    await expect(other.cancel(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_ended' })
    await expect(other.cancel(scope, 'nothing', 'ann')).rejects.toMatchObject({ status: 404 })
    expect((await audit(w, { kind: 'chain' })).map((r) => [r.outcome, r.caller])).toEqual([['cancelled', 'ann']])
  })

  it('ends back-off at once', async () => {
    const w = await world([line(step('one'))], { p: { script: [unavailable()], maxRetries: 50 } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(2000)
    await chains.cancel(scope, id, 'ann')
    await w.env.clock.settle()
    const sent = w.providers['p']!.sent.length
    expect(await chains.get(scope, id)).toMatchObject({ status: 'cancelled' })
    await pullFor(w, chains, 60)
    expect(w.providers['p']!.sent).toHaveLength(sent)
  })

  it('a cancel that comes while the last step is in flight is too late: what is complete is complete', async () => {
    const h = held()
    const w = await world([line(step('one'))], { p: { script: [h.answer] } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await chains.cancel(scope, id, 'ann')
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect((await w.memory.state.list('inbox', scope, { limit: 10 })).entries).toEqual([])
  })

  it('reaches the children', async () => {
    const h = held()
    const w = await world(
      [line({ name: 'sub', sub_chain: 'inner' }, step('after')), { name: 'inner', steps: [step('in'), step('in2')] }],
      {
        p: { script: [h.answer, OK] },
      },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', current_step: 'sub' })
    // It is due all the while, at its deadline: whatever becomes of the child, it ends.
    const [entry] = await w.memory.state.get([{ kind: 'run', scope, id }])
    expect(entry).toMatchObject({ dueAt: w.env.clock.now() + 100_000 })
    expect(entry!.claim).toBeUndefined()
    await chains.cancel(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'cancelled' })
    h.finish(OK)
    await w.env.clock.settle()
    const all = await chains.list(scope, { limit: 10 })
    expect(all.chains.map((c) => c['status'])).toEqual(['cancelled', 'cancelled'])
    expect((await w.memory.state.list('inbox', scope, { limit: 10 })).entries).toEqual([])
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect((await w.memory.state.depths()).find((d) => d.kind === 'run')).toBeUndefined()
  })

  it('a cancelled child is the failure of its parent step', async () => {
    const h = held()
    const w = await world(
      [
        line({ name: 'sub', sub_chain: 'inner', default_next: 'after' }, step('after', 'q')),
        { name: 'inner', steps: [step('in')] },
      ],
      {
        p: { script: [h.answer, OK], maxRetries: 3 },
        q: {},
      },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    h.finish(unavailable())
    await w.env.clock.settle()
    await chains.cancel(scope, child, 'bob')
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(stepsOf(view)['sub']).toMatchObject({ output: { success: false, error: { code: 'cancelled' } } })
  })
})
