import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testEnv } from '../fakes/env.ts'
import {
  badRequest,
  deaf,
  held,
  OK,
  type Receiver,
  receiver,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { everyDeath } from './deaths.ts'
import {
  actionOf,
  audit,
  both,
  each,
  letters,
  line,
  pullFor,
  quiet,
  scope,
  slow,
  start,
  step,
  stepsOf,
  type World,
  world,
} from './set-up.ts'

const undo = (of: string, more: JsonObject = {}) => ({
  compensate: { provider: 'undo', action_type: 'undo', payload_template: { of }, ...more },
})
/** What was undone, in order. */
const undone = (w: World) => w.providers['undo']!.sent.map((s) => (s.request as { payload: JsonObject }).payload['of'])

describe('compensation', () => {
  it('undoes what was done, last first, with what each step gave; a step that failed is not', async () => {
    const w = await world(
      [
        line(
          step('a', 'p', undo('a {{result.body.n}} {{steps.b.body.n}} {{origin.payload.x}}')),
          step('b', 'p', undo('b {{result.body.n}}')),
          { name: 'c', set: { x: 1 }, ...undo('c {{result.body.x}}') },
          step('plain', 'p'),
          step('bad', 'bad', undo('bad')),
        ),
      ],
      {
        p: { script: [1, 2, 3].map((n) => ({ status: 200, body: { n } })) },
        bad: { script: [badRequest()] },
        undo: {},
      },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ x: 7 }))
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({
      status: 'compensated',
      error: { code: 'http_400' },
      compensated: 3,
      not_compensated: 0,
    })
    expect(undone(w)).toEqual(['c 1', 'b 2', 'a 1 2 7'])
    expect(stepsOf(view)['b']).toMatchObject({ status: 'completed', compensated: true, compensation: { attempts: 1 } })
    expect(stepsOf(view)['bad']).not.toHaveProperty('compensated')
    const tokens = [...w.providers['p']!.sent, ...w.providers['undo']!.sent].map((s) => s.token)
    expect(new Set(tokens).size).toBe(6)
    expect((await audit(w, { kind: 'chain' })).map((r) => r.outcome)).toEqual(['compensated'])
    expect((await audit(w, { kind: 'chain_step' })).filter((r) => (r.details as JsonObject)['undo'])).toHaveLength(3)
  })

  it('a step whose end is unknown is undone too, and first', async () => {
    const env = testEnv()
    const w = await world(
      [line(step('a', 'p', undo('a')), step('b', 'hangs', { timeout_seconds: 2, ...undo('b {{result.error.code}}') }))],
      { p: {}, hangs: { script: [deaf] }, undo: {} },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(3000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated', error: { code: 'timeout' } })
    expect(undone(w)).toEqual(['b timeout', 'a'])
  })

  it('each entry into a step of a loop is undone, under a token of its own', async () => {
    const again = [{ field: 'body.n', operator: 'ne', value: 3, target: 'a' }]
    const w = await world(
      [line(step('a', 'p', { branches: again, ...undo('{{result.body.n}}') }), step('bad', 'bad'))],
      {
        p: { script: [1, 2, 3].map((n) => ({ status: 200, body: { n } })) },
        bad: { script: [badRequest()] },
        undo: {},
      },
    )
    const chains = await w.node()
    await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(undone(w)).toEqual([3, 2, 1])
    expect(new Set(w.providers['undo']!.sent.map((s) => s.token)).size).toBe(3)
  })

  it('what undoes a step sees the `prev` that the step saw, whatever has run since and whoever drives it', async () => {
    const h = held()
    const sees = (of: string) => ({ ...undo(`${of} {{prev.body.n}}`), payload_template: { prev: '{{prev.body.n}}' } })
    const again = [{ field: 'body.n', operator: 'ne', value: 4, target: 'a' }]
    const w = await world(
      [
        { name: 'outer', steps: [step('first', 'p'), { name: 'sub', sub_chain: 'line' }] },
        line(
          step('a', 'p', sees('a')),
          step('b', 'p', { branches: again, ...sees('b') }),
          both('g', [step('x', 'p', sees('g.x'))]),
          step('bad', 'bad'),
        ),
      ],
      {
        p: { script: [7, 1, 2, 3, 4, 5].map((n) => ({ status: 200, body: { n } })) },
        bad: { script: [badRequest()] },
        undo: { script: [OK, h.answer, OK] },
      },
    )
    const chains = await w.node()
    await start(w, chains, w.memory.state, 'outer')
    await quiet(w)
    expect(w.providers['p']!.sent.map((s) => (s.request as JsonObject)['payload'])).toMatchObject([
      {},
      { prev: 7 },
      { prev: 1 },
      { prev: 2 },
      { prev: 3 },
      { prev: 4 },
    ])
    const stopped = chains.stop()
    h.finish(OK)
    await stopped
    await pullFor(w, await w.node(), 40)
    expect(undone(w)).toEqual(['g.x 4', 'b 3', 'a 2', 'b 1', 'a 7'])
  })

  it('shows what a template of it did not find', async () => {
    const w = await world([line(step('a', 'p', undo('{{result.body.nope}}')), step('bad', 'bad'))], {
      p: {},
      bad: { script: [badRequest()] },
      undo: {},
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(stepsOf(await chains.get(scope, id))['a']).toMatchObject({ compensation: { missing: ['result.body.nope'] } })
  })

  it('members of groups are steps like others: those that succeeded, and those of lists with their item', async () => {
    const env = testEnv()
    const w = await world(
      [
        line(
          both('g', [step('x', 'p', undo('x')), step('y', 'p', undo('y'))]),
          each('l', '{{origin.payload.list}}', {
            provider: 'echo',
            action_type: 'x',
            payload_template: { i: '{{item}}' },
            ...undo('{{item.id}} {{index}} {{result.status}}'),
          }),
        ),
      ],
      {
        p: { script: [slow(env, 100), slow(env, 50)] },
        echo: { script: [slow(env, 300), slow(env, 100), slow(env, 200, badRequest())] },
        undo: {},
      },
      { env },
    )
    const chains = await w.node()
    const list = [{ id: 'one' }, { id: 'two' }, { id: 'three' }]
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ list }))
    await env.clock.advance(1000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'compensated', error: { code: 'branch_failed' } })
    expect(undone(w)).toEqual(['one 0 200', 'two 1 200', 'x', 'y'])
    expect(stepsOf(view)['l.0']).toMatchObject({ compensated: true })
  })

  it('an undo is tried again as its policy says; what cannot be undone is a dead letter, and the rest is undone', async () => {
    const env = testEnv()
    const retry = { retry: { max_attempts: 3, backoff: 'fixed', initial_ms: 1000 } }
    const w = await world(
      [
        line(
          step('a', 'p', undo('a')),
          step('b', 'p', { compensate: { provider: 'stuck', action_type: 'undo', ...retry } }),
          step('c', 'p', undo('c', retry)),
          step('bad', 'bad'),
        ),
      ],
      {
        p: {},
        bad: { script: [badRequest()] },
        stuck: { script: [unavailable()] },
        undo: { script: [unavailable(), serverError(), OK] },
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 60)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({
      status: 'failed',
      error: { code: 'compensation_failed', message: expect.stringContaining('1 of') },
      compensated: 2,
      not_compensated: 1,
    })
    expect(undone(w)).toEqual(['c', 'c', 'c', 'a'])
    expect(new Set(w.providers['undo']!.sent.map((s) => s.token)).size).toBe(2)
    expect(w.providers['stuck']!.sent).toHaveLength(3)
    expect((await letters(w)).map((l) => [l.provider, l.code, l.attempts]).sort()).toEqual([
      ['bad', 'http_400', 1],
      ['stuck', 'http_503', 3],
    ])
    expect(stepsOf(view)['b']).toMatchObject({ compensated: false })
  })

  it('on a cancel: what waits is let go, what acts is let finish and undone, what was not sent is not', async () => {
    const env = testEnv()
    const h = held()
    const backs = { retry: { max_attempts: 9, backoff: 'fixed', initial_ms: 90_000 } }
    const w = await world(
      [
        line(
          step('first', 'p', undo('first')),
          both('g', [
            step('acts', 'acts', undo('acts')),
            step('known', 'known', { ...backs, ...undo('known') }),
            step('unknown', 'unknown', { ...backs, ...undo('unknown') }),
            step('later', 'p', { delay_seconds: 50, ...undo('later') }),
            { name: 'nap', wait: { seconds: 50 }, ...undo('nap') },
          ]),
        ),
      ],
      {
        p: {},
        acts: { script: [h.answer] },
        known: { script: [unavailable(60_000)] },
        unknown: { script: [serverError()] },
        undo: {},
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    await chains.cancel(scope, id, 'ann')
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({
      status: 'running',
      ending: 'cancelled',
      open_steps: ['g', 'g.acts'],
    })
    h.finish(OK)
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'compensated', cancelled_by: 'ann' })
    expect(undone(w)).toEqual(['unknown', 'acts', 'first'])
  })

  it('on a timeout, each with a time of its own', async () => {
    const env = testEnv()
    const hangs = { compensate: { provider: 'hangs', action_type: 'x', retry: { max_attempts: 1 } } }
    const w = await world(
      [
        {
          ...line(step('a', 'p', undo('a')), step('b', 'p', hangs), step('c', 'p', undo('c')), {
            name: 'nap',
            wait: { seconds: 50 },
          }),
          timeout_seconds: 10,
        },
      ],
      { p: {}, undo: { script: [slow(env, 6000)] }, hangs: { script: [deaf] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(10_000)
    await chains.pull()
    await env.clock.advance(6000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensating', compensated: 1 })
    await env.clock.advance(40_000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', error: { code: 'compensation_failed' }, compensated: 2 })
    expect(undone(w)).toEqual(['c', 'a'])
    expect(await letters(w)).toMatchObject([{ code: 'timeout', unknown: true, provider: 'hangs' }])
  })

  it('on a timeout, of what a node that died may have done', async () => {
    const w = await world([line(step('one', 'p', undo('one')))], { p: { script: [OK] }, undo: {} })
    const dying = crashing(w.memory.state, 2, 'before')
    const id = await start(w, await w.node(dying), dying, 'line')
    await w.env.clock.advance(101_000)
    const chains = await w.node()
    await chains.pull()
    await quiet(w)
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated', error: { code: 'timed_out' } })
    expect(undone(w)).toEqual(['one'])
  })

  it('an undo waits as long as it is asked to, and is given up where that is longer than it has time', async () => {
    const retry = { retry: { max_attempts: 3, backoff: 'fixed', initial_ms: 1000 } }
    const w = await world([line(step('a', 'p', undo('a', retry)), step('bad', 'bad'))], {
      p: {},
      bad: { script: [badRequest()] },
      undo: { script: [unavailable(60_000), OK, unavailable(3_600_000)] },
    })
    const chains = await w.node()
    const first = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(59_000)
    expect(await chains.get(scope, first)).toMatchObject({ status: 'compensating' })
    expect(undone(w)).toEqual(['a'])
    await w.env.clock.advance(1000)
    expect(await chains.get(scope, first)).toMatchObject({ status: 'compensated' })
    expect(undone(w)).toEqual(['a', 'a'])
    const second = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(await chains.get(scope, second)).toMatchObject({ status: 'failed', not_compensated: 1 })
    expect((await letters(w)).filter((l) => l.provider === 'undo')).toMatchObject([{ code: 'http_503', attempts: 1 }])
  })

  it('where nothing was done it simply ends as it would', async () => {
    const w = await world([line(step('bad', 'bad', undo('bad')), step('b', 'bad', undo('b')))], {
      bad: { script: [badRequest()] },
      undo: {},
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', error: { code: 'http_400' } })
    expect(undone(w)).toEqual([])
  })

  it('a node that lacks what undoes a step hands it on; where nobody has it by the end of its time that is a dead letter', async () => {
    const w = await world(
      [
        line(
          step('a', 'p', undo('a')),
          step('b', 'p', { compensate: { provider: 'gone', action_type: 'x' } }),
          step('bad', 'bad'),
        ),
      ],
      {
        p: {},
        bad: { script: [badRequest()] },
        undo: {},
        gone: {},
      },
    )
    const routes = new Map([...w.routes].filter(([name]) => name !== 'gone'))
    const bare = await w.node(w.memory.state, { routes })
    const id = await start(w, bare, w.memory.state, 'line')
    await pullFor(w, bare, 290)
    expect(await bare.get(scope, id)).toMatchObject({ status: 'compensating', compensated: 0 })
    await pullFor(w, bare, 30)
    const view = await bare.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', error: { code: 'compensation_failed' }, not_compensated: 1 })
    expect(undone(w)).toEqual(['a'])
    expect((await letters(w)).map((l) => l.code).sort()).toEqual(['http_400', 'provider_unknown'])
    expect(w.watch.commits).toBeLessThan(15)
  })

  it('what a node that died had sent to undo a step, and nobody can send again, is kept as not known', async () => {
    const w = await world([line(step('a', 'p', undo('a')), step('bad', 'bad'))], {
      p: {},
      bad: { script: [badRequest()] },
      undo: {},
    })
    const dying = crashing(w.memory.state, 5, 'before')
    const id = await start(w, await w.node(dying), dying, 'line')
    await quiet(w)
    expect(undone(w)).toEqual(['a'])
    const bare = await w.node(w.memory.state, { routes: new Map([...w.routes].filter(([name]) => name !== 'undo')) })
    await pullFor(w, bare, 360)
    expect(await bare.get(scope, id)).toMatchObject({ status: 'failed', not_compensated: 1 })
    expect((await letters(w)).filter((l) => l.provider === 'undo')).toMatchObject([
      { code: 'provider_unknown', unknown: true },
    ])
  })
})

describe('compensation of parents and children', () => {
  const inner = (...more: JsonObject[]) => ({
    name: 'inner',
    steps: [step('i1', 'p', undo('i1')), step('i2', 'p', undo('i2')), ...more],
  })

  /** An execution with a child that waits, which is cancelled; undoing one takes so long. */
  async function cancelled(undoMs: number, ...steps: JsonObject[]) {
    const env = testEnv()
    const w = await world(
      [line(step('a', 'p', undo('a')), ...steps), inner({ name: 'nap', wait: { seconds: 50 } })],
      { p: {}, undo: { script: [slow(env, undoMs)] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    await chains.cancel(scope, id, 'ann')
    return { w, env, chains, id }
  }

  it('a child that fails undoes its own first, then its parent what came before', async () => {
    const w = await world(
      [line(step('a', 'p', undo('a')), { name: 'sub', sub_chain: 'inner' }), inner(step('bad', 'bad'))],
      {
        p: {},
        bad: { script: [badRequest()] },
        undo: {},
      },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(undone(w)).toEqual(['i2', 'i1', 'a'])
    const all = (await chains.list(scope, { limit: 10 })).chains
    expect(all.map((c) => c['status'])).toEqual(['compensated', 'compensated'])
    expect(await chains.get(scope, id)).toMatchObject({ error: { code: 'http_400' } })
  })

  it('a cancel of the parent reaches the child, and what the child did is undone before what came before it', async () => {
    const { w, env, chains, id } = await cancelled(1000, { name: 'sub', sub_chain: 'inner' })
    await env.clock.advance(1500)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', ending: 'cancelled' })
    expect(undone(w)).toEqual(['i2', 'i1'])
    await env.clock.advance(5000)
    expect(undone(w)).toEqual(['i2', 'i1', 'a'])
    expect((await chains.list(scope, { limit: 10 })).chains.map((c) => [c['status'], c['cancelled_by']])).toEqual([
      ['compensated', 'gateway'],
      ['compensated', 'ann'],
    ])
  })

  it('a group whose time runs out while it waits for a child to end does not keep anybody busy', async () => {
    const members = [
      { name: 'sub', sub_chain: 'inner' },
      { name: 'nap', wait: { seconds: 50 } },
    ]
    const { w, env, chains, id } = await cancelled(9000, both('g', members, {}, { timeout_seconds: 5 }))
    await env.clock.advance(40_000)
    expect(undone(w)).toEqual(['i2', 'i1', 'a'])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
    expect(w.watch.commits).toBeLessThan(25)
  })

  it('nor does an execution whose time runs out while only what lost a race is undone', async () => {
    const env = testEnv()
    const members = [{ name: 'sub', sub_chain: 'inner' }, step('fast', 'fast')]
    const w = await world(
      [
        { ...line(step('a', 'p', undo('a')), both('race', members, { join: 'any' })), timeout_seconds: 10 },
        inner({ name: 'nap', wait: { seconds: 50 } }),
      ],
      { p: {}, fast: { script: [slow(env, 100)] }, undo: { script: [slow(env, 9000)] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(40_000)
    expect(undone(w)).toEqual(['i2', 'i1'])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 18_100 })
    expect(w.watch.commits).toBeLessThan(25)
  })

  it('time that runs out for both is undone in that order too', async () => {
    const w = await world(
      [
        { ...line(step('a', 'p', undo('a')), { name: 'sub', sub_chain: 'inner' }), timeout_seconds: 20 },
        inner({ name: 'nap', wait: { seconds: 90 } }),
      ],
      { p: {}, undo: {} },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 40)
    expect(undone(w)).toEqual(['i2', 'i1', 'a'])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated', error: { code: 'timed_out' } })
  })

  it('a child that was complete when its parent was cancelled is undone as the step it is', async () => {
    const env = testEnv()
    const h = held()
    const w = await world(
      [
        line(
          step('a', 'p', undo('a')),
          { name: 'sub', sub_chain: 'inner', ...undo('sub {{result.body.n}}') },
          step('z', 'p'),
        ),
        { name: 'inner', steps: [step('last', 'q')] },
      ],
      { p: {}, q: { script: [h.answer] }, undo: {} },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    await chains.cancel(scope, id, 'ann')
    await quiet(w)
    h.finish({ status: 200, body: { n: 5 } })
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
    expect(undone(w)).toEqual(['sub 5', 'a'])
    expect(w.providers['p']!.sent).toHaveLength(1)
  })

  it('a branch that lost is a sub-chain that undoes what it did before its group is over', async () => {
    const env = testEnv()
    const w = await world(
      [
        line(
          step('a', 'p', undo('a')),
          both('g', [step('fast', 'fast'), { name: 'sub', sub_chain: 'inner' }], { join: 'any' }),
          step('bad', 'bad'),
        ),
        inner({ name: 'nap', wait: { seconds: 50 } }),
      ],
      { p: {}, fast: { script: [slow(env, 100)] }, bad: { script: [badRequest()] }, undo: {} },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1000)
    expect(undone(w)).toEqual(['i2', 'i1', 'a'])
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
  })
})

describe('compensation, whichever commit a node dies at', () => {
  it('each step once and each undo once, under its own token, and never in another order', async () => {
    interface Given {
      readonly w: World
      readonly taken: Receiver
      readonly order: string[]
    }
    const make = async (): Promise<Given> => {
      const taken = receiver()
      const order: string[] = []
      const w = await world(
        [
          line(
            step('a', 'p', undo('a')),
            both('g', [step('x', 'p', undo('x')), { name: 'sub', sub_chain: 'inner' }]),
            step('bad', 'bad', undo('bad')),
          ),
          { name: 'inner', steps: [step('i', 'p', undo('i'))] },
        ],
        {
          p: { provider: scriptedProvider('p', [taken.accept()]) },
          bad: { provider: scriptedProvider('bad', [taken.accept(badRequest())]) },
          undo: {
            provider: scriptedProvider('undo', [
              (s) => {
                if (taken.take(s)) order.push(String((s.request as { payload: JsonObject }).payload['of']))
                return OK
              },
            ]),
          },
        },
      )
      return { w, taken, order }
    }
    const commits = await everyDeath(
      make,
      async ({ w }, chains, store) => void (await start(w, chains, store, 'line')),
      async ({ taken, order }, chains, label) => {
        const [root] = (await chains.list(scope, { name: 'line', limit: 1 })).chains
        if (!root) return
        expect(root, label).toMatchObject({ status: 'compensated' })
        // A child that completed is a step that was done, and has no undo of its own in its parent.
        expect(
          order.filter((o) => o !== 'bad'),
          label,
        ).toEqual(['x', 'a'])
        // The end of the one that failed may not have been seen.
        expect(taken.effects.size, label).toBe(4 + order.length)
      },
    )
    expect(commits).toBeGreaterThan(10)
  })
})
