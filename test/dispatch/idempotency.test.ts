import { describe, expect, it } from 'vitest'
import { SCOPE, testHouse } from '../fakes/house.ts'
import {
  badRequest,
  held,
  OK,
  receiver,
  type Scripted,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { rule, rules, type } from './build.ts'

const A = { action_type: 'a', provider: 'hook', id: 'one', payload: { x: 1 } }
const world = async (script: readonly Scripted[], more: Parameters<typeof testHouse>[0] = {}) => {
  const hook = scriptedProvider('hook', script)
  return { hook, house: await testHouse({ providers: [hook], ...more }) }
}
const letterOf = (o: object): string => ('dead_letter_id' in o ? String(o.dead_letter_id) : '')

describe('Idempotency-Key: an answer is replayed', () => {
  it.each([
    ['executed', 'a', {}],
    ['suppressed', 'quiet', {}],
    ['denied', 'bad', {}],
    ['scheduled', 'later', {}],
    ['accepted', 'a', { async: true }],
  ] as const)('%s', async (outcome, action_type, request) => {
    const slow = held()
    const { house, hook } = await world(outcome === 'accepted' ? [slow.answer] : [OK], {
      rules: rules(
        rule('no', 1, '{ type: deny, reason: never }', type('bad')),
        rule('drop', 2, '{ type: suppress }', type('quiet')),
        rule('later', 3, '{ type: schedule, delay_seconds: 60 }', type('later')),
      ),
    })
    const send = () => house.dispatch({ ...A, action_type }, { key: 'k', ...request })
    const first = await send()
    expect(first).toMatchObject({ outcome })
    expect(await send()).toEqual(first)
    expect(await house.records()).toHaveLength(outcome === 'accepted' ? 0 : 1)
    slow.finish(OK)
    await house.gateway.idle()
    expect(hook.sent.length).toBeLessThanOrEqual(1)
  })

  it('… marked as replayed, for 24 hours', async () => {
    const { house, hook } = await world([OK], { loops: false })
    const action = { ...A, namespace: 'default', tenant: 'default', metadata: {}, created_at: '2026-01-05T12:00:00Z' }
    const request = { caller: 'me', idempotency: { id: 'i', hash: 'h' } }
    expect((await house.gateway.dispatch(action, request)).replayed).toBeUndefined()
    await house.env.clock.advance(86_399_000)
    expect((await house.gateway.dispatch(action, request)).replayed).toBe(true)
    await house.env.clock.advance(2_000)
    expect((await house.gateway.dispatch(action, request)).replayed).toBeUndefined()
    expect(hook.sent).toHaveLength(2)
  })

  it('a permanent refusal of the provider', async () => {
    const { house, hook } = await world([badRequest(), OK])
    const first = await house.dispatch(A, { key: 'k' })
    expect(first).toMatchObject({ outcome: 'failed', code: 'http_400', dead_letter_id: expect.any(String) })
    expect(await house.dispatch(A, { key: 'k' })).toEqual(first)
    expect(hook.sent).toHaveLength(1)
  })

  it('a grouped answer leaves out what was only true of that moment, a quota warning too', async () => {
    const { house } = await world([OK], {
      rules: rules(rule('some', 1, '{ type: group, group_by: [payload.x] }', type('g'))),
    })
    await house.quotas.put(SCOPE, 'q', { max_actions: 1, window: 'daily', overage_behavior: 'warn' }, { caller: 'me' })
    const g = { ...A, action_type: 'g' }
    expect(await house.dispatch(g, { key: 'g' })).toMatchObject({ group_size: 1, notify_at: expect.any(String) })
    const again = await house.dispatch(g, { key: 'g' })
    expect(again).toMatchObject({ outcome: 'grouped', group_id: expect.any(String) })
    expect(again).not.toHaveProperty('group_size')
    expect(again).not.toHaveProperty('notify_at')
    expect(await house.dispatch(g, { key: 'h' })).toMatchObject({
      warnings: [expect.stringContaining('quota_exceeded')],
    })
    expect(await house.dispatch(g, { key: 'h' })).not.toHaveProperty('warnings')
  })

  it('a duplicate is final once the first is; while that is pending, the key stays free', async () => {
    const slow = held()
    const { house } = await world([slow.answer, OK], {
      rules: rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 60 }')),
    })
    const first = house.dispatch({ ...A, dedup_key: 'd' })
    await house.env.clock.settle()
    const other = { ...A, id: 'two', dedup_key: 'd' }
    expect(await house.dispatch(other, { key: 'k' })).toMatchObject({ first_outcome: 'pending' })
    slow.finish(badRequest())
    await first
    const told = await house.dispatch(other, { key: 'k' })
    expect(told).toMatchObject({ outcome: 'executed', action_id: 'two' })
    const third = { ...A, id: 'three', dedup_key: 'd' }
    const duplicate = await house.dispatch(third, { key: 'l' })
    expect(duplicate).toMatchObject({ outcome: 'deduplicated', first_outcome: 'executed' })
    await house.env.clock.advance(61_000)
    expect(await house.dispatch(third, { key: 'l' })).toEqual(duplicate)
  })
})

