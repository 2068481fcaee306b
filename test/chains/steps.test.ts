import { describe, expect, it } from 'vitest'
import { ProviderError } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { badRequest, OK, scriptedProvider } from '../fakes/provider.ts'
import { actionOf, both, letters, line, payloads, quiet, ran, scope, start, step, stepsOf, world } from './set-up.ts'

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
      b: 'is {{origin.payload.y}}!',
      c: '{{ origin.payload.v }}',
      id: '{{chain_id}}',
    }
    const w = await world([line(step('one', 'p', { payload_template: template }), step('two'))], { p: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', actionOf({ v: { n: 1 } }))
    await w.env.clock.settle()
    expect(stepsOf(await chains.get(scope, id))['one']).toMatchObject({
      input: { a: null, b: 'is !', c: { n: 1 }, id },
      missing: ['prev.body.x', 'origin.payload.y'],
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

  it('a template that gives null sends nothing: neither the step nor what undoes one falls back to the payload of the origin', async () => {
    const w = await world(
      [
        line(
          step('one', 'p', {
            compensate: { provider: 'undo', action_type: 'undo', payload_template: '{{result.body.receipt}}' },
          }),
          step('two', 'q', { payload_template: '{{origin.payload.nothing}}' }),
        ),
      ],
      { p: {}, q: {}, undo: {} },
    )
    const view = await ran(w, 'line', { card: '4111' })
    expect(view).toMatchObject({ status: 'failed', error: { code: 'compensation_failed' } })
    expect(stepsOf(view)).toMatchObject({
      one: { compensation: { status: 'failed', output: { error: { code: 'invalid_payload' } } } },
      two: { status: 'failed', output: { error: { code: 'invalid_payload' } }, missing: ['origin.payload.nothing'] },
    })
    expect([payloads(w.providers['q']), payloads(w.providers['undo'])]).toEqual([[], []])
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

  it('a metadata key with dots is found by templates, branches, conditions and the lock alike', async () => {
    const field = 'origin.metadata.app.io/name'
    const chain = {
      ...(line(
        step('one', 'p', {
          payload_template: { n: `{{${field}}}` },
          branches: [{ field, operator: 'eq', value: 'gw', target: 'ask' }],
          default_next: 'no',
        }),
        { name: 'ask', condition: { field, eq: 'gw' }, else: 'no' },
        step('yes', 'p', { default_next: 'end' }),
        step('no', 'q'),
        step('end', 'p'),
      ) as object),
      lock_by: 'metadata.app.io/name',
    }
    const w = await world([chain as never], { p: {}, q: {} })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line', { ...actionOf(), metadata: { 'app.io/name': 'gw' } })
    await w.env.clock.settle()
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', entity: 'gw' })
    expect(w.providers['p']!.sent[0]!.request).toMatchObject({ payload: { n: 'gw' } })
    expect([w.providers['p']!.sent.length, w.providers['q']!.sent.length]).toEqual([3, 0])
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

  it.each(['constructor', 'toString', 'valueOf', '__proto__'])('a step may be called %s', async (name) => {
    const to = (one: string, more: JsonObject) => ({ ...step(one, 'p', more), default_next: 'last' })
    const w = await world(
      [
        line(
          step(name, 'p', { branches: [{ field: 'body.n', operator: 'eq', value: 1, target: name }] }),
          to('second', { payload_template: { saw: `{{steps.${name}.body.n}}`, prev: '{{prev.body.n}}' } }),
          both('last', [step(name, 'p'), step('other', 'bad')], { on_failure: 'best_effort', join: 2 }),
        ),
      ],
      {
        p: { script: [1, 2].map((n) => ({ status: 200, body: { n } })) },
        bad: { script: [badRequest(), OK] },
      },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', error: { code: 'branch_failed' }, last_step: 'last' })
    expect(w.providers['p']!.sent[2]!.request).toMatchObject({ payload: { saw: 2, prev: 2 } })
    await chains.retry(scope, id, 'ann')
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    await chains.reset(scope, id, { step: name, by: 'ann' })
    await quiet(w)
    const again = await chains.get(scope, id)
    expect(again).toMatchObject({ status: 'completed' })
    expect((again!['steps'] as JsonObject[]).filter((s) => s['name'] === name).map((s) => s['iteration'])).toEqual([
      0, 1, 2,
    ])
    expect(new Set(w.providers['p']!.sent.map((s) => s.token)).size).toBe(w.providers['p']!.sent.length)
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
