import { describe, expect, it } from 'vitest'
import { bad as failed } from '../../src/chains/model/outcomes.ts'
import type { Dispatcher } from '../../src/chains/model/step-kind.ts'
import type { Scope } from '../../src/core/action.ts'
import type { Json, JsonObject } from '../../src/core/json.ts'
import { deleteDeadLetter } from '../../src/delivery/dead-letters.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, OK, scriptedProvider, serverError } from '../fakes/provider.ts'
import {
  actionOf,
  both,
  each,
  letters,
  line,
  payloads,
  pullFor,
  quiet,
  ran,
  scope,
  slow,
  start,
  step,
  stepsOf,
  world,
} from './set-up.ts'

describe('on_failure', () => {
  const bad = (more: JsonObject) =>
    world([line(step('one', 'bad', more), step('two', 'p'), step('three', 'p'))], {
      p: {},
      bad: { script: [badRequest()] },
    })
  const names = (view: JsonObject) =>
    Object.entries(stepsOf(view)).flatMap(([n, s]) => (s['status'] === 'completed' ? [n] : []))

  it('abort, which is the default, fails the execution and leaves a dead letter', async () => {
    for (const more of [{}, { on_failure: 'abort' }]) {
      const w = await bad(more)
      const view = await ran(w)
      expect(view).toMatchObject({ status: 'failed', last_step: 'one', error: { code: 'http_400' } })
      expect(names(view)).toEqual([])
      expect(await letters(w)).toHaveLength(1)
    }
  })

  it('continue, and allow_failure, go on without a letter; the end says so', async () => {
    for (const more of [{ on_failure: 'continue' }, { allow_failure: true }]) {
      const w = await bad(more)
      const view = await ran(w)
      expect(view).toMatchObject({ status: 'partially_completed', failed_steps: ['one'], steps_taken: 3 })
      expect(names(view)).toEqual(['two', 'three'])
      expect(await letters(w)).toEqual([])
    }
  })

  it('dead_letter goes on and leaves one', async () => {
    const w = await bad({ on_failure: 'dead_letter' })
    expect(await ran(w)).toMatchObject({ status: 'partially_completed' })
    expect(await letters(w)).toMatchObject([{ code: 'http_400', origin: { step: 'one' } }])
  })

  it('dead_letter of what sends nothing leaves the origin, and redriving it takes the step again', async () => {
    const ask = { wait_for_signal: { signal: 'go', timeout_seconds: 5 } }
    const no = (): Awaited<ReturnType<Dispatcher['dispatch']>> => ({
      result: failed({ code: 'denied', message: 'no' }),
      retryable: false,
      unknown: false,
    })
    for (const [what, name] of [
      [ask, 'one'],
      [{ sub_chain: 'inner' }, 'one'],
      [{ parallel: { branches: [{ name: 'in', ...ask }] } }, 'one.in'],
      [{ dispatch: { action_type: 'told' } }, 'one'],
    ] as const) {
      const inner = { name: 'inner', steps: [{ name: 'ask', ...ask }] }
      const w = await world([line({ name: 'one', ...what, on_failure: 'dead_letter' }, step('two', 'p')), inner], {
        p: {},
      })
      const chains = await w.node(w.memory.state, { dispatch: { dispatch: async () => no() } })
      const id = await start(w, chains, w.memory.state, 'line', actionOf({ no: 7 }))
      await pullFor(w, chains, 20)
      expect(await chains.get(scope, id)).toMatchObject({ status: 'partially_completed' })
      const [letter, ...more] = await letters(w)
      expect(more).toEqual([])
      expect(letter).toMatchObject({
        action: { payload: { no: 7 } },
        request: null,
        origin: { chain_id: id, step: name },
      })
      await chains.resumeFromDeadLetter({ scope, chainId: id, step: name, iteration: 0 }, deleteDeadLetter(letter!))
      await w.env.clock.settle()
      expect(stepsOf(await chains.get(scope, id))['one']).toMatchObject({ iteration: 1 })
      await pullFor(w, chains, 20)
      expect(await letters(w)).toMatchObject([{ origin: { step: name, iteration: 1 } }])
      expect(w.providers['p']!.sent).toHaveLength(1)
    }
  })

  it('goto goes there; that was a choice, so the end is a completed one', async () => {
    const w = await bad({ on_failure: 'goto:three' })
    const view = await ran(w)
    expect(view).toMatchObject({ status: 'completed' })
    expect(names(view)).toEqual(['three'])
  })

  it('goto of a group, and back to it: the loop is a way like others', async () => {
    const w = await world(
      [
        line(
          step('first', 'p', { default_next: 'g' }),
          step('mend', 'p', { default_next: 'g' }),
          both('g', [step('a', 'bad'), step('b', 'p')], {}, { on_failure: 'goto:mend' }),
          step('end', 'p'),
        ),
      ],
      { p: {}, bad: { script: [badRequest(), badRequest(), OK] } },
    )
    const view = await ran(w)
    expect(view).toMatchObject({ status: 'completed' })
    expect((view['steps'] as readonly JsonObject[]).filter((s) => s['name'] === 'g')).toHaveLength(3)
    expect(new Set(w.providers['p']!.sent.map((s) => s.token)).size).toBe(w.providers['p']!.sent.length)
  })

  it('a step that failed once and later succeeds in a loop is no failure of the execution', async () => {
    const back = { field: 'origin.payload.no', operator: 'eq', value: null, target: 'end' }
    const w = await world(
      [
        line(
          step('one', 'flaky', { on_failure: 'continue' }),
          step('two', 'p', {
            branches: [{ field: 'steps.one.success', operator: 'eq', value: false, target: 'one' }, back],
          }),
          step('end', 'p'),
        ),
      ],
      { p: {}, flaky: { script: [badRequest(), OK] } },
    )
    expect(await ran(w)).toMatchObject({ status: 'completed' })
  })
})

