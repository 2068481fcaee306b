import { describe, expect, it } from 'vitest'
import { Problem, ProviderError } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { listDeadLetters } from '../../src/delivery/dead-letters.ts'
import { badRequest, held, OK, receiver, scriptedProvider, unavailable } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { actionOf, audit, scope, start, stepsOf, world } from './set-up.ts'

const step = (name: string, provider = 'p', more: JsonObject = {}) => ({ name, provider, action_type: 'x', ...more })
const line = (...steps: JsonObject[]) => ({ name: 'line', timeout_seconds: 100, steps })
const pullFor = async (
  w: { env: { clock: { advance(ms: number): Promise<void> } } },
  chains: { pull(): Promise<number> },
  seconds: number,
) => {
  for (let s = 0; s < seconds; s += 10) {
    await w.env.clock.advance(10_000)
    await chains.pull()
  }
  await w.env.clock.advance(0)
}
const letters = async (w: { memory: { state: Parameters<typeof listDeadLetters>[0] } }) =>
  (await listDeadLetters(w.memory.state, scope, { limit: 100 })).letters

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
    await chains.cancel(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'cancelled' })
    h.finish(OK)
    await w.env.clock.settle()
    const all = await chains.list(scope, { limit: 10 })
    expect(all.chains.map((c) => c['status'])).toEqual(['cancelled', 'cancelled'])
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