describe('PITFALLS 74: a refusal that says come back frees the key', () => {
  it('throttled', async () => {
    const { house } = await world([OK], {
      rules: rules(rule('slow', 1, '{ type: throttle, max_count: 1, window_seconds: 5 }')),
    })
    await house.dispatch({ ...A, id: 'first' })
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'throttled' })
    await house.env.clock.advance(5000)
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'executed' })
  })
  it('quota_exceeded', async () => {
    const { house } = await world([OK])
    await house.quotas.put(SCOPE, 'q', { max_actions: 1, window: 60, overage_behavior: 'block' }, { caller: 'me' })
    await house.dispatch({ ...A, id: 'first' })
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'quota_exceeded', used: 1, limit: 1 })
    await house.env.clock.advance(60_000)
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'executed' })
  })
  it('circuit_open', async () => {
    const { house } = await world([OK])
    await house.breakers.trip('hook', { by: 'me' })
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'circuit_open' })
    await house.breakers.reset('hook', { by: 'me' })
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'executed' })
  })
  it('a definite retryable failure', async () => {
    const { house, hook } = await world([unavailable(), OK])
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'failed', retryable: true })
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'executed' })
    expect(hook.sent[0]?.token).not.toBe(hook.sent[1]?.token)
  })
  it('a problem', async () => {
    const { house } = await world([OK])
    const { provider: _, ...without } = A
    await expect(house.dispatch(without, { key: 'k' })).rejects.toMatchObject({
      status: 422,
      code: 'provider_required',
    })
    expect(await house.stored('idempotency')).toEqual([])
  })
})

describe('Idempotency-Key: whose, and for what', () => {
  it('another body under a key is 422, also while the first is under way', async () => {
    const slow = held()
    const { house } = await world([slow.answer])
    const first = house.dispatch(A, { key: 'k' })
    await house.env.clock.settle()
    await expect(house.dispatch({ ...A, id: 'two' }, { key: 'k' })).rejects.toMatchObject({ status: 422 })
    slow.finish(OK)
    await first
  })

  it('each caller and each scope has its own keys', async () => {
    const { house, hook } = await world([OK])
    for (const [caller, tenant] of [
      ['a', 'x'],
      ['b', 'x'],
      ['a', 'y'],
    ] as const)
      await house.dispatch({ ...A, tenant }, { key: 'k', caller })
    expect(hook.sent).toHaveLength(3)
    await house.dispatch({ ...A, tenant: 'x' }, { key: 'k', caller: 'a' })
    expect(hook.sent).toHaveLength(3)
  })

  it('PITFALLS 16: callers and keys with separators in them share nothing', async () => {
    const { house, hook } = await world([OK])
    for (const [caller, key] of [
      ['a', 'b:c'],
      ['a:b', 'c'],
      ['a', 'b/c'],
      ['a/b', 'c'],
    ] as const)
      expect(await house.dispatch(A, { key, caller })).toMatchObject({ outcome: 'executed' })
    expect(hook.sent).toHaveLength(4)
  })

  it('PITFALLS 68: the caller’s id is no key: the same id twice is two runs, two tokens', async () => {
    const { house, hook } = await world([OK])
    await house.dispatch(A)
    await house.dispatch(A)
    expect(new Set(hook.sent.map((s) => s.token)).size).toBe(2)
  })
})

