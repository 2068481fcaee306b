import { describe, expect, it } from 'vitest'
import { testEnv } from '../fakes/env.ts'
import { badRequest, held, OK, unavailable } from '../fakes/provider.ts'
import { both, each, line, payloads, quiet, scope, slow, start, step, stepsOf, world } from './set-up.ts'

const needs = (name: string, provider: string, ...of: string[]) => step(name, provider, { needs: of })

describe('a graph', () => {
  it('begins what is independent at once, and takes the time of its longest path', async () => {
    const env = testEnv()
    // a 300 → c 400 → e 100; b 500 → d 100 → e; f 650 alone.
    const w = await world(
      [
        line(
          needs('e', 't100', 'c', 'd'),
          needs('a', 't300'),
          needs('b', 't500'),
          needs('c', 't400', 'a'),
          needs('d', 't100', 'b'),
          needs('f', 't650'),
        ),
      ],
      Object.fromEntries([100, 300, 400, 500, 650].map((ms) => [`t${ms}`, { script: [slow(env, ms)] }])),
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect((await chains.get(scope, id))!['open_steps']).toEqual(['a', 'b', 'f'])
    await env.clock.advance(10_000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 800, steps_taken: 6 })
    const started = Object.entries(stepsOf(view)).map(([n, s]) => [n, Date.parse(s['started_at'] as string)] as const)
    const first = Math.min(...started.map(([, t]) => t))
    expect(Object.fromEntries(started.map(([n, t]) => [n, t - first]))).toEqual({
      a: 0,
      b: 0,
      c: 300,
      d: 500,
      e: 700,
      f: 0,
    })
  })

  it('a step sees what it needs, and as prev the first of those', async () => {
    const templated = { payload_template: { p: '{{prev.body.n}}', a: '{{steps.a.body.n}}', b: '{{steps.b.body.n}}' } }
    const w = await world(
      [line(needs('a', 'a'), needs('b', 'b'), step('c', 'p', { needs: ['b', 'a'], ...templated }))],
      { p: {}, a: { script: [{ status: 200, body: { n: 1 } }] }, b: { script: [{ status: 200, body: { n: 2 } }] } },
    )
    const chains = await w.node()
    await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    expect(payloads(w.providers['p'])).toEqual([{ p: 2, a: 1, b: 2 }])
  })

  it('a failure in one branch lets what acts finish, drops what waits, and begins nothing after it', async () => {
    const env = testEnv()
    const h = held()
    const w = await world(
      [
        line(
          needs('bad', 'bad'),
          needs('slow', 'slow'),
          { name: 'nap', needs: [], wait: { seconds: 60 } },
          step('backs', 'backs', { needs: [], retry: { max_attempts: 9, initial_ms: 60_000, backoff: 'fixed' } }),
          needs('after', 'p', 'slow'),
          needs('end', 'p', 'bad'),
        ),
      ],
      {
        p: {},
        bad: { script: [slow(env, 100, badRequest())] },
        slow: { script: [h.answer] },
        backs: { script: [unavailable()] },
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'running', ending: 'failed', current_step: 'bad' })
    h.finish(OK)
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', error: { code: 'http_400' }, last_step: 'bad' })
    expect(stepsOf(view)['slow']).toMatchObject({ status: 'completed' })
    expect(stepsOf(view)['after']).toMatchObject({ status: 'skipped' })
    expect(w.providers['p']!.sent).toHaveLength(0)
    expect(w.providers['backs']!.sent).toHaveLength(1)
  })

  it('two that fail at once fail it once, by the first', async () => {
    const w = await world([line(needs('a', 'a'), needs('b', 'b'), needs('c', 'a', 'a', 'b'))], {
      a: { script: [badRequest()] },
      b: { script: [new Error('odd')] },
    })
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', last_step: 'a', error: { code: 'http_400' }, steps_taken: 2 })
    expect(w.watch.events(id).filter((e) => e.type === 'stopping')).toHaveLength(1)
  })

  it('continue: what needs the step goes on, and sees that it failed', async () => {
    const w = await world(
      [
        line(
          step('a', 'bad', { needs: [], on_failure: 'continue' }),
          step('b', 'bad', { needs: [], on_failure: 'dead_letter' }),
          step('c', 'p', {
            needs: ['a', 'b'],
            payload_template: { ok: '{{steps.a.success}}', why: '{{steps.b.error.code}}' },
          }),
        ),
      ],
      { p: {}, bad: { script: [badRequest()] } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'partially_completed', failed_steps: ['a', 'b'] })
    expect(payloads(w.providers['p'])).toEqual([{ ok: false, why: 'http_400' }])
    expect(stepsOf(view)['a']).not.toHaveProperty('dead_letter_id')
    expect(stepsOf(view)['b']).toHaveProperty('dead_letter_id')
  })

  it('groups, waits and steps that end at once are steps of a graph like others', async () => {
    const env = testEnv()
    const w = await world(
      [
        line(
          both('g', [step('x', 'p'), { name: 'y', set: { n: 1 } }], {}, { needs: [] }),
          each('l', [1, 2], { set: { n: '{{item}}' } }, {}, { needs: ['s'] }),
          { name: 's', needs: [], set: { n: 5 } },
          { name: 'w', needs: ['s'], wait: { seconds: 1 } },
          step('end', 'p', {
            needs: ['g', 'l', 'w'],
            payload_template: { g: '{{steps.g.body.y.body.n}}', l: '{{steps.l.body.items.1.body.n}}' },
          }),
        ),
      ],
      { p: { script: [slow(env, 500)] } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1000)
    await chains.pull()
    await env.clock.advance(1000)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 1500 })
    expect(payloads(w.providers['p'])[1]).toEqual({ g: 1, l: 2 })
  })

  it('is complete with a last step that ended in time, though that was stored after it', async () => {
    const env = testEnv()
    const h = [held(), held()]
    const w = await world(
      [{ ...line(needs('a', 'a'), needs('b', 'b')), timeout_seconds: 10 }],
      { a: { script: [h[0]!.answer] }, b: { script: [h[1]!.answer] } },
      { env },
    )
    let until = 0
    const chains = await w.node({
      ...w.memory.state,
      async commit(...asked) {
        await env.clock.sleep(Math.max(0, until - env.clock.now()))
        return w.memory.state.commit(...asked)
      },
    })
    const id = await start(w, chains, w.memory.state, 'line')
    await quiet(w)
    until = env.clock.now() + 11_000
    h[0]!.finish(OK)
    await env.clock.advance(9999)
    h[1]!.finish(OK)
    await env.clock.advance(5000)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 11_000 })
  })
})