describe('cache_ttl_seconds', () => {
  const cachedStep = (more: JsonObject = {}) => step('look', 'p', { cache_ttl_seconds: 60, ...more })
  const counting = () => {
    let n = 0
    return scriptedProvider('p', [() => ({ status: 200, body: { n: ++n } })])
  }

  it('a good result is given again under the same key, for so long, and says so', async () => {
    const w = await world([line(cachedStep(), step('tell', 'q', { payload_template: { n: '{{prev.body.n}}' } }))], {
      p: { provider: counting() },
      q: {},
    })
    expect(await ran(w, 'line', { a: 1 })).toMatchObject({ status: 'completed' })
    const hit = await ran(w, 'line', { a: 1 })
    expect(stepsOf(hit)['look']).toMatchObject({ cached: true, output: { body: { n: 1 } } })
    expect(stepsOf(hit)['look']).not.toHaveProperty('attempts')
    expect(stepsOf(await ran(w, 'line', { a: 2 }))['look']).not.toHaveProperty('cached')
    await w.env.clock.advance(60_001)
    expect(stepsOf(await ran(w, 'line', { a: 1 }))['look']).toMatchObject({ output: { body: { n: 3 } } })
    expect(payloads(w.providers['q'])).toEqual([{ n: 1 }, { n: 1 }, { n: 2 }, { n: 3 }])
  })

  it('cache_key is a template; another scope and another step have their own', async () => {
    const w = await world(
      [
        line(cachedStep({ cache_key: 'k-{{origin.payload.k}}' })),
        { name: 'other', steps: [cachedStep({ cache_key: 'k-{{origin.payload.k}}' })] },
      ],
      { p: { provider: counting() } },
    )
    await ran(w, 'line', { k: 1, x: 1 })
    await ran(w, 'line', { k: 1, x: 2 })
    expect(w.providers['p']!.sent).toHaveLength(1)
    await ran(w, 'other', { k: 1 })
    expect(w.providers['p']!.sent).toHaveLength(2)
    const elsewhere: Scope = ['iot', 'branch']
    const chains = await w.node()
    const action = { ...actionOf({ k: 1 }), tenant: 'branch' }
    const runId = w.env.newId()
    const started = chains.startOps({
      chain: 'line',
      scope: elsewhere,
      action,
      runId,
      now: w.env.clock.now(),
      rule: 'r',
    })!
    const done = await w.memory.state.commit(elsewhere, started.ops)
    if (!done.ok) throw new Error('refused')
    await chains.begin(elsewhere, started.chainId, { ...started.claim, number: done.results[0]!.claimNumber! })
    await quiet(w)
    expect(w.providers['p']!.sent).toHaveLength(3)
  })

  it('members of groups of one name do not share; items do, and each is looked up', async () => {
    const one = (name: string, action_type: string) => ({
      name,
      provider: 'p',
      action_type,
      payload_template: { same: 1 },
      cache_ttl_seconds: 60,
    })
    const w = await world(
      [
        line(both('g', [one('a', 'x')]), both('h', [one('a', 'y')]), one('a', 'z')),
        {
          name: 'list',
          steps: [
            each(
              'l',
              '{{origin.payload.list}}',
              { provider: 'p', action_type: 'x', payload_template: { i: '{{item}}' }, cache_ttl_seconds: 60 },
              { max_concurrency: 1 },
            ),
          ],
        },
      ],
      { p: { provider: counting() } },
    )
    await ran(w)
    expect(w.providers['p']!.sent).toHaveLength(3)
    await ran(w)
    expect(w.providers['p']!.sent).toHaveLength(3)
    const view = await ran(w, 'list', { list: [1, 2, 1, 1, 2] })
    expect(view).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(5)
  })

  it('a failure is not kept, nor is what a definition said before it was edited', async () => {
    const p = scriptedProvider('p', [badRequest(), OK])
    const w = await world([line(cachedStep())], { p: { provider: p }, q: {} })
    expect(await ran(w)).toMatchObject({ status: 'failed' })
    expect(await ran(w)).toMatchObject({ status: 'completed' })
    expect(await ran(w)).toMatchObject({ status: 'completed' })
    expect(p.sent).toHaveLength(2)
    const chains = await w.node()
    chains.setDefinitions([line({ ...cachedStep(), provider: 'q' })])
    await start(w, chains, w.memory.state, 'line', actionOf({}))
    await quiet(w)
    expect(w.providers['q']!.sent).toHaveLength(1)
  })

  it('is kept under the key it was looked for by: in a loop, and of items that nobody waits for any more', async () => {
    const page = cachedStep({
      cache_key: 'after {{prev.body.n}}',
      branches: [{ field: 'body.n', operator: 'eq', value: 3, target: 'last' }],
      default_next: 'look',
    })
    const w = await world([line(page, step('last', 'q'))], { p: { provider: counting() }, q: {} })
    for (const sent of [3, 3]) {
      const view = await ran(w)
      expect(view).toMatchObject({ status: 'completed', steps_taken: 4 })
      expect(stepsOf(view)['look']).toMatchObject({ iteration: 2, output: { body: { n: 3 } } })
      expect(w.providers['p']!.sent).toHaveLength(sent)
    }

    const one = cachedStep({ cache_key: '{{item}}', payload_template: { same: 1 } })
    const env = testEnv()
    const x = await world(
      [line(each('all', '{{origin.payload.list}}', one, { join: 'any' }))],
      { p: { script: [OK, slow(env, 900), OK] } },
      { env },
    )
    const chains = await x.node()
    await start(x, chains, x.memory.state, 'line', actionOf({ list: ['a', 'b'] }))
    await env.clock.advance(1000)
    const view = await ran(x, 'line', { list: [null] })
    expect(stepsOf(view)['all.0']).not.toHaveProperty('cached')
  })

  it('what a cache gave was not done here, and is not undone here', async () => {
    const compensate = { provider: 'undo', action_type: 'x' }
    const w = await world([line(cachedStep({ compensate }), step('fails', 'bad'))], {
      p: {},
      undo: {},
      bad: { script: [badRequest()] },
    })
    expect(await ran(w)).toMatchObject({ status: 'compensated' })
    expect(w.providers['undo']!.sent).toHaveLength(1)
    expect(await ran(w)).toMatchObject({ status: 'failed' })
    expect(w.providers['undo']!.sent).toHaveLength(1)
  })

  it('is looked at before the first attempt only: what may have been done here is made sure of, and is undone here', async () => {
    const again = { retry: { max_attempts: 2, backoff: 'fixed', initial_ms: 30_000 } }
    const compensate = { provider: 'undo', action_type: 'x' }
    const w = await world([line(cachedStep({ ...again, compensate }), step('fails', 'bad'))], {
      p: { script: [serverError(), OK] },
      undo: {},
      bad: { script: [badRequest()] },
    })
    const chains = await w.node()
    const first = await start(w, chains, w.memory.state, 'line', actionOf())
    await w.env.clock.settle()
    expect(await ran(w)).toMatchObject({ status: 'compensated' })
    await w.env.clock.advance(30_000)
    const view = (await chains.get(scope, first))!
    expect(view).toMatchObject({ status: 'compensated' })
    expect(stepsOf(view)['look']).toMatchObject({ attempts: 2 })
    expect(w.providers['undo']!.sent).toHaveLength(2)
  })

  it('a sub-chain and a group, by the key they must have', async () => {
    const key = { cache_ttl_seconds: 60, cache_key: '{{origin.payload.k}}' }
    const w = await world(
      [
        line({ name: 'sub', sub_chain: 'inner', ...key }, both('g', [step('a')], {}, key)),
        { name: 'inner', steps: [step('in')] },
      ],
      { p: {} },
    )
    await ran(w, 'line', { k: 1 })
    const view = await ran(w, 'line', { k: 1 })
    expect(view).toMatchObject({ status: 'completed' })
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect((await (await w.node()).list(scope, { name: 'inner', limit: 10 })).chains).toHaveLength(1)
    await ran(w, 'line', { k: 2 })
    expect(w.providers['p']!.sent).toHaveLength(4)
  })
})

