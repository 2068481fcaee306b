import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, held, OK, serverError, unavailable } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import {
  actionOf,
  both,
  each,
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

const output = (view: JsonObject | undefined, name: string): JsonObject =>
  stepsOf(view)[name]?.['output'] as unknown as JsonObject

describe('parallel', () => {
  it('its branches act at once, take the time of the longest, and each has its result', async () => {
    const env = testEnv()
    const w = await world(
      [
        line(
          step('first', 'p'),
          both('both', [step('a', 'a', { payload_template: { from: '{{prev.body}}' } }), step('b', 'b')]),
          step('last', 'p', { payload_template: { a: '{{steps.both.body.a.body.n}}', all: '{{prev.body}}' } }),
        ),
      ],
      {
        p: {},
        a: { script: [slow(env, 300, { status: 200, body: { n: 1 } })] },
        b: { script: [slow(env, 700, { status: 201, body: { n: 2 } })] },
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(300)
    const half = await chains.get(scope, id)
    expect(half).toMatchObject({ status: 'running', open_steps: ['both', 'both.b'] })
    expect(stepsOf(half)['both.a']).toMatchObject({ status: 'completed', output: { body: { n: 1 } } })
    expect(stepsOf(half)['both.b']).toMatchObject({ status: 'running', attempts: 1 })
    await env.clock.advance(400)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 700, steps_taken: 5 })
    expect(payloads(w.providers['a'])).toEqual([{ from: { ok: true } }])
    const result = { success: true, fallback: false }
    expect(payloads(w.providers['p'])[1]).toEqual({
      a: 1,
      all: {
        a: { ...result, provider: 'a', status: 200, body: { n: 1 } },
        b: { ...result, provider: 'b', status: 201, body: { n: 2 } },
      },
    })
  })

  it('max_concurrency: no more at once, the others in the order written', async () => {
    const env = testEnv()
    const w = await world(
      [
        line(
          both(
            'both',
            ['a', 'b', 'c', 'd', 'e'].map((n) => step(n)),
            { max_concurrency: 2 },
          ),
        ),
      ],
      { p: { script: [slow(env, 100)] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(250)
    expect(await chains.get(scope, id)).toMatchObject({ open_steps: ['both', 'both.e'] })
    await env.clock.advance(50)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 300 })
    expect(w.providers['p']!.mostInFlight).toBe(2)
    expect(w.providers['p']!.sent).toHaveLength(5)
  })

  it('fail_fast: once the join cannot be met nothing more is begun, and what acts is let finish', async () => {
    const env = testEnv()
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b'), step('c', 'a'), step('d', 'a')], { max_concurrency: 2 }))],
      { a: { script: [slow(env, 500)] }, b: { script: [slow(env, 100, badRequest())] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(499)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'running' })
    await env.clock.advance(1)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({
      status: 'failed',
      error: { code: 'branch_failed', message: '1 of 4 failed: http_400: bad' },
      last_step: 'both',
    })
    expect(w.providers['a']!.sent).toHaveLength(1)
    expect(output(view, 'both')).toMatchObject({
      success: false,
      body: { a: { success: true }, b: { success: false, error: { code: 'http_400' } } },
    })
    expect(Object.keys(output(view, 'both')['body'] as JsonObject)).toEqual(['a', 'b'])
  })

  it('fail_fast: what was stored beside the failure in one commit, and not yet sent, is not sent', async () => {
    const w = await world(
      [line(both('both', [step('a'), { name: 'b', wait: { seconds: '{{origin.payload.no}}' } }]))],
      {
        p: {},
      },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', error: { code: 'branch_failed' } })
    expect(w.providers['p']!.sent).toHaveLength(0)
  })

  it('best_effort: all are let run; one that succeeds is enough, and the end says that it was not all', async () => {
    const env = testEnv()
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b')], { on_failure: 'best_effort' }), step('last', 'a'))],
      { a: { script: [slow(env, 200)] }, b: { script: [badRequest()] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'partially_completed', failed_steps: ['both'] })
    expect(output(view, 'both')).toMatchObject({ success: true })

    const all = await world(
      [line(both('both', [step('a', 'b'), step('b', 'b')], { on_failure: 'best_effort' }))],
      { b: { script: [badRequest()] } },
      { env: testEnv() },
    )
    const none = await all.node()
    const failed = await start(all, none, all.memory.state, 'line')
    await quiet(all)
    expect(await none.get(scope, failed)).toMatchObject({ status: 'failed', error: { code: 'branch_failed' } })
    expect(all.providers['b']!.sent).toHaveLength(2)
  })

  it('join any: the first success decides, what only waits is dropped and what was to be tried again is not', async () => {
    const env = testEnv()
    const retry = { retry: { max_attempts: 5, backoff: 'fixed', initial_ms: 60_000 } }
    const inner = { name: 'inner', steps: [{ name: 'w', wait: { seconds: 1000 } }] }
    const w = await world(
      [
        line(
          both(
            'both',
            [
              step('a', 'a'),
              step('b', 'b', retry),
              { name: 'c', wait: { seconds: 50 } },
              { name: 'd', sub_chain: 'inner' },
            ],
            {
              join: 'any',
            },
          ),
          step('last', 'p'),
        ),
        inner,
      ],
      { p: {}, a: { script: [slow(env, 100)] }, b: { script: [unavailable()] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(100)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 100 })
    expect(output(view, 'both')).toMatchObject({ success: true, body: { a: { success: true } } })
    await pullFor(w, chains, 100)
    expect(w.providers['b']!.sent).toHaveLength(1)
    const child = (await chains.list(scope, { name: 'inner', limit: 1 })).chains[0]
    expect(child).toMatchObject({ status: 'cancelled' })
  })

  it('join any: an attempt on its way is let finish, its own back-off is ended', async () => {
    const env = testEnv()
    // Delivery itself would try again for a minute.
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b')], { join: 'any' }))],
      { a: { script: [slow(env, 500)] }, b: { script: [slow(env, 600, unavailable())], maxRetries: 50 } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(10_000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(w.providers['b']!.sent).toHaveLength(1)
    expect(view!['duration_ms']).toBeLessThanOrEqual(600)
  })

  it('a member that fails after the join is decided is not tried again', async () => {
    const env = testEnv()
    const retry = { retry: { max_attempts: 5, backoff: 'fixed', initial_ms: 1000 } }
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b', retry)], { join: 'any' }))],
      { a: { script: [slow(env, 100)] }, b: { script: [slow(env, 200, unavailable())] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(10_000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 200 })
    expect(w.providers['b']!.sent).toHaveLength(1)
  })

  it('join n: so many are enough; when they cannot be had any more it fails', async () => {
    const env = testEnv()
    const branches = (...names: string[]) => names.map((n, i) => step(`b${i}`, n))
    const chain = (name: string, ...names: string[]) => ({ name, steps: [both('g', branches(...names), { join: 2 })] })
    const w = await world(
      [chain('enough', 'ok', 'no', 'ok', 'slow'), chain('lost', 'ok', 'no', 'no', 'slow')],
      {
        ok: { script: [slow(env, 10)] },
        no: { script: [slow(env, 20, badRequest())] },
        slow: { script: [slow(env, 5000)] },
      },
      { env },
    )
    const chains = await w.node()
    const enough = await start(w, chains, w.memory.state, 'enough')
    const lost = await start(w, chains, w.memory.state, 'lost')
    await env.clock.advance(6000)
    expect(await chains.get(scope, enough)).toMatchObject({ status: 'completed' })
    // The slow one may still make two.
    expect(await chains.get(scope, lost)).toMatchObject({ status: 'completed' })
    const none = await world([chain('lost', 'no', 'no', 'no', 'slow')], {
      no: { script: [badRequest()] },
      slow: {},
    })
    const other = await none.node()
    const gone = await start(none, other, none.memory.state, 'lost')
    await quiet(none)
    expect(await other.get(scope, gone)).toMatchObject({ status: 'failed', error: { code: 'branch_failed' } })
  })

  it('branches that wait for time, for a signal and for sub-chains; nothing drives it meanwhile', async () => {
    const w = await world(
      [
        line(
          both('both', [
            { name: 'time', wait: { seconds: 30 } },
            { name: 'word', wait_for_signal: { signal: 'go' } },
            { name: 'one', sub_chain: 'inner' },
            { name: 'two', sub_chain: 'inner' },
          ]),
        ),
        { name: 'inner', steps: [step('in'), { name: 'w', wait: { seconds: 20 } }] },
      ],
      { p: { script: [{ status: 200, body: { n: 1 } }] } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'waiting' })
    expect(view!['waiting_for']).toHaveLength(2)
    const [entry] = await w.memory.state.get([{ kind: 'run', scope, id }])
    expect(entry!.claim).toBeUndefined()
    expect(entry!.dueAt).toBe(w.env.clock.now() + 30_000)
    await chains.signal(scope, id, { name: 'go', payload: { yes: 1 }, by: 'ann' })
    await pullFor(w, chains, 20)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', open_steps: ['both', 'both.time'] })
    await pullFor(w, chains, 10)
    const done = await chains.get(scope, id)
    expect(done).toMatchObject({ status: 'completed', duration_ms: 30_000 })
    expect(output(done, 'both')['body']).toMatchObject({
      word: { body: { payload: { yes: 1 } } },
      one: { success: true },
      two: { success: true },
    })
    expect(w.providers['p']!.sent).toHaveLength(2)
  })

  it('timeout_seconds of a group: nothing more is begun, attempts are cut, waits dropped; on_failure decides', async () => {
    const env = testEnv()
    const never = held()
    const w = await world(
      [
        line(
          both(
            'both',
            [step('a', 'a'), step('b', 'b'), { name: 'c', wait: { seconds: 90 } }, step('d', 'a')],
            { max_concurrency: 3 },
            { timeout_seconds: 5, on_failure: 'continue' },
          ),
          step('last', 'p'),
        ),
      ],
      { p: {}, a: { script: [slow(env, 100)] }, b: { script: [never.answer] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(5000)
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'partially_completed', duration_ms: 5000 })
    expect(output(view, 'both')).toMatchObject({ success: false, error: { code: 'timed_out' } })
    expect(output(view, 'both')['body']).toMatchObject({ a: { success: true }, b: { error: { code: 'timeout' } } })
    expect(w.watch.commits).toBeLessThan(20)
  })

  it('PITFALLS 42: a crash between the ends of two branches runs only the one again that had not ended', async () => {
    const env = testEnv()
    for (let n = 3; n <= 4; n++) {
      const w = await world(
        [line(both('both', [step('a', 'a'), step('b', 'b'), step('c', 'c')]))],
        {
          a: { script: [slow(env, 100)] },
          b: { script: [slow(env, 200)] },
          c: { script: [slow(env, 300)] },
        },
        { env },
      )
      const dying = crashing(w.memory.state, n + 1, 'before')
      const first = await w.node(dying)
      const id = await start(w, first, dying, 'line')
      await env.clock.advance(500)
      expect(dying.crashed).toBe(true)
      const second = await w.node()
      await pullFor(w, second, 40)
      expect(await second.get(scope, id)).toMatchObject({ status: 'completed', steps_taken: 4 })
      const sent = ['a', 'b', 'c'].map((p) => w.providers[p]!.sent.length)
      // The start, the group, then an end each.
      expect(sent).toEqual(n === 3 ? [1, 2, 2] : [1, 1, 2])
      const tokens = w.providers['c']!.sent.map((s) => s.token)
      expect(new Set(tokens).size).toBe(1)
    }
  })

  it('two ends in the same moment are two commits, and one refused by a cancel does not lose the other', async () => {
    const h = [held(), held()]
    const w = await world([line(both('both', [step('a', 'a'), step('b', 'b')]), step('last', 'a'))], {
      a: { script: [h[0]!.answer, OK] },
      b: { script: [h[1]!.answer] },
    })
    const chains = await w.node()
    const other = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    // From elsewhere: this one learns of it when its commit is refused.
    await other.cancel(scope, id, 'ann')
    h[0]!.finish(OK)
    h[1]!.finish(OK)
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'cancelled', steps_taken: 3 })
    expect(stepsOf(view)['both.a']).toMatchObject({ status: 'completed' })
    expect(stepsOf(view)['both.b']).toMatchObject({ status: 'completed' })
  })

  it('a group entered again in a loop has tokens of its own, also of a member that was dropped while it backed off', async () => {
    const retry = { retry: { max_attempts: 9, backoff: 'fixed', initial_ms: 60_000 } }
    const branches = [{ field: 'body.a.body.again', operator: 'eq', value: true, target: 'both' }]
    const env = testEnv()
    const w = await world(
      [line(both('both', [step('a', 'a'), step('b', 'b', retry)], { join: 'any' }, { branches }))],
      {
        a: { script: [slow(env, 100, { status: 200, body: { again: true } }), slow(env, 100)] },
        b: { script: [serverError(), OK] },
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['b']!.sent).toHaveLength(2)
    expect(new Set(w.providers['b']!.sent.map((s) => s.token)).size).toBe(2)
  })

  it('a join that cannot be met is decided before anything is begun', async () => {
    const w = await world([line(each('l', '{{origin.payload.list}}', step('x'), { join: 2 }))], { p: {} })
    const chains = await w.node()
    const few = await start(w, chains, w.memory.state, 'line', actionOf({ list: [1] }))
    const enough = await start(w, chains, w.memory.state, 'line', actionOf({ list: [1, 2] }))
    await quiet(w)
    expect(await chains.get(scope, few)).toMatchObject({
      status: 'failed',
      error: { code: 'branch_failed', message: '0 of 1 succeeded, not 2' },
    })
    expect(await chains.get(scope, enough)).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(2)
  })

  it('what its author allows to fail leaves no letters of its members; else each leaves one', async () => {
    for (const [on_failure, count] of [
      ['continue', 0],
      ['dead_letter', 2],
    ] as const) {
      const w = await world(
        [
          line(both('g', [step('a'), step('b')], { on_failure: 'best_effort' }, { on_failure }), {
            name: 'end',
            set: { x: 1 },
          }),
        ],
        { p: { script: [badRequest()] } },
      )
      const chains = await w.node()
      const id = await start(w, chains, w.memory.state, 'line')
      await quiet(w)
      expect(await chains.get(scope, id)).toMatchObject({ status: 'partially_completed' })
      expect(await letters(w)).toHaveLength(count)
    }
  })

  it('a hundred at once, which is the most, leave the record small', async () => {
    const inner = { name: 'inner', steps: [{ name: 'w', wait: { seconds: 5 } }] }
    const list = Array.from({ length: 150 }, (_, i) => i)
    const w = await world(
      [line(step('before'), each('l', list, { sub_chain: 'inner' }, { max_concurrency: 100 })), inner],
      { p: {} },
      { config: { maxConcurrentAdvances: 500 } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect((await chains.get(scope, id))!['open_steps']).toHaveLength(101)
    await w.env.clock.advance(11_000)
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.watch.largest).toBeLessThan(15_000)
    const [wrong] = chains.checkDefinitions([line(each('l', list, step('x'), { max_concurrency: 101 }))], ['p'])
    expect(wrong).toMatchObject({ path: [0, 'steps', 0, 'for_each', 'max_concurrency'], severity: 'error' })
  })

  it('a member sees as prev what was before its group, also on a node that comes after', async () => {
    const seen = { payload_template: { n: '{{prev.body.n}}' } }
    const w = await world(
      [
        line(
          step('before', 'q'),
          both('g', [{ name: 'w', wait: { seconds: 5 } }, step('late', 'p', { delay_seconds: 8, ...seen })]),
        ),
      ],
      { p: {}, q: { script: [{ status: 200, body: { n: 7 } }] } },
    )
    const first = await w.node()
    await start(w, first, w.memory.state, 'line')
    await quiet(w)
    await first.stop()
    await pullFor(w, await w.node(), 20)
    expect(payloads(w.providers['p'])).toEqual([{ n: 7 }])
  })
})

describe('timeout_seconds of a wait', () => {
  it('fails it when that is over before what it waits for is there; a retry waits anew', async () => {
    const w = await world(
      [
        { ...line({ name: 'nap', wait: { seconds: 50 }, timeout_seconds: 5 }), name: 'nap' },
        { ...line({ name: 'short', wait: { seconds: 5 }, timeout_seconds: 50 }), name: 'short' },
        {
          ...line({
            name: 'ask',
            wait_for_signal: { signal: 'go' },
            timeout_seconds: 5,
            retry: { max_attempts: 2, backoff: 'fixed', initial_ms: 0 },
          }),
          name: 'ask',
        },
      ],
      {},
    )
    const chains = await w.node()
    const ids: string[] = []
    for (const name of ['nap', 'short', 'ask', 'ask']) ids.push(await start(w, chains, w.memory.state, name))
    const views = () => Promise.all(ids.map((id) => chains.get(scope, id)))
    await w.env.clock.advance(6000)
    const failed = { status: 'failed', error: { code: 'timed_out', message: 'not done within 5 s' } }
    expect(await views()).toMatchObject([failed, { status: 'completed' }, { status: 'waiting' }, { status: 'waiting' }])
    await chains.signal(scope, ids[3]!, { name: 'go', payload: null, by: 'ann' })
    await w.env.clock.advance(6000)
    expect((await views()).slice(2)).toMatchObject([failed, { status: 'completed' }])
  })
})
