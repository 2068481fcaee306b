import { describe, expect, it } from 'vitest'
import { StateUnavailable } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Op } from '../../src/core/state.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, held, OK, receiver, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { crashing, gated } from '../fakes/store.ts'
import {
  actionOf,
  both,
  letters,
  line,
  payloads,
  pullFor,
  quiet,
  scope,
  slow,
  start,
  step,
  stepsOf,
  world,
} from './set-up.ts'

const says = (ops: readonly Op[], event: string): boolean =>
  ops.some((o) => o.op === 'put' && o.kind === 'history' && o.value.includes(`"type":"${event}"`))
const go = (n: number) => ({ name: 'go', payload: { n }, by: 'ann' })
const faults = (w: { env: { logged: readonly { level: string; message: string }[] } }) =>
  w.env.logged.filter((l) => l.level === 'error').map((l) => l.message)

describe('while a step ends', () => {
  it('its end being stored is no time to send it again, whatever the inbox says meanwhile', async () => {
    const h = held()
    const w = await world([line(step('one'), step('two', 'q'))], { p: { script: [h.answer] }, q: {} })
    const inbox = gated(w.memory.state, { list: (kind) => kind === 'inbox' })
    const store = gated(inbox, { commit: (ops) => says(ops, 'step_ended') })
    const chains = await w.node(store)
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    // A look at the inbox is under way when the answer comes, and over before the end of the step is.
    await w.env.clock.advance(5000)
    expect(inbox.waiting).toBe(1)
    h.finish(OK)
    await w.env.clock.settle()
    inbox.open()
    await w.env.clock.settle()
    store.open()
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(1)
  })

  it('what has been stored is not sent while a turn decides that it is not wanted', async () => {
    const h = held()
    const undo = { compensate: { provider: 'undo', action_type: 'x' } }
    // Of two independent branches one ends and begins the next step; while that is looked at, the other fails.
    const w = await world(
      [
        line(
          step('a', 'a', { needs: [] }),
          step('bad', 'bad', { needs: [] }),
          step('b', 'b', { needs: ['a'], ...undo }),
        ),
      ],
      { a: {}, bad: { script: [h.answer] }, b: {}, undo: {} },
    )
    const store = gated(w.memory.state, { commit: (ops) => says(ops, 'stopping'), late: true })
    const chains = await w.node({
      ...store,
      commit: async (...asked) => {
        if (says(asked[1], 'step_ended')) {
          h.finish(badRequest())
          await w.env.clock.settle()
        }
        return store.commit(...asked)
      },
    })
    const id = await start(w, chains, w.memory.state, 'line')
    for (let i = 0; i < 10 && store.waiting === 0; i++) await w.env.clock.settle()
    expect(store.waiting).toBe(1)
    store.open()
    await quiet(w)
    const sent = w.providers['b']!.sent.length
    // Sent or not, what is known of it is true.
    expect(w.providers['undo']!.sent).toHaveLength(sent)
    expect(await chains.get(scope, id)).toMatchObject({ status: sent === 0 ? 'failed' : 'compensated' })
  })

  it('a look at the inbox that began before it does not bring back a signal that it took', async () => {
    const h = [held(), held()]
    const wait = (name: string) => ({ name, wait_for_signal: { signal: 'go' } })
    const told = { payload_template: { a: '{{steps.a.body.payload.n}}', b: '{{steps.b.body.payload.n}}' } }
    const w = await world([line(step('one'), wait('a'), step('two'), wait('b'), step('last', 'q', told))], {
      p: { script: [h[0]!.answer, h[1]!.answer] },
      q: {},
    })
    let looks = 0
    const inbox = gated(w.memory.state, { list: (kind) => kind === 'inbox' && ++looks === 2 })
    const chains = await w.node(inbox)
    const other = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    await other.signal(scope, id, go(1))
    await w.env.clock.advance(5000)
    await other.signal(scope, id, go(2))
    await w.env.clock.advance(5000)
    expect(inbox.waiting).toBe(1)
    h[0]!.finish(OK)
    await w.env.clock.settle()
    inbox.open()
    await w.env.clock.settle()
    h[1]!.finish(OK)
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(payloads(w.providers['q'])).toEqual([{ a: 1, b: 2 }])
  })

  it('a signal that comes while its wait is being stored is acted on at once', async () => {
    const w = await world([line({ name: 'a', wait_for_signal: { signal: 'go' } }, step('last'))], { p: {} })
    const store = gated(w.memory.state, { commit: (ops) => says(ops, 'step_attempted'), late: true })
    const chains = await w.node(store)
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(store.waiting).toBe(1)
    await chains.signal(scope, id, go(1))
    await w.env.clock.settle()
    store.open()
    await quiet(w)
    // No time has passed, and nothing has looked for what is due.
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 0 })
  })

  it('a store that cannot say who is next in line does not end the process, and is asked again', async () => {
    const h = held()
    const w = await world([{ ...line(step('one')), lock_by: 'payload.device_id' }], { p: { script: [h.answer, OK] } })
    let down = false
    const chains = await w.node({
      ...w.memory.state,
      get: (keys) =>
        down && keys[0]?.kind === 'chain_lock'
          ? Promise.reject(new StateUnavailable('down'))
          : w.memory.state.get(keys),
    })
    const device = () => actionOf({ device_id: 'd1' })
    const id = await start(w, chains, w.memory.state, 'line', device())
    await quiet(w)
    const next = await start(w, chains, w.memory.state, 'line', device())
    await quiet(w)
    expect(await chains.get(scope, next)).toMatchObject({ status: 'pending' })
    down = true
    h.finish(OK)
    await w.env.clock.advance(3000)
    down = false
    await w.env.clock.advance(3000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(await chains.get(scope, next)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect(faults(w)).toEqual([])
  })
})