describe('10 MB of inputs and results', () => {
  const big = (mb: number): Json => 'x'.repeat(mb * 1024 * 1024)

  it('a result beyond fails its step, which was done and is undone; what is there before stays', async () => {
    const compensate = { provider: 'undo', action_type: 'x', payload_template: { n: '{{steps.one.status}}' } }
    const w = await world([line(step('one', 'p'), step('two', 'p', { compensate }), step('three', 'p'))], {
      p: { script: [{ status: 200, body: big(6) }] },
      undo: {},
    })
    const view = await ran(w)
    expect(view).toMatchObject({ status: 'compensated', error: { code: 'too_much_data' }, last_step: 'two' })
    expect(view['data_bytes']).toBeLessThan(10 * 1024 * 1024)
    expect(payloads(w.providers['undo'])).toEqual([{ n: 200 }])
    expect(w.watch.largest).toBeLessThan(2000)
  })

  it('an input beyond is not sent and not kept; what follows may still be small', async () => {
    const twice = { payload_template: { a: '{{steps.one.body}}', b: '{{steps.one.body}}' }, on_failure: 'continue' }
    const w = await world(
      [line(step('one', 'p'), step('two', 'q', twice), step('three', 'q', { payload_template: { n: 1 } }))],
      {
        p: { script: [{ status: 200, body: big(4) }] },
        q: {},
      },
    )
    const view = await ran(w)
    expect(view).toMatchObject({ status: 'partially_completed' })
    expect(stepsOf(view)['two']).toMatchObject({ output: { error: { code: 'too_much_data' } } })
    expect(stepsOf(view)['two']).not.toHaveProperty('input')
    expect(payloads(w.providers['q'])).toEqual([{ n: 1 }])
    expect(view['data_bytes']).toBeLessThan(5 * 1024 * 1024)
  })

  it.each([
    ['text', { payload_template: { a: '{{steps.one.body}}'.repeat(20) } }],
    ['a value in many places', { payload_template: { a: Array<string>(140).fill('{{steps.one.body}}') } }],
  ])('what is more than memory or a text may hold is an input beyond, too: %s', async (_, twice) => {
    const w = await world([line(step('one', 'p'), step('two', 'q', twice))], {
      p: { script: [{ status: 200, body: big(4) }] },
      q: {},
    })
    const view = await ran(w)
    expect(view).toMatchObject({ status: 'failed', error: { code: 'too_much_data' }, last_step: 'two' })
    expect(stepsOf(view)['one']).toMatchObject({ status: 'completed' })
    expect(w.providers['q']!.sent).toHaveLength(0)
  })

  it('a store that keeps less of a step: an input beyond is not sent, a result and the sum of a group are not kept', async () => {
    const kb = (n: number): Json => 'x'.repeat(n * 1024)
    const all = {
      name: 'all',
      for_each: {
        items: '{{origin.payload.k}}',
        step: { provider: 'small', action_type: 'x', payload_template: { n: 1 } },
      },
    }
    const w = await world(
      [
        line(step('in', 'p', { payload_template: { a: kb(70) } })),
        { name: 'out', steps: [step('gives', 'p')] },
        { name: 'sum', steps: [all] },
      ],
      { p: { script: [{ status: 200, body: kb(70) }] }, small: { script: [{ status: 200, body: kb(30) }] } },
      { config: { mostStepBytes: 64 * 1024 } },
    )
    for (const name of ['line', 'out', 'sum'])
      expect(await ran(w, name, { k: [1, 2, 3] })).toMatchObject({ status: 'failed', error: { code: 'too_much_data' } })
    expect([payloads(w.providers['p']), payloads(w.providers['small']).length]).toEqual([[{ k: [1, 2, 3] }], 3])
  })

  it('the results of a list count as they come', async () => {
    const w = await world(
      [line(each('l', [1, 2, 3, 4, 5, 6], { provider: 'p', action_type: 'x' }, { max_concurrency: 1 }))],
      {
        p: { script: [{ status: 200, body: big(3) }] },
      },
    )
    const view = await ran(w)
    expect(view).toMatchObject({ status: 'failed', error: { code: 'branch_failed' } })
    // Three of 3 MB are inside; the fourth was sent, and is not kept.
    expect(w.providers['p']!.sent).toHaveLength(4)
  })
})