describe('Idempotency-Key: the first request has no answer yet', () => {
  it('under way: 409 with a time to come back', async () => {
    const slow = held()
    const { house } = await world([slow.answer])
    const first = house.dispatch(A, { key: 'k' })
    await house.env.clock.settle()
    await expect(house.dispatch(A, { key: 'k' })).rejects.toMatchObject({
      status: 409,
      code: 'idempotency_in_progress',
      retryAfterMs: 1000,
    })
    slow.finish(OK)
    await first
  })

  it('its node died: once the lease is over the next request goes on with its bytes and token', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [taken.accept()])
    const one = await testHouse({ providers: [hook], loops: false, wrap: (s) => crashing(s, 2, 'before') })
    // The second write is the end of the delivery: sent, and not stored.
    const died = expect(one.dispatch(A, { key: 'k' })).rejects.toMatchObject({ name: 'StateUnknown' })
    await one.env.clock.advance(5000)
    await died
    const two = await testHouse({ providers: [hook], loops: false, env: one.env, memory: one.memory })
    await expect(two.dispatch(A, { key: 'k' })).rejects.toMatchObject({ status: 409 })
    await one.env.clock.advance(31_000)
    const told = await two.dispatch(A, { key: 'k' })
    expect(told).toMatchObject({ outcome: 'executed', action_id: 'one' })
    expect(taken.effects.size).toBe(1)
    expect(await two.dispatch(A, { key: 'k' })).toEqual(told)
    expect((await two.records()).map((r) => r.outcome)).toEqual(['failed', 'executed'])
    expect((await two.records())[0]).toMatchObject({ details: { code: 'interrupted' } })
  })

  it('an unknown end keeps the run: the next request sends its bytes under its token, until the end is known', async () => {
    const taken = receiver()
    const { house, hook } = await world([taken.accept(serverError()), unavailable(), taken.accept()])
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'failed', unknown: true })
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'failed', unknown: true, code: 'http_503' })
    await house.env.clock.advance(10)
    const told = await house.dispatch(A, { key: 'k' })
    expect(told).toMatchObject({ outcome: 'executed' })
    expect(await house.dispatch(A, { key: 'k' })).toEqual(told)
    expect(hook.sent).toHaveLength(3)
    expect(taken.effects.size).toBe(1)
    expect(await house.stored('dead_letter')).toEqual([])
  })

  it('… also respond-async: put back in an outage, the run is accepted for everyone who repeats it', async () => {
    const taken = receiver()
    const { house } = await world([taken.accept(serverError()), unavailable(), taken.accept()])
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'failed', unknown: true })
    expect(await house.dispatch(A, { key: 'k', async: true })).toMatchObject({ outcome: 'accepted' })
    await house.gateway.idle()
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'accepted' })
    await house.env.clock.advance(10_000)
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'executed' })
    expect(taken.effects.size).toBe(1)
    expect((await house.records()).map((r) => r.outcome)).toEqual(['failed', 'executed'])
  })

  it('a redrive of that run settles the key: its answer is replayed', async () => {
    const { house, hook } = await world([serverError(), OK])
    const failed = await house.dispatch(A, { key: 'k' })
    await house.redrive.one(SCOPE, letterOf(failed), { caller: 'me' })
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'executed' })
    expect(hook.sent).toHaveLength(2)
  })

  it('a letter that was deleted by hand frees the key', async () => {
    const { house, hook } = await world([serverError(), OK])
    const failed = await house.dispatch(A, { key: 'k' })
    await house.redrive.remove(SCOPE, letterOf(failed), 'me')
    expect(await house.dispatch(A, { key: 'k' })).toMatchObject({ outcome: 'executed' })
    expect(hook.sent).toHaveLength(2)
  })

  it('respond-async: a crash after the answer keeps it; the run’s own end is told later', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [taken.accept()])
    const one = await testHouse({ providers: [hook], loops: false, wrap: (s) => crashing(s, 2, 'before') })
    expect(await one.dispatch(A, { key: 'k', async: true })).toMatchObject({ outcome: 'accepted' })
    await one.env.clock.advance(5000)
    await one.gateway.idle()
    const two = await testHouse({ providers: [hook], env: one.env, memory: await one.memory.restart() })
    expect(await two.dispatch(A, { key: 'k', async: true })).toMatchObject({ outcome: 'accepted' })
    await one.env.clock.advance(33_000)
    expect(await two.dispatch(A, { key: 'k', async: true })).toMatchObject({ outcome: 'executed' })
    expect(taken.effects.size).toBe(1)
  })
})

describe('keys that are not the run’s any more when it ends', () => {
  it.each([
    ['an effect', OK, 'executed'],
    ['a definite failure', unavailable(), 'failed'],
    ['an unknown end', serverError(), 'failed'],
  ] as const)('are left alone, and its end is stored all the same: %s', async (_, end, outcome) => {
    const slow = held()
    const hook = scriptedProvider('hook', [slow.answer])
    const once = '{ type: deduplicate, ttl_seconds: 60 }'
    const house = await testHouse({ providers: [hook], rules: rules(rule('once', 1, once)) })
    const told = house.dispatch(A, { key: 'k' })
    await house.env.clock.settle()
    const { state } = house.memory
    const keys = ['idempotency', 'dedup']
    for (const kind of keys)
      for (const { key } of (await state.list(kind, SCOPE, { limit: 9 })).entries)
        await state.commit(SCOPE, [{ op: 'put', kind, id: key.id, value: '"another’s"', version: 'another’s' }])
    slow.finish(end)
    expect(await told).toMatchObject({ outcome })
    for (const kind of keys) expect(await house.stored(kind)).toEqual(['another’s'])
    await house.env.clock.advance(60_000)
    expect([hook.sent.length, await house.stored('intent')]).toEqual([1, []])
    expect(await house.records()).toMatchObject([{ outcome }])
  })
})