describe('a node that lacks what one branch needs', () => {
  it('acts on the others meanwhile, looks again from time to time, and never as fast as it can', async () => {
    const h = held()
    const env = testEnv()
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b'), { name: 'c', wait: { seconds: 3 } }]))],
      { a: { script: [h.answer], timeoutMs: 90_000 }, b: {} },
      { env },
    )
    const routes = new Map([...w.routes].filter(([name]) => name !== 'b'))
    const bare = await w.node(w.memory.state, { routes })
    const id = await start(w, bare, w.memory.state, 'line')
    await env.clock.advance(30_000)
    expect(stepsOf(await bare.get(scope, id))['both.c']).toMatchObject({ status: 'completed', duration_ms: 3000 })
    expect(w.env.logged.filter((l) => l.message.includes('waits for what its step needs')).length).toBeLessThan(8)
    expect(w.watch.commits).toBeLessThan(8)
    h.finish(OK)
    await env.clock.settle()
    const other = await w.node()
    await pullFor(w, other, 20)
    expect(await other.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['b']!.sent).toHaveLength(1)
  })

  it('a reload that brings it is seen while the others act', async () => {
    const env = testEnv()
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b')]))],
      { a: { script: [slow(env, 25_000)] }, b: {} },
      { env },
    )
    const routes = new Map([...w.routes].filter(([name]) => name !== 'b'))
    const chains = await w.node(w.memory.state, { routes })
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'running', waiting_for: 'provider b' })
    chains.reload(w.routes)
    await env.clock.advance(24_000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 25_000 })
    expect(await chains.get(scope, id)).not.toHaveProperty('waiting_for')
  })

  it('is said beside the sub-chains that it waits for', async () => {
    const asks = { name: 'ask', wait_for_signal: { signal: 'go' } }
    const w = await world(
      [line(both('both', [{ name: 'sub', sub_chain: 'inner' }, step('b', 'b')])), { name: 'inner', steps: [asks] }],
      { b: {} },
    )
    const chains = await w.node(w.memory.state, { routes: new Map() })
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(1000)
    const [child] = (await chains.list(scope, { limit: 1, name: 'inner' })).chains
    expect(await chains.get(scope, id)).toMatchObject({ waiting_for: [child!['chain_id'], 'provider b'] })
  })

  it('where it was sent before and nobody saw the end, it is handed on until a node has it, the same bytes', async () => {
    const taken = receiver()
    const p = scriptedProvider('p', [taken.accept()])
    const w = await world([line(step('one'), step('two', 'q'))], { p: { provider: p }, q: {} })
    const dying = crashing(w.memory.state, 2, 'before')
    const id = await start(w, await w.node(dying), dying, 'line')
    await quiet(w)
    expect(taken.taken).toBe(1)
    const bare = await w.node(w.memory.state, { routes: new Map([...w.routes].filter(([name]) => name !== 'p')) })
    await pullFor(w, bare, 60)
    expect(await bare.get(scope, id)).toMatchObject({ status: 'running' })
    const second = await w.node()
    await pullFor(w, second, 20)
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(taken.taken).toBe(2)
    expect(taken.effects.size).toBe(1)
  })

  it('nor is that forgotten by the node that waits for it beside others', async () => {
    const env = testEnv()
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b')]))],
      {
        a: { script: [held().answer, slow(env, 20_000)], timeoutMs: 90_000 },
        b: { script: [held().answer, badRequest()], timeoutMs: 90_000 },
      },
      { env },
    )
    const dying = crashing(w.memory.state, 3, 'before')
    const id = await start(w, await w.node(dying), dying, 'line')
    await env.clock.advance(40_000)
    expect(w.providers['b']!.sent).toHaveLength(1)
    const routes = new Map([...w.routes].filter(([name]) => name !== 'b'))
    const second = await w.node(w.memory.state, { routes })
    await second.pull()
    await w.env.clock.advance(1000)
    second.reload(w.routes)
    await w.env.clock.advance(25_000)
    expect(w.providers['b']!.sent).toHaveLength(2)
    expect(await second.get(scope, id)).toMatchObject({ status: 'failed' })
    expect(await letters(w)).toMatchObject([{ code: 'http_400', provider: 'b', unknown: true }])
  })

  it('where nobody has it again, a cancelled execution ends with its time, and says what is not known', async () => {
    const w = await world([line(step('one'), step('two', 'q'))], { p: {}, q: {} })
    const dying = crashing(w.memory.state, 2, 'before')
    const id = await start(w, await w.node(dying), dying, 'line')
    await quiet(w)
    const bare = await w.node(w.memory.state, { routes: new Map([...w.routes].filter(([name]) => name !== 'p')) })
    await bare.cancel(scope, id, 'ann')
    await pullFor(w, bare, 60)
    expect(await bare.get(scope, id)).toMatchObject({ status: 'running', ending: 'cancelled' })
    await pullFor(w, bare, 60)
    expect(await bare.get(scope, id)).toMatchObject({ status: 'cancelled' })
    const step1 = stepsOf(await bare.get(scope, id))['one'] as JsonObject
    expect(step1).toMatchObject({ output: { error: { code: 'timed_out' } }, dead_letter_id: expect.any(String) })
  })
})

