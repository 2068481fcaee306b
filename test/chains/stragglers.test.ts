import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, deaf, held, OK, receiver, scriptedProvider } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { both, letters, line, payloads, pullFor, quiet, scope, slow, start, step, stepsOf, world } from './set-up.ts'

const race = (more: JsonObject = {}, own: JsonObject = {}) =>
  both('race', [step('fast', 'fast'), step('late', 'late', more)], { join: 'any' }, own)

describe('a join that is met while others are on their way', () => {
  it('lets the execution go on at once; they end for their own record, and it ends with them', async () => {
    const env = testEnv()
    const w = await world(
      [line(race(), step('next', 'p', { payload_template: { body: '{{prev.body}}' } }))],
      { p: {}, fast: { script: [slow(env, 100)] }, late: { script: [slow(env, 900)] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(100)
    expect(Object.keys(payloads(w.providers['p'])[0]!['body'] as JsonObject)).toEqual(['fast'])
    const half = await chains.get(scope, id)
    expect(half).toMatchObject({ status: 'running', current_step: 'race.late' })
    expect(stepsOf(half)['next']).toMatchObject({ status: 'completed' })
    await env.clock.advance(800)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 900, last_step: 'next', steps_taken: 4 })
    expect(stepsOf(view)['race.late']).toMatchObject({ status: 'completed' })
    expect(Object.keys((stepsOf(view)['race']!['output'] as JsonObject)['body'] as JsonObject)).toEqual(['fast'])
  })

  it('time that runs out for them alone is none of the execution', async () => {
    const env = testEnv()
    const w = await world(
      [{ ...line(race(), step('next', 'p')), timeout_seconds: 10 }],
      { p: {}, fast: { script: [slow(env, 100)] }, late: { script: [deaf], timeoutMs: 60_000 } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(9999)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'running' })
    await env.clock.advance(1)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 10_000 })
    expect(await letters(w)).toMatchObject([{ code: 'timeout', unknown: true }])
  })

  it('in a loop, the same member begins anew when it has come home, under a token of its own', async () => {
    const env = testEnv()
    const again = [{ field: 'body.fast.body.again', operator: 'eq', value: true, target: 'race' }]
    const taken = receiver()
    const w = await world(
      [line(race({}, { branches: again }), step('next', 'p'))],
      {
        p: {},
        fast: { script: [slow(env, 100, { status: 200, body: { again: true } }), slow(env, 700)] },
        late: { provider: scriptedProvider('late', [slow(env, 500, taken.accept()), slow(env, 50, taken.accept())]) },
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(499)
    expect(taken.taken).toBe(0)
    expect(w.providers['late']!.sent).toHaveLength(1)
    // Home at 500; the second entry of it is done at 550, and that meets the second join.
    await env.clock.advance(51)
    expect(taken.effects.size).toBe(2)
    expect(w.providers['p']!.sent).toHaveLength(1)
    await env.clock.advance(1000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 800 })
    const body = (stepsOf(view)['race']!['output'] as JsonObject)['body'] as JsonObject
    expect(Object.keys(body)).toEqual(['late'])
  })

  it('a cancel that comes when nothing but them is left is too late: what is complete is complete', async () => {
    const env = testEnv()
    const undo = { compensate: { provider: 'undo', action_type: 'x' } }
    const w = await world(
      [line(step('first', 'p', undo), race(undo))],
      { p: {}, fast: { script: [slow(env, 100)] }, late: { script: [slow(env, 900)] }, undo: {} },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(200)
    await chains.cancel(scope, id, 'ann')
    await env.clock.advance(1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    expect(w.providers['undo']!.sent).toEqual([])
  })

  it('what they did is undone with the rest should it come to that, once it is known', async () => {
    const env = testEnv()
    const h = held()
    const undo = { compensate: { provider: 'undo', action_type: 'x', payload_template: { of: 'late' } } }
    const w = await world(
      [line(race(undo), step('bad', 'bad'))],
      { fast: { script: [slow(env, 100)] }, late: { script: [h.answer] }, bad: { script: [badRequest()] }, undo: {} },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'running', ending: 'failed' })
    h.finish(OK)
    await quiet(w)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'compensated', error: { code: 'http_400' } })
    expect(payloads(w.providers['undo'])).toEqual([{ of: 'late' }])
  })

  it('a node that dies then leaves them to the next, with the same bytes', async () => {
    for (const timeout_seconds of [100, 20]) {
      const env = testEnv()
      const taken = receiver()
      const w = await world(
        [{ ...line(race(), step('next', 'p')), timeout_seconds }],
        {
          p: {},
          fast: { script: [slow(env, 100)] },
          late: { provider: scriptedProvider('late', [slow(env, 900, taken.accept())]) },
        },
        { env },
      )
      const dying = crashing(w.memory.state, 4, 'before')
      const id = await start(w, await w.node(dying), dying, 'line')
      await env.clock.advance(2000)
      expect(dying.crashed).toBe(true)
      expect(w.providers['p']!.sent).toHaveLength(1)
      const second = await w.node()
      await pullFor(w, second, 60)
      const late = timeout_seconds === 20
      // Where time is over by then, nothing is sent any more.
      expect(await second.get(scope, id)).toMatchObject({ status: late ? 'timed_out' : 'completed' })
      expect(taken.taken).toBe(late ? 1 : 2)
      expect(taken.effects.size).toBe(1)
    }
  })
})
