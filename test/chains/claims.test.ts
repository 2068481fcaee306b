import { describe, expect, it } from 'vitest'
import { held, OK, receiver, scriptedProvider, unavailable } from '../fakes/provider.ts'
import { audit, line, pullFor, scope, start, step, stepsOf, world } from './set-up.ts'

describe('claims', () => {
  it('PITFALLS 65: a node that slept through its lease writes nothing, and what it sends late has the same bytes', async () => {
    const taken = receiver()
    const h = held()
    const p = scriptedProvider('p', [
      (s) => {
        taken.take(s)
        return (h.answer as (s: unknown) => Promise<typeof OK>)(s)
      },
      taken.accept({ status: 200, body: { from: 'second' } }),
    ])
    const w = await world([line(step('one'), step('two'))], { p: { provider: p, timeoutMs: 80_000 } })
    // Its renewals do not get through: as if the process were stopped.
    const first = await w.node({
      ...w.memory.state,
      commit: (s, ops, o) => (ops[0]?.op === 'touch' ? new Promise(() => {}) : w.memory.state.commit(s, ops, o)),
    })
    const second = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await pullFor(w, second, 40)
    h.finish({ status: 200, body: { from: 'first' } })
    await w.env.clock.settle()
    const view = await second.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', steps_taken: 2 })
    expect(stepsOf(view)['one']).toMatchObject({ output: { body: { from: 'second' } } })
    expect(p.sent).toHaveLength(3)
    expect(taken.effects.size).toBe(2)
    expect((await audit(w)).filter((r) => r.kind === 'chain_step')).toHaveLength(2)
  })

  it('PITFALLS 65: a write that was under way while another node took over and finished changes nothing', async () => {
    const taken = receiver()
    const p = scriptedProvider('p', [taken.accept({ status: 200, body: { n: 1 } }), taken.accept()])
    const w = await world([line(step('one'), step('two'))], { p: { provider: p } })
    const { promise: awake, resolve: wake } = Promise.withResolvers<void>()
    let late: string | undefined
    const first = await w.node({
      ...w.memory.state,
      async commit(s, ops, o) {
        if (ops[0]?.op === 'touch') return new Promise(() => {})
        await awake
        const answer = await w.memory.state.commit(s, ops, o)
        late = answer.ok ? 'done' : 'refused'
        return answer
      },
    })
    const second = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await pullFor(w, second, 40)
    const before = await second.get(scope, id)
    expect(before).toMatchObject({ status: 'completed', steps_taken: 2 })
    wake()
    await w.env.clock.settle()
    expect(late).toBe('refused')
    expect(await second.get(scope, id)).toEqual(before)
    expect(taken.effects.size).toBe(2)
  })

  it('PITFALLS 65: a node whose claim another has by now turns to no fallback', async () => {
    const w = await world(
      [line(step('one', 'p', { fallback_provider: 'q' }))],
      {
        p: {
          provider: scriptedProvider('p', [
            async () => {
              await stolen()
              throw unavailable()
            },
          ]),
        },
        q: {},
      },
      { thresholds: { p: 1 } },
    )
    let id = ''
    async function stolen(): Promise<void> {
      const [entry] = await w.memory.state.get([{ kind: 'run', scope, id }])
      const claim = { owner: 'another', until: w.env.clock.now() + 60_000 }
      await w.memory.state.commit(scope, [
        { op: 'put', kind: 'run', id, value: entry!.value, version: 'another', tags: entry!.tags, claim },
      ])
    }
    const chains = await w.node()
    id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(1000)
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect(w.providers['q']!.sent).toHaveLength(0)
    expect((await w.memory.state.get([{ kind: 'run', scope, id }]))[0]).toMatchObject({ version: 'another' })
  })

  it('PITFALLS 65: what another node drives by now is not begun here', async () => {
    const h = held()
    const w = await world([line(step('one'))], { p: { script: [h.answer] } })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.settle()
    const second = await w.node()
    void second.begin(scope, id, { owner: 'before', until: 0, number: 0 })
    await w.env.clock.settle()
    expect(second.driven()).toBe(0)
    expect(w.providers['p']!.sent).toHaveLength(1)
    h.finish(OK)
    await w.env.clock.settle()
    expect(await first.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('PITFALLS 49: finished work whose claim ran out, but which nobody took over, still counts', async () => {
    const h = held()
    const w = await world([line(step('one'))], { p: { script: [h.answer], timeoutMs: 80_000 } })
    let down = false
    const store: typeof w.memory.state = {
      ...w.memory.state,
      commit: (s, ops, o) =>
        down && ops[0]?.op === 'touch'
          ? Promise.resolve({ ok: true, results: [{}] })
          : w.memory.state.commit(s, ops, o),
    }
    const chains = await w.node(store)
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    // Renewals are said to be done and are not: the store's claim is over after 30 s.
    down = true
    await w.env.clock.advance(40_000)
    h.finish(OK)
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(1)
  })

  it('PITFALLS 44: executions that hang block no others, and those without room wait their turn in the store', async () => {
    const stuck = held()
    const w = await world(
      [
        { name: 'slow', steps: [step('one', 'slow')] },
        { name: 'quick', steps: [step('one', 'quick'), step('two', 'quick')] },
      ],
      { slow: { script: [stuck.answer], timeoutMs: 200_000 }, quick: {} },
      { config: { maxConcurrentAdvances: 3 } },
    )
    const chains = await w.node()
    for (let i = 0; i < 2; i++) await start(w, chains, w.memory.state, 'slow')
    await w.env.clock.settle()
    expect(chains.room()).toBe(1)
    const quick = []
    for (let i = 0; i < 10; i++) quick.push(await start(w, chains, w.memory.state, 'quick'))
    await w.env.clock.settle()
    expect((await chains.list(scope, { name: 'quick', status: 'completed', limit: 100 })).chains).toHaveLength(10)
    expect(chains.room()).toBe(1)
    stuck.finish(OK)
    await w.env.clock.settle()
    expect((await chains.list(scope, { status: 'completed', limit: 100 })).chains).toHaveLength(12)
    expect(w.providers['slow']!.mostInFlight + w.providers['quick']!.mostInFlight).toBeLessThanOrEqual(3)
  })
})

describe('stop', () => {
  it('PITFALLS 45: back-off is handed back with its moment, and a stray wake-up does not send before it', async () => {
    const w = await world([line(step('one'))], { p: { script: [unavailable(20_000), OK], maxRetries: 3 } })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.settle()
    await first.stop()
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect(await first.get(scope, id)).toMatchObject({ status: 'running', not_before: expect.any(String) })
    const second = await w.node()
    await w.memory.state.commit(scope, [{ op: 'wake', kind: 'run', id }])
    await second.pull()
    await w.env.clock.settle()
    expect(w.providers['p']!.sent).toHaveLength(1)
    await pullFor(w, second, 40)
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect(new Set(w.providers['p']!.sent.map((s) => s.token)).size).toBe(1)
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('lets the attempt under way finish, and hands the next step to another node', async () => {
    const h = held()
    const w = await world([line(step('one'), step('two'))], { p: { script: [h.answer, OK] } })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.settle()
    const stopped = first.stop()
    h.finish(OK)
    await stopped
    expect(w.providers['p']!.sent).toHaveLength(1)
    const second = await w.node()
    expect(await second.pull()).toBe(1)
    await w.env.clock.settle()
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed', steps_taken: 2 })
  })

  it('a node that lacks the provider hands the execution back to one that has it', async () => {
    const w = await world([line(step('one'))], { p: {} })
    const bare = await w.node(w.memory.state, { routes: new Map() })
    const id = await start(w, bare, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await bare.get(scope, id)).toMatchObject({ status: 'running' })
    const other = await w.node()
    await pullFor(w, other, 20)
    expect(await other.get(scope, id)).toMatchObject({ status: 'completed' })
  })
})
