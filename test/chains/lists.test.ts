import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, OK, receiver, scriptedProvider } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import {
  actionOf,
  choice,
  each,
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
  type World,
  world,
} from './set-up.ts'

const send = { provider: 'p', action_type: 'x', payload_template: { item: '{{item}}', at: '{{index}}' } }
const body = (view: JsonObject | undefined, name: string): JsonObject =>
  (stepsOf(view)[name]?.['output'] as unknown as JsonObject)?.['body'] as JsonObject
const numbers = (n: number) => Array.from({ length: n }, (_, i) => i)

describe('for_each', () => {
  it('goes over a list of the payload; templates see item and index, and the body has the results in its order', async () => {
    const env = testEnv()
    const w = await world(
      [
        line(
          each('all', '{{origin.payload.list}}', send),
          step('last', 'q', { payload_template: { n: '{{prev.body.succeeded}}' } }),
        ),
      ],
      {
        // The first takes longest.
        p: {
          script: [slow(env, 300, { status: 200, body: { n: 0 } }), slow(env, 100, { status: 200, body: { n: 1 } })],
        },
        q: {},
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ list: ['a', { b: 1 }, null] }))
    await env.clock.advance(400)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 300 })
    expect(payloads(w.providers['p'])).toEqual([
      { item: 'a', at: 0 },
      { item: { b: 1 }, at: 1 },
      { item: null, at: 2 },
    ])
    expect(body(view, 'all')).toMatchObject({
      items: [{ body: { n: 0 } }, { body: { n: 1 } }, { body: { n: 1 } }],
      succeeded: 3,
      failed: 0,
    })
    expect(payloads(w.providers['q'])).toEqual([{ n: 3 }])
  })

  it('goes over a result, and over a list that is written out', async () => {
    const w = await world(
      [line(step('find', 'q'), each('found', '{{prev.body.rows}}', send), each('fixed', ['x', '{{origin.id}}'], send))],
      { p: {}, q: { script: [{ status: 200, body: { rows: [1, 2] } }] } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({}, 'act'))
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(payloads(w.providers['p']).map((p) => p['item'])).toEqual([1, 2, 'x', 'act'])
  })

  it('an empty list is over at once; what is no list, and what is too long, fails the step', async () => {
    const w = await world(
      [
        { name: 'line', steps: [each('all', '{{origin.payload.list}}', send, { max_items: 3 })] },
        { name: 'long', steps: [each('all', '{{origin.payload.list}}', send)] },
      ],
      { p: {} },
    )
    const chains = await w.node()
    const went = async (name: string, list: readonly number[] | string | null) => {
      const id = await start(w, chains, w.memory.state, name, actionOf({ list }))
      await quiet(w)
      return chains.get(scope, id)
    }
    const empty = await went('line', [])
    expect(empty).toMatchObject({ status: 'completed' })
    expect(body(empty, 'all')).toEqual({ items: [], succeeded: 0, failed: 0 })
    expect(await went('line', 'abc')).toMatchObject({ status: 'failed', error: { code: 'invalid_items' } })
    expect(await went('line', null)).toMatchObject({ status: 'failed', error: { code: 'invalid_items' } })
    expect(await went('line', [1, 2, 3, 4])).toMatchObject({ status: 'failed', error: { code: 'too_many_items' } })
    expect(await went('long', numbers(1001))).toMatchObject({ status: 'failed', error: { code: 'too_many_items' } })
    expect(w.providers['p']!.sent).toHaveLength(0)
    expect(await went('line', [1, 2, 3])).toMatchObject({ status: 'completed' })
  })

  it('an empty list has nothing that a join of any or of a number could be met by', async () => {
    const went = async (more: JsonObject, list: readonly number[]) => {
      const w = await world([line(each('all', '{{origin.payload.list}}', send, more))], { p: {} })
      const { status, error } = await ran(w, 'line', { list })
      return [status, (error as JsonObject | undefined)?.['message'], w.providers['p']!.sent.length]
    }
    expect(await went({ join: 'all' }, [])).toEqual(['completed', undefined, 0])
    expect(await went({ on_failure: 'best_effort' }, [])).toEqual(['completed', undefined, 0])
    expect(await went({ join: 'any' }, [])).toEqual(['failed', '0 of 0 succeeded, not 1', 0])
    expect(await went({ join: 2 }, [])).toEqual(['failed', '0 of 0 succeeded, not 2', 0])
    expect(await went({ join: 2 }, [1])).toEqual(['failed', '0 of 1 succeeded, not 2', 0])
    expect(await went({ join: 2 }, [1, 2])).toEqual(['completed', undefined, 2])
  })

  it('best_effort: the body says which failed', async () => {
    const w = await world([line(each('all', [1, 2, 3], send, { on_failure: 'best_effort', max_concurrency: 1 }))], {
      p: { script: [OK, badRequest(), OK] },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'partially_completed' })
    expect(body(view, 'all')).toMatchObject({
      items: [{ success: true }, { success: false, error: { code: 'http_400' } }, { success: true }],
      succeeded: 2,
      failed: 1,
    })
  })

  it('a thousand items, ten at once: each sent once, and the record stays small', async () => {
    const env = testEnv()
    const taken = receiver()
    const w = await world(
      [line(each('all', '{{origin.payload.list}}', send, { max_concurrency: 10 }))],
      { p: { provider: scriptedProvider('p', [slow(env, 50, taken.accept())]) } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ list: numbers(1000) }))
    await env.clock.advance(5000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 5000, steps_taken: 1001 })
    expect(w.providers['p']!.mostInFlight).toBe(10)
    expect(taken.taken).toBe(1000)
    expect(taken.effects.size).toBe(1000)
    expect(w.watch.largest).toBeLessThan(4000)
  })

  it('a thousand items that send nothing: no commit is without bound, nor the stack', async () => {
    const w = await world(
      [
        line(
          each('all', '{{origin.payload.list}}', { set: { twice: ['{{item}}', '{{item}}'] } }, { max_concurrency: 3 }),
          { name: 'n', set: { n: '{{prev.body.succeeded}}', last: '{{prev.body.items.999.body.twice}}' } },
        ),
      ],
      {},
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ list: numbers(1000) }))
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(body(view, 'n')).toEqual({ n: 1000, last: [999, 999] })
    const page = await chains.history(scope, id, { limit: 1000 })
    const sizes = page!.entries.map((e) => (e['events'] as readonly unknown[]).length)
    expect(Math.max(...sizes)).toBeLessThan(250)
  })

  it('a loop of a thousand steps that send nothing ends, and takes few commits', async () => {
    const w = await world(
      [
        line({ name: 'a', set: { x: 1 } }, choice('b', { field: 'origin.payload.no', eq: 1 }, 'out', 'a'), {
          name: 'out',
          set: { x: 2 },
        }),
      ],
      {},
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({
      status: 'failed',
      error: { code: 'too_many_steps' },
      steps_taken: 1000,
    })
    expect(w.watch.commits).toBeLessThan(40)
  })

  it('members of sub-chains and of waits with their item; nothing is begun twice where nodes die in between', async () => {
    const make = async (): Promise<World> => {
      const w = await world(
        [
          line(
            each('kids', [10, 20, 30], { sub_chain: 'inner' }, { max_concurrency: 2 }),
            each('naps', [1, 2], { wait: { seconds: '{{item}}' } }),
          ),
          { name: 'inner', steps: [step('in')] },
        ],
        { p: {} },
      )
      return w
    }
    const clean = await make()
    const counted = crashing(clean.memory.state, Number.POSITIVE_INFINITY, 'before')
    const id = await start(clean, await clean.node(counted), counted, 'line')
    await clean.env.clock.advance(5000)
    const only = await clean.node()
    await pullFor(clean, only, 10)
    expect(await only.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(clean.providers['p']!.sent).toHaveLength(3)
    for (let n = 2; n <= counted.writes; n++) {
      const w = await make()
      const dying = crashing(w.memory.state, n, 'after')
      const run = await start(w, await w.node(dying), dying, 'line')
      await w.env.clock.advance(5000)
      const second = await w.node()
      await pullFor(w, second, 100)
      expect(await second.get(scope, run), `commit ${n}`).toMatchObject({ status: 'completed' })
      expect(new Set(w.providers['p']!.sent.map((s) => s.token)).size, `commit ${n}`).toBe(3)
      expect((await second.list(scope, { name: 'inner', limit: 10 })).chains, `commit ${n}`).toHaveLength(3)
    }
  })
})
