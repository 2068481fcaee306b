import { describe, expect, it } from 'vitest'
import type { Chains } from '../../src/chains/chains.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { deleteDeadLetter } from '../../src/delivery/dead-letters.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, held, OK, type Scripted } from '../fakes/provider.ts'
import {
  both,
  choice,
  letters,
  line,
  payloads,
  pullFor,
  scope,
  slow,
  start,
  step,
  stepsOf,
  type World,
  world,
} from './set-up.ts'

const fails = badRequest()
const tokens = (w: World, p: string) => w.providers[p]!.sent.map((s) => s.token)
const once = (w: World, ...names: string[]) => {
  for (const name of names) expect(w.providers[name]?.sent, name).toHaveLength(1)
}
const script = (...s: Scripted[]) => ({ script: s })
async function ended(w: World, chains: Chains, name: string): Promise<string> {
  const id = await start(w, chains, w.memory.state, name)
  await w.env.clock.settle()
  return id
}

describe('retry', () => {
  it('goes on at the failed step under a new token; what was done is not done again', async () => {
    const w = await world([line(step('a', 'a'), step('b', 'b'), step('c', 'c'))], {
      a: {},
      b: script(fails, OK),
      c: {},
    })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', last_step: 'b' })
    expect(await letters(w)).toHaveLength(1)
    expect(await chains.retry(scope, id, 'ann')).toEqual({ chain_id: id, chain_name: 'line', retried: ['b'] })
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', resumed: 1 })
    expect(stepsOf(view)['b']).toMatchObject({ iteration: 1, status: 'completed' })
    once(w, 'a', 'c')
    expect(new Set(tokens(w, 'b')).size).toBe(2)
    // What it could not deliver has gone out: its letter is gone too.
    expect(await letters(w)).toEqual([])
    await expect(chains.retry(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_not_failed' })
    await expect(chains.retry(scope, 'nothing', 'ann')).rejects.toMatchObject({ status: 404 })
  })

  it('in a loop it goes on with what was there when it failed, not with the failure', async () => {
    const page = (n: number) => ({ status: 200, body: { n } })
    const more = choice('more', { field: 'prev.body.n', eq: 3 }, 'done', 'page')
    const own = { payload_template: { after: '{{steps.page.body.n}}' } }
    const w = await world([line(step('page', 'p', own), more, step('done', 'q'))], {
      p: script(page(1), page(2), fails, fails, page(3)),
      q: {},
    })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    for (const _ of [1, 2]) {
      expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', last_step: 'page' })
      await chains.retry(scope, id, 'ann')
      await w.env.clock.settle()
    }
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(payloads(w.providers['p']).map((p) => p['after'])).toEqual([null, 1, 2, 2, 2])
  })

  it('of best effort that falls short again leaves the execution as it was, to be retried and redriven once more', async () => {
    const w = await world(
      [line(both('g', [step('x', 'x'), step('y', 'y')], { on_failure: 'best_effort' }), step('after', 'q'))],
      { x: {}, y: script(fails, fails, fails, OK), q: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    for (const again of ['retry', 'redrive', 'retry']) {
      expect(await chains.get(scope, id)).toMatchObject({ status: 'partially_completed' })
      const [letter] = await letters(w)
      const { step: name, iteration } = letter!.origin
      if (again === 'retry') await chains.retry(scope, id, 'ann')
      else
        await chains.resumeFromDeadLetter(
          { scope, chainId: id, step: name!, iteration: iteration! },
          deleteDeadLetter(letter!),
        )
      await w.env.clock.settle()
    }
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(await letters(w)).toEqual([])
    once(w, 'x', 'q')
  })

  it('of a group only the members that failed run again', async () => {
    const w = await world(
      [
        line(
          { name: 'all', parallel: { branches: [step('x', 'x'), step('y', 'y'), step('z', 'z')] } },
          step('after', 'q', { payload_template: { y: '{{prev.body.y.body}}', x: '{{prev.body.x.body}}' } }),
        ),
      ],
      { x: script({ status: 200, body: 1 }), y: script(fails, { status: 200, body: 2 }), z: {}, q: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', last_step: 'all' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    once(w, 'x', 'z', 'q')
    expect(w.providers['y']!.sent).toHaveLength(2)
    expect(w.providers['q']!.sent[0]!.request).toMatchObject({ payload: { y: 2, x: 1 } })
    expect(await letters(w)).toEqual([])
  })

  it('of a list too, twice, with the results of three rounds together', async () => {
    const bodies = (n: number) => ({ status: 200, body: n })
    const w = await world(
      [
        line({
          name: 'each',
          for_each: {
            items: [10, 20, 30],
            on_failure: 'best_effort',
            join: 3,
            max_concurrency: 1,
            step: { provider: 'p', action_type: 'x', payload_template: { no: '{{item}}' } },
          },
        }),
      ],
      { p: script(bodies(1), fails, fails, fails, bodies(3), bodies(2)) },
    )
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', resumed: 2 })
    const { body } = stepsOf(view)['each']!['output'] as { body: { items: { body: number }[] } }
    expect(body.items.map((i) => i.body)).toEqual([1, 2, 3])
    const sent = w.providers['p']!.sent.map((s) => ((s.request as JsonObject)['payload'] as JsonObject)['no'])
    expect(sent).toEqual([10, 20, 30, 20, 30, 20])
    expect(await letters(w)).toEqual([])
  })

  it('of a graph every step that failed or was cut off runs again, groups and all, and nothing else', async () => {
    const w = await world(
      [
        {
          name: 'graph',
          steps: [
            { ...step('a', 'a'), needs: [] },
            { ...step('b', 'b'), needs: [] },
            { name: 'g', needs: [], parallel: { branches: [step('x', 'x'), step('y', 'y')] } },
            { name: 'w', needs: [], wait: { seconds: 1 } },
            { ...step('last', 'last'), needs: ['a', 'b', 'g', 'w'] },
          ],
        },
      ],
      { a: {}, b: script(fails, OK), x: {}, y: script(fails, OK), last: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains, 'graph')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    const told = await chains.retry(scope, id, 'ann')
    expect([...(told['retried'] as string[])].sort()).toEqual(['b', 'g', 'w'])
    await w.env.clock.advance(2000)
    await chains.pull()
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    once(w, 'a', 'x', 'last')
    expect(w.providers['y']!.sent).toHaveLength(2)
    expect(await letters(w)).toEqual([])
  })

  it('of one that is done but for some steps only these run again, and its result stays that of the last', async () => {
    const inner = {
      name: 'inner',
      steps: [
        step('a', 'a'),
        step('b', 'b', { allow_failure: true }),
        step('c', 'c', { on_failure: 'continue' }),
        step('d', 'd'),
      ],
    }
    const w = await world([inner], {
      a: {},
      b: script(fails, OK),
      c: script(fails, fails, OK),
      d: {},
    })
    const chains = await w.node()
    const id = await ended(w, chains, 'inner')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'partially_completed', failed_steps: ['b', 'c'] })
    expect((await chains.retry(scope, id, 'ann'))['retried']).toEqual(['b', 'c'])
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({
      status: 'partially_completed',
      failed_steps: ['c'],
      last_step: 'd',
    })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', last_step: 'd' })
    once(w, 'a', 'd')
    expect(w.providers['b']!.sent).toHaveLength(2)
  })

  it('what was undone is not brought back', async () => {
    const undo = { provider: 'u', action_type: 'undo' }
    const w = await world([line(step('a', 'a', { compensate: undo }), step('b', 'b'))], {
      a: {},
      b: script(fails),
      u: {},
    })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated' })
    const refused = { status: 409, code: 'chain_compensated' }
    await expect(chains.retry(scope, id, 'ann')).rejects.toMatchObject(refused)
    await expect(chains.reset(scope, id, { step: 'a', by: 'ann' })).rejects.toMatchObject(refused)
    const failed = { scope, chainId: id, step: 'b', iteration: 0 }
    await expect(chains.resumeFromDeadLetter(failed, [])).rejects.toMatchObject({ status: 409 })
  })

  it('is refused while it runs, and of two at once one is', async () => {
    const w = await world([line(step('a', 'a'), { name: 'ask', wait_for_signal: { signal: 'go' } })], {
      a: script(fails, OK),
    })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    const both = await Promise.allSettled([chains.retry(scope, id, 'ann'), chains.retry(scope, id, 'bob')])
    expect(both.map((b) => b.status).sort()).toEqual(['fulfilled', 'rejected'])
    await w.env.clock.settle()
    await expect(chains.retry(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_running' })
    expect(w.providers['a']!.sent).toHaveLength(2)
  })

  it('a cancel or a signal that was refused after the end is no part of its next life', async () => {
    const w = await world([line(step('a', 'a'), { name: 'ask', wait_for_signal: { signal: 'go' } })], {
      a: script(fails, OK),
    })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    // As a node leaves it that dies between its message and taking it back.
    const says = (type: string, more: object) => JSON.stringify({ type, by: 'ann', ...more })
    await w.memory.state.commit(scope, [
      { op: 'put', kind: 'inbox', id: `${id}/cancel`, value: says('cancel', {}), version: 'x' },
      {
        op: 'put',
        kind: 'inbox',
        id: `${id}/said/1`,
        value: says('signal', { name: 'go', payload: null, at: 0 }),
        version: 'y',
      },
    ])
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'waiting', current_step: 'ask' })
  })
})

describe('retry of what ran out of time', () => {
  it('between two steps goes on with the second, which sees the first', async () => {
    const h = held()
    const two = step('b', 'b', { payload_template: { saw: '{{prev.body.n}}' } })
    const w = await world(
      [line(step('a', 'a'), two)],
      { a: { script: [h.answer], timeoutMs: 500_000 }, b: {} },
      { config: { stepDeadlineSeconds: 1000 } },
    )
    let asleep = false
    const late = async (ms: number) => {
      // The end of the first is stored only after the deadline.
      asleep = true
      h.finish({ status: 200, body: { n: 3 } })
      await w.env.clock.advance(ms)
      asleep = false
    }
    const chains = await w.node({
      ...w.memory.state,
      async commit(...c) {
        while (asleep) await w.env.clock.sleep(50)
        return w.memory.state.commit(...c)
      },
    })
    const id = await start(w, chains, w.memory.state, 'line')
    await w.env.clock.advance(90_000)
    await late(11_000)
    await w.env.clock.advance(100)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.advance(100)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    once(w, 'a', 'b')
    expect(w.providers['b']!.sent[0]!.request).toMatchObject({ payload: { saw: 3 } })
  })

  it('in a step whose failure its author judges: that was none, and it is taken again', async () => {
    const look = step('page', 'p', {
      payload_template: { after: '{{prev.body.n}}' },
      branches: [{ field: 'body.n', operator: 'eq', value: 2, target: 'done' }],
      default_next: 'page',
    })
    const w = await world([{ ...line(look, step('done', 'q')), timeout_seconds: 10 }], {
      p: {
        script: [{ status: 200, body: { n: 1 } }, held().answer, { status: 200, body: { n: 2 } }],
        timeoutMs: 60_000,
      },
      q: {},
    })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    await w.env.clock.advance(20_000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out', last_step: 'page' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(payloads(w.providers['p']).map((p) => p['after'])).toEqual([null, 1, 1])
  })

  it('between two rounds of a loop goes on with the next, which sees the one before', async () => {
    const env = testEnv()
    const page = (n: number) => ({ status: 200, body: { n } })
    const last = { field: 'body.x.body.n', operator: 'eq', value: 3, target: 'done' }
    const rounds = both('page', [
      step('x', 'p', { payload_template: { after: '{{prev.body.x.body.n}}' } }),
      step('y', 'q'),
    ])
    const w = await world(
      [{ ...line({ ...rounds, branches: [last], default_next: 'page' }, step('done', 'q')), timeout_seconds: 10 }],
      {
        p: { script: [page(1), slow(env, 5000, page(2)), page(3)], timeoutMs: 60_000 },
        q: { script: [OK, slow(env, 6000), OK] },
      },
      { env },
    )
    let asleep = false
    const chains = await w.node({
      ...w.memory.state,
      async commit(...c) {
        while (asleep) await env.clock.sleep(50)
        return w.memory.state.commit(...c)
      },
    })
    const id = await ended(w, chains, 'line')
    await env.clock.advance(4000)
    // The end of the one is stored only after the deadline, and that of the other is looked at then.
    asleep = true
    await env.clock.advance(7000)
    asleep = false
    await env.clock.advance(100)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out', last_step: 'page' })
    await chains.retry(scope, id, 'ann')
    await env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(payloads(w.providers['p']).map((p) => p['after'])).toEqual([null, 1, 2])
    // Both members, as it is a round of its own.
    expect(w.providers['q']!.sent).toHaveLength(4)
  })

  it('with a child: the child goes on where time ran out', async () => {
    const inner = { name: 'inner', steps: [step('in', 'in'), { name: 'ask', wait_for_signal: { signal: 'go' } }] }
    const w = await world([line({ name: 'sub', sub_chain: 'inner' }, step('after', 'q')), inner], { in: {}, q: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 110)
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    expect(await chains.get(scope, id)).toMatchObject({ status: 'timed_out' })
    expect(await chains.get(scope, child)).toMatchObject({ status: 'timed_out' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, child)).toMatchObject({ status: 'waiting', current_step: 'ask' })
    await chains.signal(scope, child, { name: 'go', payload: null, by: 'ann' })
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    once(w, 'in', 'q')
  })

  it('a child that was ended with its parent goes on too', async () => {
    const inner = { name: 'inner', steps: [step('in', 'in'), { name: 'ask', wait_for_signal: { signal: 'go' } }] }
    const graph = {
      name: 'graph',
      steps: [
        { name: 'one', needs: [], sub_chain: 'inner' },
        { name: 'two', needs: [], sub_chain: 'inner' },
        { name: 'ask', needs: [], wait_for_signal: { signal: 'go' } },
        { ...step('bad', 'bad'), needs: ['ask'] },
      ],
    }
    const w = await world([graph, inner], { in: {}, bad: script(fails, OK) })
    const chains = await w.node()
    const id = await ended(w, chains, 'graph')
    const before = stepsOf(await chains.get(scope, id))
    const child = (name: string, steps = before) => steps[name]!['child_chain_id'] as string
    await chains.signal(scope, id, { name: 'go', payload: null, by: 'ann' })
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    expect(await chains.get(scope, child('one'))).toMatchObject({ status: 'cancelled' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    const after = stepsOf(await chains.get(scope, id))
    expect([child('one', after), child('two', after)]).toEqual([child('one'), child('two')])
    for (const name of ['one', 'two']) await chains.signal(scope, child(name), { name: 'go', payload: null, by: 'ann' })
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['in']!.sent).toHaveLength(2)
    expect(w.providers['bad']!.sent).toHaveLength(2)
  })

  it('too many steps are no step to go on at', async () => {
    const never = [{ field: 'body.done', operator: 'eq', value: true, target: 'b' }]
    const w = await world([line(step('a', 'a', { default_next: 'a', branches: never }), step('b', 'a'))], { a: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    for (let i = 0; i < 100; i++) await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', error: { code: 'too_many_steps' } })
    await expect(chains.retry(scope, id, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_moved_on' })
  })
})

describe('retry and sub-chains', () => {
  const inner = { name: 'inner', steps: [step('in', 'in'), step('in2', 'in2')] }
  const outer = (more: JsonObject = {}) => line({ name: 'sub', sub_chain: 'inner', ...more }, step('after', 'q'))

  it('of the parent: the child goes on where it failed, and the parent waits for it again', async () => {
    const w = await world([outer(), inner], { in: {}, in2: script(fails, OK), q: {} })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed', last_step: 'sub' })
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', resumed: 1 })
    expect(await chains.get(scope, child)).toMatchObject({ status: 'completed', resumed: 1 })
    once(w, 'in', 'q')
    expect((await chains.list(scope, { limit: 10 })).chains).toHaveLength(2)
    expect(await letters(w)).toEqual([])
  })

  it('of the child: its parents wait for it again', async () => {
    const w = await world([outer(), inner], { in: {}, in2: script(fails, OK), q: {} })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    await chains.retry(scope, child, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    once(w, 'in', 'q')
  })

  it('of the child of a parent that went on without it: what the parent did after it is not done again', async () => {
    const w = await world([outer({ allow_failure: true }), inner], { in: script(fails, OK), in2: {}, q: {} })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'partially_completed' })
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    await chains.retry(scope, child, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, child)).toMatchObject({ status: 'completed' })
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', last_step: 'after' })
    once(w, 'q', 'in2')
  })

  it('of the child of a parent that has judged its failure is refused', async () => {
    const w = await world([outer({ default_next: 'after' }), inner], { in: script(fails, OK), in2: {}, q: {} })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    const child = stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    await expect(chains.retry(scope, child, 'ann')).rejects.toMatchObject({ status: 409, code: 'chain_moved_on' })
  })

  it('in a group: every child that failed goes on, those that did not stay as they are', async () => {
    const each = {
      name: 'line',
      steps: [
        {
          name: 'each',
          for_each: {
            items: ['a', 'b', 'c'],
            on_failure: 'best_effort',
            join: 3,
            step: { sub_chain: 'inner' },
          },
        },
        step('after', 'q'),
      ],
    }
    const w = await world([each, inner], { in: script(OK, fails, OK, OK), in2: script(OK, fails, OK, OK), q: {} })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    const before = (await chains.list(scope, { name: 'inner', status: 'failed', limit: 10 })).chains
    expect(before).toHaveLength(2)
    // From one of the children: the other, without which the group would fail again, goes on too.
    await chains.retry(scope, before[0]!['chain_id'] as string, 'ann')
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect((await chains.list(scope, { name: 'inner', limit: 10 })).chains).toHaveLength(3)
    expect(w.providers['in']!.sent).toHaveLength(4)
    expect(w.providers['in2']!.sent).toHaveLength(4)
    once(w, 'q')
  })

  it('a child that was undone is begun anew', async () => {
    const undoes = {
      name: 'inner',
      steps: [step('in', 'in', { compensate: { provider: 'u', action_type: 'undo' } }), step('in2', 'in2')],
    }
    const w = await world([outer(), undoes], { in: {}, in2: script(fails, OK), u: {}, q: {} })
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect(await chains.get(scope, id)).toMatchObject({ status: 'failed' })
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['in']!.sent).toHaveLength(2)
    const inners = (await chains.list(scope, { name: 'inner', limit: 10 })).chains.map((c) => c['status'])
    expect(inners.sort()).toEqual(['compensated', 'completed'])
  })

  it('so is one of which only some could be undone', async () => {
    const undo = { compensate: { provider: 'stuck', action_type: 'undo' } }
    const w = await world(
      [
        line({ name: 'sub', sub_chain: 'inner' }),
        { name: 'inner', steps: [step('in', 'in', undo), step('bad', 'bad')] },
      ],
      { in: {}, bad: script(fails, OK), stuck: script(fails) },
    )
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    expect((await chains.list(scope, { name: 'inner', limit: 9 })).chains).toMatchObject([
      { status: 'failed', error: { code: 'compensation_failed' } },
    ])
    await chains.retry(scope, id, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect((await chains.list(scope, { name: 'inner', limit: 9 })).chains).toHaveLength(2)
    expect(tokens(w, 'in')).toHaveLength(2)
  })

  it('below a locked root nothing runs before the root has its lock again', async () => {
    const root = {
      name: 'root',
      lock_by: 'payload.device_id',
      steps: [{ name: 'sub', sub_chain: 'inner' }],
    }
    const ask = { name: 'inner', steps: [{ name: 'ask', wait_for_signal: { signal: 'go' } }, step('in', 'in')] }
    const w = await world([root, ask], { in: script(fails, OK) })
    const chains = await w.node()
    const said = { name: 'go', payload: null, by: 'ann' }
    const childOf = async (id: string) => stepsOf(await chains.get(scope, id))['sub']!['child_chain_id'] as string
    const a = await ended(w, chains, 'root')
    await chains.signal(scope, await childOf(a), said)
    await w.env.clock.settle()
    expect(await chains.get(scope, a)).toMatchObject({ status: 'failed' })
    const b = await ended(w, chains, 'root')
    expect(await chains.get(scope, b)).toMatchObject({ status: 'waiting' })
    await chains.retry(scope, a, 'ann')
    await w.env.clock.settle()
    expect(await chains.get(scope, a)).toMatchObject({ status: 'pending' })
    expect(await chains.get(scope, await childOf(a))).toMatchObject({ status: 'pending' })
    expect(w.providers['in']!.sent).toHaveLength(1)
    await chains.cancel(scope, b, 'ann')
    for (let i = 0; i < 3; i++) await w.env.clock.settle()
    expect(await chains.get(scope, b)).toMatchObject({ status: 'cancelled' })
    expect(await chains.get(scope, a)).toMatchObject({ status: 'completed' })
    expect(w.providers['in']!.sent).toHaveLength(2)
  })
})

describe('redrive of a member of a group', () => {
  it('brings the group back with all that failed of it, and their letters are done with', async () => {
    const w = await world(
      [line({ name: 'all', parallel: { branches: [step('x', 'x'), step('y', 'y'), step('z', 'z')] } })],
      { x: script(fails, OK), y: script(fails, fails, OK), z: {} },
    )
    const chains = await w.node()
    const id = await ended(w, chains, 'line')
    const [first, second] = await letters(w)
    expect(new Set([first!.origin.step, second!.origin.step])).toEqual(new Set(['all.x', 'all.y']))
    const of = (step: string, iteration: number) => ({ scope, chainId: id, step, iteration })
    const letter = [first!, second!].find((l) => l.origin.step === 'all.x')!
    await chains.resumeFromDeadLetter(of('all.x', 0), deleteDeadLetter(letter))
    await w.env.clock.settle()
    // Once more, of the one that has failed again; what is left of before is refused.
    const left = await letters(w)
    expect(left.map((l) => [l.origin.step, l.origin.iteration])).toEqual([['all.y', 1]])
    await expect(chains.resumeFromDeadLetter(of('all.y', 0), [])).rejects.toMatchObject({ code: 'chain_moved_on' })
    await chains.resumeFromDeadLetter(of('all.y', 1), deleteDeadLetter(left[0]!))
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', resumed: 2 })
    expect(await letters(w)).toEqual([])
    once(w, 'z')
    expect(w.providers['x']!.sent).toHaveLength(2)
    expect(w.providers['y']!.sent).toHaveLength(3)
  })
})