describe('a process that stops in the middle of a step', () => {
  it('what may have been done before it stopped is not forgotten: refused by the next, it is undone', async () => {
    const compensate = { provider: 'undo', action_type: 'x' }
    const w = await world([line(step('one', 'p', { compensate }))], {
      p: { script: [serverError(), badRequest()], maxRetries: 3 },
      undo: {},
    })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await w.env.clock.settle()
    expect(w.providers['p']!.sent).toHaveLength(1)
    await first.stop()
    const second = await w.node()
    await pullFor(w, second, 60)
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect(await second.get(scope, id)).toMatchObject({ status: 'compensated' })
    expect(await letters(w)).toMatchObject([{ code: 'http_400', unknown: true }])
    expect(w.providers['undo']!.sent).toHaveLength(1)
  })

  it('nor what a node that died may have done, by one that had just taken it up', async () => {
    const w = await world([line(step('one', 'p', { compensate: { provider: 'undo', action_type: 'x' } }))], {
      p: { script: [OK, badRequest()] },
      undo: {},
    })
    const dying = crashing(w.memory.state, 2, 'before')
    const id = await start(w, await w.node(dying), dying, 'line')
    await w.env.clock.advance(31_000)
    const store = gated(w.memory.state, { list: (kind) => kind === 'inbox' })
    const second = await w.node(store)
    await second.pull()
    await w.env.clock.settle()
    expect(store.waiting).toBe(1)
    const stopped = second.stop()
    store.open()
    await stopped
    expect(w.providers['p']!.sent).toHaveLength(1)
    const third = await w.node()
    await pullFor(w, third, 60)
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect(await letters(w)).toMatchObject([{ code: 'http_400', unknown: true }])
    expect(await third.get(scope, id)).toMatchObject({ status: 'compensated' })
  })
})