describe('what steps see', () => {
  it('PITFALLS 40: text that came from a response is never expanded again', async () => {
    const evil = { text: '{{origin.payload.secret}} {{steps.two.body}}', '{{chain_id}}': '{{prev}}' }
    const w = await world(
      [
        line(
          step('one'),
          step('two', 'q', { payload_template: { all: '{{prev.body}}', part: 'got {{step_result.text}}' } }),
        ),
      ],
      {
        p: { script: [{ status: 200, body: evil }] },
        q: {},
      },
    )
    const chains = await w.node()
    await start(w, chains, w.memory.state, 'line', actionOf({ secret: 's3cret' }))
    await w.env.clock.settle()
    expect(w.providers['q']!.sent[0]!.request).toMatchObject({ payload: { all: evil, part: `got ${evil.text}` } })
  })

  it('a path that is not there is null, empty in text, and listed as missing', async () => {
    const template = {
      a: '{{prev.body.x}}',
      b: 'is {{steps.two.body.y}}!',
      c: '{{ origin.payload.v }}',
      id: '{{chain_id}}',
    }
    const w = await world([line(step('one', 'p', { payload_template: template }), step('two'))], { p: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ v: { n: 1 } }))
    await w.env.clock.settle()
    expect(stepsOf(await chains.get(scope, id))['one']).toMatchObject({
      input: { a: null, b: 'is !', c: { n: 1 }, id },
      missing: ['prev.body.x', 'steps.two.body.y'],
    })
  })

  it('without a template the payload is the origin as it is; a template that gives no object fails the step', async () => {
    const w = await world([line(step('one'), step('two', 'p', { payload_template: '{{prev.status}}' }))], { p: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ v: 1 }))
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(stepsOf(view)['one']).toMatchObject({ input: { v: 1 } })
    expect(view).toMatchObject({ status: 'failed', error: { code: 'invalid_payload' } })
  })

  it('a payload the provider does not take is a failed step with a dead letter, and nothing is sent', async () => {
    const p = scriptedProvider('p', [OK], {
      render: () => {
        throw new ProviderError('invalid_payload', 'must be text', { pointer: '/message' })
      },
    })
    const w = await world([line(step('one'))], { p: { provider: p } })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({
      status: 'failed',
      error: { code: 'invalid_payload', message: 'must be text at /message' },
    })
    expect(await letters(w)).toMatchObject([{ code: 'invalid_payload', unknown: false, attempts: 0 }])
    expect(p.sent).toHaveLength(0)
  })

  it('a loop enters a step anew each time, under a token of its own, and sees its last result', async () => {
    const branches = [{ field: 'body.n', operator: 'ne', value: 3, target: 'ask' }]
    const answers = [1, 2, 3].map((n) => ({ status: 200, body: { n } }))
    const w = await world(
      [line(step('ask', 'p', { branches }), step('done', 'q', { payload_template: { n: '{{steps.ask.body.n}}' } }))],
      {
        p: { script: answers },
        q: {},
      },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(new Set(w.providers['p']!.sent.map((s) => s.token)).size).toBe(3)
    expect(w.providers['q']!.sent[0]!.request).toMatchObject({ payload: { n: 3 } })
    const view = await chains.get(scope, id)
    expect((view!['steps'] as JsonObject[]).map((s) => [s['name'], s['iteration']])).toEqual([
      ['ask', 0],
      ['ask', 1],
      ['ask', 2],
      ['done', 0],
    ])
  })

  it('a loop that never finds its exit ends after 1000 steps', async () => {
    const branches = [{ field: 'success', operator: 'eq', value: true, target: 'ask' }]
    const w = await world([line(step('ask', 'log', { branches }))], {
      log: { provider: scriptedProvider('log', [OK], { hasEffect: false }) },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    for (let i = 0; i < 500; i++) await w.env.clock.settle()
    const [view] = (await chains.list(scope, { limit: 1 })).chains
    expect(view).toMatchObject({ chain_id: id, status: 'failed', error: { code: 'too_many_steps' }, steps_taken: 1000 })
  })
})

describe('redrive', () => {
  const inner = { name: 'inner', steps: [step('in'), step('in2')] }
  const outer = line({ name: 'sub', sub_chain: 'inner' }, step('after', 'q'))

  it('continues a failed execution at its failed step under a new token, and its parents with it', async () => {
    const w = await world([outer, inner], { p: { script: [OK, badRequest(), OK] }, q: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', last_step: 'sub' })
    const [letter] = await letters(w)
    const failed = { scope, chainId: letter!.origin.chain_id!, step: 'in2', iteration: letter!.origin.iteration! }
    // Long after: what was kept must not have gone, and the deadline is a new one.
    await w.env.clock.advance(3_000_000)
    await chains.resumeFromDeadLetter(failed, [{ op: 'delete', kind: 'dead_letter', id: letter!.id }])
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', resumed: 1, steps_taken: 2 })
    expect(await letters(w)).toEqual([])
    const tokens = w.providers['p']!.sent.map((s) => s.token)
    expect(new Set(tokens).size).toBe(3) // PITFALLS 36: no stale token
    expect(w.providers['q']!.sent).toHaveLength(1)
    expect((await audit(w, { kind: 'chain' })).map((r) => r.outcome).sort()).toEqual([
      'completed',
      'completed',
      'failed',
      'failed',
    ])
    await expect(chains.resumeFromDeadLetter(failed, [])).rejects.toMatchObject({ code: 'chain_moved_on' })
  })

  it('is refused when the execution has gone on, and of two at once one is', async () => {
    const judged = line(step('one', 'p', { default_next: 'two' }), step('two', 'q'))
    const w = await world([judged, { name: 'plain', steps: [step('one')] }], {
      p: { script: [badRequest(), badRequest(), OK] },
      q: {},
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    await expect(chains.resumeFromDeadLetter({ scope, chainId: id, step: 'one', iteration: 0 }, [])).rejects.toThrow(
      Problem,
    )
    const plain = await start(w, chains, w.memory.state, 'plain')
    await w.env.clock.settle()
    const both = await Promise.allSettled(
      [1, 2].map(() => chains.resumeFromDeadLetter({ scope, chainId: plain, step: 'one', iteration: 0 }, [])),
    )
    await w.env.clock.settle()
    expect(both.map((b) => b.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await chains.get(scope, plain)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(3)
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
    // By themselves after completed_chain_ttl_seconds.
    await w.env.clock.advance(8_000_000)
    expect((await chains.list(scope, { limit: 10 })).chains).toEqual([])
    expect((await w.memory.state.list('step', scope, { limit: 100 })).entries).toEqual([])
  })
})
