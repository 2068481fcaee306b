import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffOf } from '../../src/chains/decide/backoff.ts'
import type { RetryPolicy } from '../../src/chains/model/definition.ts'
import { readRun } from '../../src/chains/model/loaded.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { testEnv } from '../fakes/env.ts'
import { badRequest, deaf, held, OK, receiver, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { both, each, letters, line, pullFor, quiet, scope, slow, start, step, stepsOf, world } from './set-up.ts'

const fixed = (max_attempts: number, ms: number) => ({ retry: { max_attempts, backoff: 'fixed', initial_ms: ms } })

describe('back-off', () => {
  const policy = fc.record({
    max_attempts: fc.integer({ min: 1, max: 100 }),
    backoff: fc.constantFrom('fixed' as const, 'linear' as const, 'exponential' as const),
    initial_ms: fc.integer({ min: 0, max: 100_000 }),
    max_ms: fc.integer({ min: 100_000, max: 86_400_000 }),
  })
  const most = (p: Required<RetryPolicy>, made: number): number =>
    Math.min(p.max_ms, p.initial_ms * { fixed: 1, linear: made, exponential: 2 ** (made - 1) }[p.backoff])

  it('a law: drawn from nothing to what the policy says, all of it, and never more', () => {
    fc.assert(
      fc.property(
        policy,
        fc.integer({ min: 1, max: 200 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (p, made, chance) => {
          const wait = backoffOf(p, made, chance)
          expect(Number.isInteger(wait)).toBe(true)
          expect(wait).toBe(Math.ceil(most(p, made) * chance))
          expect(backoffOf(p, made, 0)).toBe(0)
          expect(backoffOf(p, made, 1 - Number.EPSILON)).toBe(Math.ceil(most(p, made) * (1 - Number.EPSILON)))
          expect(wait).toBeLessThanOrEqual(most(p, made))
        },
      ),
    )
  })
  it('what a policy leaves out is exponential, from a second to a minute', () => {
    const waits = [1, 2, 3, 7, 50].map((made) => backoffOf({ max_attempts: 9 }, made, 1 - Number.EPSILON))
    expect(waits).toEqual([1000, 2000, 4000, 60_000, 60_000])
  })
})

describe('retry', () => {
  it('counts an attempt before it is made, waits in between as its policy says, and gives up after the last', async () => {
    const env = testEnv()
    const counted: number[] = []
    const at: number[] = []
    const retry = { max_attempts: 4, backoff: 'linear', initial_ms: 1000 }
    const w = await world(
      [line(step('one', 'p', { retry }))],
      {
        p: {
          maxRetries: 5,
          script: [
            async () => {
              const [entry] = await w.memory.state.get([{ kind: 'run', scope, id }])
              counted.push(readRun(entry!.value).open[0]!.attempt)
              at.push(env.clock.now())
              throw unavailable()
            },
          ],
        },
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 20)
    expect(counted).toEqual([1, 2, 3, 4])
    const backedOff = w.watch.events(id).flatMap((e) => (e.type === 'step_backed_off' ? [e.not_before - e.at] : []))
    expect(backedOff).toHaveLength(3)
    for (const [i, ms] of backedOff.entries()) expect(ms).toBeLessThanOrEqual(1000 * (i + 1))
    // Full jitter: three draws of nothing would be no jitter.
    expect(new Set(backedOff).size).toBe(3)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'failed', error: { code: 'http_503' } })
    expect(stepsOf(view)['one']).toMatchObject({ attempts: 4 })
    expect(new Set(w.providers['p']!.sent.map((s) => `${s.token} ${JSON.stringify(s.request)}`)).size).toBe(1)
    expect(await letters(w)).toMatchObject([{ attempts: 4, code: 'http_503' }])
  })

  it('PITFALLS 45: a stray wake-up in a back-off does nothing, nor does a restart in the middle of it', async () => {
    const w = await world([line(step('one', 'p', fixed(3, 60_000)))], { p: { script: [unavailable(50_000), OK] } })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await quiet(w)
    const before = await first.get(scope, id)
    const due = before!['not_before'] as string
    const [entry] = await w.memory.state.get([{ kind: 'run', scope, id }])
    expect(entry!.claim).toBeUndefined()
    expect(entry!.dueAt).toBe(Date.parse(due))
    await first.stop()
    const second = await w.node()
    for (const _ of [1, 2, 3]) {
      await w.memory.state.commit(scope, [{ op: 'wake', kind: 'run', id }])
      expect(await second.pull()).toBe(1)
      await w.env.clock.advance(10_000)
    }
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect((await second.get(scope, id))!['not_before']).toBe(due)
    await w.env.clock.advance(Date.parse(due) - w.env.clock.now() - 1)
    await second.pull()
    await quiet(w)
    expect(w.providers['p']!.sent).toHaveLength(1)
    await w.env.clock.advance(1)
    await second.pull()
    await quiet(w)
    expect(w.providers['p']!.sent).toHaveLength(2)
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed' })
  })

  it('what is not worth another try is not tried again, nor what would come after the deadline', async () => {
    const w = await world(
      [
        { name: 'bad', steps: [step('one', 'bad', fixed(5, 0))] },
        { name: 'late', timeout_seconds: 10, steps: [step('one', 'late', fixed(5, 60_000))] },
      ],
      { bad: { script: [badRequest()] }, late: { script: [unavailable(20_000)] } },
    )
    const chains = await w.node()
    const bad = await start(w, chains, w.memory.state, 'bad')
    const late = await start(w, chains, w.memory.state, 'late')
    await quiet(w)
    expect(await chains.get(scope, bad)).toMatchObject({ status: 'failed', error: { code: 'http_400' } })
    expect(await chains.get(scope, late)).toMatchObject({
      status: 'failed',
      error: { code: 'http_503' },
      duration_ms: 0,
    })
    expect(w.providers['bad']!.sent.length + w.providers['late']!.sent.length).toBe(2)
  })

  it('timeout_seconds is of each attempt; a provider that hangs is unknown, and the same bytes go out again', async () => {
    const env = testEnv()
    const taken = receiver()
    const w = await world(
      [line(step('one', 'p', { timeout_seconds: 2, ...fixed(3, 0) }))],
      { p: { provider: scriptedProvider('p', [deaf, taken.accept(serverError()), taken.accept()]) } },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(1999)
    expect(w.providers['p']!.sent).toHaveLength(1)
    await env.clock.advance(1)
    await quiet(w)
    const view = await chains.get(scope, id)
    expect(view).toMatchObject({ status: 'completed', duration_ms: 2000 })
    expect(stepsOf(view)['one']).toMatchObject({ attempts: 3 })
    expect(taken.effects.size).toBe(1)
  })

  it('a sub-chain is run anew, as another execution; its own steps under other tokens', async () => {
    const w = await world(
      [line({ name: 'sub', sub_chain: 'inner', ...fixed(3, 5000) }), { name: 'inner', steps: [step('in')] }],
      { p: { script: [badRequest(), badRequest(), OK] } },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await pullFor(w, chains, 30)
    expect(await chains.get(scope, id)).toMatchObject({ status: 'completed' })
    const children = (await chains.list(scope, { name: 'inner', limit: 10 })).chains
    expect(children.map((c) => c['status']).sort()).toEqual(['completed', 'failed', 'failed'])
    expect(new Set(w.providers['p']!.sent.map((s) => s.token)).size).toBe(3)
  })

  it('a group is tried again with the members that did not succeed, under other tokens; the others stand', async () => {
    const env = testEnv()
    const w = await world(
      [
        line(
          both(
            'g',
            [step('a', 'a'), step('b', 'b'), { name: 'c', set: { n: '{{origin.payload.value}}' } }],
            {},
            fixed(3, 10_000),
          ),
          step('last', 'a'),
        ),
      ],
      {
        a: { script: [slow(env, 50, { status: 200, body: { n: 1 } })] },
        b: { script: [badRequest(), badRequest(), OK] },
      },
      { env },
    )
    const chains = await w.node()
    const id = await start(w, chains, w.memory.state, 'line')
    await env.clock.advance(60)
    expect(await chains.get(scope, id)).toMatchObject({ current_step: 'g', not_before: expect.any(String) })
    // The rest is another node's.
    await chains.stop()
    const second = await w.node()
    await pullFor(w, second, 40)
    const view = await second.get(scope, id)
    expect(view).toMatchObject({ status: 'completed' })
    expect(w.providers['a']!.sent).toHaveLength(2)
    expect(w.providers['b']!.sent).toHaveLength(3)
    expect(new Set(w.providers['b']!.sent.map((s) => s.token)).size).toBe(3)
    const tries = (view!['steps'] as readonly JsonObject[]).filter((s) => s['name'] === 'g')
    expect(tries.map((s) => [s['iteration'], s['status']])).toEqual([
      [0, 'failed'],
      [1, 'failed'],
      [2, 'completed'],
    ])
    expect(tries[2]).toMatchObject({
      output: { success: true, body: { a: { body: { n: 1 } }, b: { success: true }, c: { success: true } } },
    })
  })

  it('a group that never succeeds fails after its last try; one whose time runs out each time too', async () => {
    const env = testEnv()
    const w = await world(
      [
        { name: 'bad', steps: [each('g', [1, 2], step('x', 'bad'), { max_concurrency: 1 }, fixed(2, 0))] },
        {
          name: 'late',
          steps: [both('g', [step('x', 'ok'), step('y', 'hangs')], {}, { timeout_seconds: 1, ...fixed(2, 0) })],
        },
      ],
      { bad: { script: [badRequest()] }, ok: {}, hangs: { script: [deaf] } },
      { env },
    )
    const chains = await w.node()
    const bad = await start(w, chains, w.memory.state, 'bad')
    const late = await start(w, chains, w.memory.state, 'late')
    await env.clock.advance(5000)
    expect(await chains.get(scope, bad)).toMatchObject({ status: 'failed', error: { code: 'branch_failed' } })
    expect(w.providers['bad']!.sent).toHaveLength(2)
    expect(await chains.get(scope, late)).toMatchObject({
      status: 'failed',
      error: { code: 'timed_out' },
      duration_ms: 2000,
    })
    expect(w.providers['ok']!.sent).toHaveLength(1)
    expect(w.providers['hangs']!.sent).toHaveLength(2)
  })

  it('a node that dies at any commit of tries and back-offs: no more attempts than the policy has, one body a token', async () => {
    const make = async () => {
      const taken = receiver()
      const script = [taken.accept(unavailable()), taken.accept(serverError()), taken.accept()]
      const w = await world([line(step('one', 'p', fixed(3, 1000)), step('two', 'q'))], {
        p: { provider: scriptedProvider('p', script) },
        q: {},
      })
      return { w, taken }
    }
    let commits = 0
    for (let n = 2; ; n++) {
      const { w, taken } = await make()
      const dying = crashing(w.memory.state, n, 'after')
      const first = await w.node(dying)
      const id = await start(w, first, dying, 'line')
      await pullFor(w, { pull: () => first.pull().catch(() => 0) }, 20)
      if (!dying.crashed) break
      commits = n
      const second = await w.node()
      await pullFor(w, second, 80)
      expect(await second.get(scope, id), `commit ${n}`).toMatchObject({ status: 'completed' })
      expect(taken.effects.size, `commit ${n}`).toBe(1)
    }
    expect(commits).toBeGreaterThan(6)
  })
})

describe('delay_seconds', () => {
  it('comes before the first attempt, is stored, and no wake-up shortens it', async () => {
    const h = held()
    const w = await world([line(step('one', 'p', { delay_seconds: 30 }), step('two', 'q', { delay_seconds: 0 }))], {
      p: {},
      q: { script: [h.answer] },
    })
    const first = await w.node()
    const id = await start(w, first, w.memory.state, 'line')
    await quiet(w)
    expect(stepsOf(await first.get(scope, id))['one']).toMatchObject({ status: 'pending', attempts: 0 })
    await first.stop()
    const second = await w.node()
    await w.env.clock.advance(29_000)
    await w.memory.state.commit(scope, [{ op: 'wake', kind: 'run', id }])
    await second.pull()
    await quiet(w)
    expect(w.providers['p']!.sent).toHaveLength(0)
    await w.env.clock.advance(1000)
    await second.pull()
    await quiet(w)
    expect(w.providers['p']!.sent).toHaveLength(1)
    expect(w.providers['q']!.sent).toHaveLength(1)
    h.finish(OK)
    await quiet(w)
    expect(await second.get(scope, id)).toMatchObject({ status: 'completed', duration_ms: 30_000 })
  })
})