describe('a process that stops in the middle of a group', () => {
  it('lets attempts finish, ends back-off, begins nothing, and another node does the rest, each once', async () => {
    const h = held()
    const taken = receiver()
    const env = testEnv()
    const retry = { retry: { max_attempts: 3, backoff: 'fixed', initial_ms: 20_000 } }
    const branches = [step('a', 'a'), step('b', 'b', retry), step('c', 'c'), step('d', 'c')]
    const w = await world(
      [line(both('both', branches, { max_concurrency: 2 }), step('last', 'c'))],
      {
        a: { script: [h.answer] },
        b: { script: [unavailable(), OK] },
        c: { provider: scriptedProvider('c', [taken.accept()]) },
      },
      { env },
    )
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await env.clock.advance(1000)
    const stopped = first.stop()
    await env.clock.settle()
    h.finish(OK)
    await stopped
    expect(taken.taken).toBe(0)
    const [entry] = await w.memory.state.get([{ kind: 'run', scope, id }])
    expect(entry!.claim).toBeUndefined()
    const second = await w.node()
    expect(await second.pull()).toBe(1)
    await pullFor(w, second, 30)
    const view = await second.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', steps_taken: 6 })
    expect(stepsOf(view)['both.b']).toMatchObject({ attempts: 2 })
    expect(['a', 'b', 'c'].map((p) => w.providers[p]!.sent.length)).toEqual([1, 2, 3])
    expect(taken.effects.size).toBe(3)
  })

  it('an attempt that was counted and could not be made before the stop is not counted twice', async () => {
    const h = held()
    const env = testEnv()
    const retry = { retry: { max_attempts: 2, backoff: 'fixed', initial_ms: 0 } }
    // One slot, which another has: it waits for its turn.
    const w = await world(
      [line(step('one', 'p', retry)), { name: 'other', steps: [step('x')] }],
      { p: { script: [h.answer, unavailable(), OK], maxConcurrent: 1 } },
      { env },
    )
    const first = await w.node()
    await start(w, first, w.memory.state, 'other')
    await quiet(w)
    const id = await start(w, first, w.memory.state, 'line')
    await quiet(w)
    const stopped = first.stop()
    await env.clock.settle()
    h.finish(OK)
    await stopped
    const second = await w.node()
    await pullFor(w, second, 20)
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(3)
  })
})

describe('two owners', () => {
  it('PITFALLS 65: a node that slept in the middle of a group wakes after its lease: one token, the same bytes, one result', async () => {
    const taken = receiver()
    const h = held()
    const awake = Promise.withResolvers<void>()
    const w = await world([line(both('both', [step('a', 'a'), step('b', 'b'), step('c', 'a')]), step('last', 'a'))], {
      a: { provider: scriptedProvider('a', [taken.accept()]) },
      b: {
        provider: scriptedProvider('b', [
          (s) => {
            taken.take(s)
            return (h.answer as (x: unknown) => Promise<typeof OK>)(s)
          },
          taken.accept({ status: 200, body: { from: 'second' } }),
        ]),
        timeoutMs: 90_000,
      },
    })
    // Everything it asks of the store from the third commit on arrives after it has woken.
    let commits = 0
    const asleep: typeof w.memory.state = {
      ...w.memory.state,
      async commit(s, ops, o) {
        if (++commits > 2) await awake.promise
        return w.memory.state.commit(s, ops, o)
      },
    }
    const first = await w.node(asleep)
    const id = await start(w, first, w.memory.state, 'line')
    await quiet(w)
    const second = await w.node()
    await pullFor(w, second, 50)
    const before = await second.get(scope, id)
    expect(before).toMatchObject({ status: 'completed', steps_taken: 5 })
    h.finish({ status: 200, body: { from: 'first' } })
    awake.resolve()
    await quiet(w)
    expect(await second.get(scope, id)).toEqual(before)
    expect(stepsOf(before)['both.b']).toMatchObject({ output: { body: { from: 'second' } } })
    expect(taken.effects.size).toBe(4)
  })
})
