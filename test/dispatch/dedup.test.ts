import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type House, SCOPE, testHouse } from '../fakes/house.ts'
import {
  badRequest,
  held,
  OK,
  receiver,
  refused,
  type Scripted,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { crashing } from '../fakes/store.ts'
import { rule, rules, type } from './build.ts'

const once = (ttl = 60): string => rule('once', 1, `{ type: deduplicate, ttl_seconds: ${ttl} }`)
const world = async (script: readonly Scripted[], more: Parameters<typeof testHouse>[0] = {}) => {
  const hook = scriptedProvider('hook', script)
  const house = await testHouse({ providers: [hook], rules: rules(once()), ...more })
  const send = (id: string, request: Parameters<House['dispatch']>[1] = {}) =>
    house.dispatch({ action_type: 'a', provider: 'hook', id, dedup_key: 'k', payload: { from: id } }, request)
  return { hook, house, send }
}

describe('dedup: the first is under way', () => {
  it('a second one meets it as pending, and is told when the key is free', async () => {
    const slow = held()
    const { house, hook, send } = await world([slow.answer])
    const first = send('one')
    await house.env.clock.settle()
    expect(await send('two')).toEqual({
      action_id: 'two',
      run_id: expect.any(String),
      rule: 'once',
      outcome: 'deduplicated',
      dedup_key: 'k',
      first_action_id: 'one',
      first_outcome: 'pending',
      expires_at: new Date(house.env.clock.now() + 60_000).toISOString(),
    })
    slow.finish(OK)
    expect(await first).toMatchObject({ outcome: 'executed' })
    expect(await send('three')).toMatchObject({ outcome: 'deduplicated', first_outcome: 'executed' })
    expect(hook.sent).toHaveLength(1)
  })

  it('a ttl shorter than a slow delivery frees nothing while it lasts, and everything when it has ended', async () => {
    const slow = held()
    const { house, hook, send } = await world([slow.answer, OK], {
      rules: rules(once(1)),
      route: { timeoutMs: 50_000 },
    })
    const first = send('one')
    await house.env.clock.advance(45_000)
    expect(await send('two')).toMatchObject({ outcome: 'deduplicated', first_outcome: 'pending' })
    slow.finish(OK)
    await first
    expect(await send('three')).toMatchObject({ outcome: 'executed', action_id: 'three' })
    expect(hook.sent).toHaveLength(2)
  })

  it('what is held keeps the key, under the name of its hold', async () => {
    const { house, send } = await world([], {
      rules: rules(once(), rule('later', 2, '{ type: schedule, delay_seconds: 10 }')),
    })
    await send('one')
    expect(await send('two')).toMatchObject({
      outcome: 'deduplicated',
      first_action_id: 'one',
      first_outcome: 'scheduled',
    })
    await house.env.clock.advance(12_000)
    // A record sorts by when its run was received: the release's by when it was held.
    expect((await house.records()).map((r) => [r.action_id, r.outcome])).toEqual([
      ['one', 'scheduled'],
      ['one', 'executed'],
      ['two', 'deduplicated'],
    ])
  })
})

describe('PITFALLS 13: a definite failure frees the key', () => {
  const definite: readonly [string, () => Error, object][] = [
    ['a 4xx', badRequest, { outcome: 'failed', code: 'http_400', retryable: false }],
    ['a 429', () => unavailable(1), { outcome: 'failed', retryable: true }],
    ['a 503', unavailable, { outcome: 'failed', code: 'http_503' }],
    ['refused', refused, { outcome: 'failed', code: 'connection_refused' }],
  ]
  it.each(definite)('%s', async (_, error, told) => {
    const { house, send } = await world([error(), OK])
    expect(await send('one')).toMatchObject(told)
    await house.env.clock.advance(10)
    expect(await send('two')).toMatchObject({ outcome: 'executed', action_id: 'two' })
  })

  it('an open circuit', async () => {
    const { house, hook, send } = await world([OK])
    await house.breakers.trip('hook', { by: 'me' })
    expect(await send('one')).toMatchObject({ outcome: 'circuit_open', tried: ['hook'] })
    await house.breakers.reset('hook', { by: 'me' })
    expect(await send('two')).toMatchObject({ outcome: 'executed' })
    expect(hook.sent).toHaveLength(1)
  })

  it('a payload that cannot be sent: known before anything is, and free within the same millisecond', async () => {
    const { ProviderError } = await import('../../src/core/errors.ts')
    const picky = scriptedProvider('hook', [OK], {
      render: (a) => {
        if (a.id === 'one') throw new ProviderError('invalid_payload', 'no')
        return { id: a.id }
      },
    })
    const { house, send } = await world([], { providers: [picky] })
    const told = { outcome: 'failed', provider: 'hook', code: 'invalid_payload', retryable: false, attempts: 0 }
    expect(await send('one')).toMatchObject(told)
    expect(await house.records()).toMatchObject([{ outcome: 'failed', provider: 'hook' }])
    expect(await send('two')).toMatchObject({ outcome: 'executed' })
  })
})

describe('dedup: the first ended unknown', () => {
  it('each Idempotency-Key is answered about the action it came with, whoever took the run over', async () => {
    const { send } = await world([serverError(), serverError(), OK])
    const keyed = (id: string) => send(id, { key: id })
    for (const id of ['one', 'two']) expect(await keyed(id)).toMatchObject({ outcome: 'failed', action_id: id })
    expect(await keyed('three')).toMatchObject({ outcome: 'executed', action_id: 'three', first_action_id: 'one' })
    expect(await keyed('two')).toMatchObject({ outcome: 'executed', action_id: 'two', first_action_id: 'one' })
    const first = await keyed('one')
    expect(first).toMatchObject({ outcome: 'executed', action_id: 'one' })
    expect(first).not.toHaveProperty('first_action_id')
  })

  it('the next one takes it over: its bytes, its token; its dead letter closes', async () => {
    const taken = receiver()
    const { house, hook, send } = await world([taken.accept(serverError()), taken.accept()])
    expect(await send('one')).toMatchObject({ outcome: 'failed', unknown: true })
    expect(await send('two')).toMatchObject({ outcome: 'executed', action_id: 'two', first_action_id: 'one' })
    expect(taken.effects.size).toBe(1)
    expect(hook.sent).toHaveLength(2)
    expect(await house.stored('dead_letter')).toEqual([])
    expect((await house.records()).map((r) => [r.action_id, r.outcome])).toEqual([
      ['one', 'failed'],
      ['two', 'executed'],
    ])
  })

  it('as its node died: once its lease is over the next one goes on with its bytes and token', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [taken.accept()])
    const one = await testHouse({
      providers: [hook],
      rules: rules(once()),
      loops: false,
      wrap: (s) => crashing(s, 2, 'before'),
    })
    const send = (house: House, id: string) =>
      house.dispatch({ action_type: 'a', provider: 'hook', id, dedup_key: 'k', payload: { from: id } })
    const died = expect(send(one, 'one')).rejects.toMatchObject({ name: 'StateUnknown' })
    await one.env.clock.advance(5000)
    await died
    const two = await testHouse({
      providers: [hook],
      rules: rules(once()),
      loops: false,
      env: one.env,
      memory: one.memory,
    })
    expect(await send(two, 'two')).toMatchObject({ outcome: 'deduplicated', first_outcome: 'pending' })
    await one.env.clock.advance(31_000)
    expect(await send(two, 'three')).toMatchObject({ outcome: 'executed', first_action_id: 'one' })
    expect([taken.taken, taken.effects.size]).toEqual([2, 1])
    expect((await two.records()).map((r) => [r.action_id, r.outcome])).toEqual([
      ['one', 'failed'],
      ['two', 'deduplicated'],
      ['three', 'executed'],
    ])
  })

  it('… and not if somebody has claimed it between the look and the commit', async () => {
    const taken = receiver()
    const hook = scriptedProvider('hook', [taken.accept()])
    const options = { providers: [hook], rules: rules(once()), loops: false }
    const A = { action_type: 'a', provider: 'hook', id: 'one', dedup_key: 'k' }
    const one = await testHouse({ ...options, wrap: (s) => crashing(s, 2, 'before') })
    const died = expect(one.dispatch(A)).rejects.toMatchObject({ name: 'StateUnknown' })
    await one.env.clock.advance(35_000)
    await died
    const two = await testHouse({
      ...options,
      env: one.env,
      memory: one.memory,
      wrap: (s) => ({
        ...s,
        async get(keys) {
          const found = await s.get(keys)
          if (keys[0]?.kind === 'intent') await s.claim('intent', { owner: 'another', leaseMs: 30_000, limit: 1 })
          return found
        },
      }),
    })
    expect(await two.dispatch({ ...A, id: 'two' })).toMatchObject({ outcome: 'deduplicated', first_outcome: 'pending' })
    expect(taken.taken).toBe(1)
    expect((await two.memory.state.list('intent', SCOPE, { limit: 9 })).entries).toMatchObject([
      { claim: { owner: 'another' } },
    ])
  })

  it('of several that come at once one takes it over, and the others are told of it', async () => {
    const taken = receiver()
    const { house, hook, send } = await world([taken.accept(serverError()), taken.accept()])
    await send('one')
    const told = await Promise.all(['two', 'three', 'four'].map((id) => send(id)))
    expect(told.map((o) => o.outcome).sort()).toEqual(['deduplicated', 'deduplicated', 'executed'])
    expect([hook.sent.length, taken.effects.size]).toEqual([2, 1])
    expect(await house.stored('dead_letter')).toEqual([])
    expect(await house.records()).toHaveLength(4)
  })

  it('a taken-over run that is then refused for certain stays unknown: nobody may start another', async () => {
    const taken = receiver()
    const { house, send } = await world([taken.accept(serverError()), unavailable(), taken.accept()])
    await send('one')
    expect(await send('two')).toMatchObject({ outcome: 'failed', code: 'http_503', unknown: true })
    expect(await house.stored('dead_letter')).toMatchObject([{ unknown: true, action: { id: 'one' } }])
    await house.env.clock.advance(10)
    expect(await send('three')).toMatchObject({ outcome: 'executed', first_action_id: 'one' })
    expect(taken.effects.size).toBe(1)
  })

  it('a respond-async one takes it over too, and is accepted', async () => {
    const taken = receiver()
    const { house, send } = await world([taken.accept(serverError()), taken.accept()])
    await send('one')
    expect(await send('two', { async: true })).toMatchObject({ outcome: 'accepted', action_id: 'two' })
    await house.gateway.idle()
    expect(taken.effects.size).toBe(1)
    expect(await house.stored('dead_letter')).toEqual([])
    expect((await house.records()).at(-1)).toMatchObject({ action_id: 'two', outcome: 'executed' })
  })

  it('each has an Idempotency-Key: both have the one end, also when the next is unknown again', async () => {
    const taken = receiver()
    const { house, hook, send } = await world([
      taken.accept(serverError()),
      taken.accept(serverError()),
      taken.accept(),
    ])
    await send('one', { key: 'first' })
    expect(await send('two', { key: 'second' })).toMatchObject({ outcome: 'failed', unknown: true })
    const [letter] = await house.stored('dead_letter')
    // Either of them goes on with it.
    expect(await send('two', { key: 'second' })).toMatchObject({ outcome: 'executed', first_action_id: 'one' })
    expect(await house.stored('dead_letter')).toEqual([])
    for (const [id, key] of [
      ['one', 'first'],
      ['two', 'second'],
    ] as const)
      expect(await send(id, { key })).toMatchObject({ outcome: 'executed', run_id: (letter as JsonObject)['run_id'] })
    expect([hook.sent.length, taken.effects.size]).toEqual([3, 1])
  })

  it('… of a release: the record is of the dispatch that took it over', async () => {
    const { house, send } = await world([serverError(), OK], {
      rules: rules(rule('later', 1, '{ type: schedule, delay_seconds: 10 }', type('later')), once()),
      toml: '[background]\nhold_max_attempts = 1\n',
    })
    await house.dispatch({ action_type: 'later', provider: 'hook', id: 'held', dedup_key: 'k' })
    await house.env.clock.advance(12_000)
    expect(await house.stored('dead_letter')).toMatchObject([{ unknown: true, told_caller: false }])
    expect(await send('two')).toMatchObject({ outcome: 'executed', first_action_id: 'held' })
    expect((await house.records()).map((r) => [r.kind, r.action_id, r.outcome])).toEqual([
      ['dispatch', 'held', 'scheduled'],
      ['release', 'held', 'failed'],
      ['dispatch', 'two', 'executed'],
    ])
  })

  it('a letter that was deleted by hand holds the key no more', async () => {
    const { house, send } = await world([serverError(), OK])
    const failed = await send('one')
    await house.redrive.remove(SCOPE, 'dead_letter_id' in failed ? failed.dead_letter_id! : '', 'me')
    expect(await send('two')).toEqual(expect.objectContaining({ outcome: 'executed', action_id: 'two' }))
    expect(await send('three')).toMatchObject({ outcome: 'deduplicated', first_action_id: 'two' })
  })
})

describe('dedup keys', () => {
  it('PITFALLS 15, 16: tenants a + b:c and a:b + c, and names with %, _ and *, share nothing', async () => {
    const hook = scriptedProvider('hook')
    const house = await testHouse({
      providers: [hook],
      rules: rules(
        once(),
        rule('slow', 2, '{ type: throttle, max_count: 1, window_seconds: 60, key: [payload.k] }'),
        rule('some', 3, '{ type: group, group_by: [payload.k], target_provider: hook }', type('g')),
      ),
    })
    const names = ['a', 'a:b', 'a%', 'a_', 'a*', 'ax', 'a/b', '%', '_', '*']
    for (const namespace of names)
      for (const tenant of ['b:c', 'c', 'b', ...names])
        expect(
          await house.dispatch({
            action_type: 'a',
            provider: 'hook',
            namespace,
            tenant,
            dedup_key: 'k',
            payload: { k: namespace },
          }),
        ).toMatchObject({ outcome: 'executed' })
    const groups = new Set<string>()
    for (const [namespace, tenant] of [
      ['a', 'b:c'],
      ['a:b', 'c'],
    ]) {
      const told = await house.dispatch({
        action_type: 'g',
        namespace,
        tenant,
        id: `${namespace}${tenant}`,
        payload: { k: 'g' },
      })
      expect(told).toMatchObject({ outcome: 'grouped', group_size: 1 })
      groups.add('group_id' in told ? told.group_id : '')
      expect((await house.records([namespace!, tenant!])).length).toBe(2)
    }
    expect(groups.size).toBe(2)
    expect((await house.records(['a', '%'])).every((r) => r.namespace === 'a' && r.tenant === '%')).toBe(true)
  })

  it('fields that only look alike are different keys: "1" and 1, missing and null text, a:b beside a, b', async () => {
    const hook = scriptedProvider('hook')
    const house = await testHouse({
      providers: [hook],
      rules: rules(rule('once', 1, '{ type: deduplicate, ttl_seconds: 60, key: [payload.a, payload.b] }')),
    })
    for (const payload of [
      { a: '1', b: 'x' },
      { a: 1, b: 'x' },
      { a: 'a:b', b: 'c' },
      { a: 'a', b: 'b:c' },
      { a: 'null', b: 'x' },
      { b: 'x' },
      { a: '', b: 'x' },
    ])
      expect(await house.dispatch({ action_type: 'a', provider: 'hook', payload })).toMatchObject({
        outcome: 'executed',
      })
    expect(await house.dispatch({ action_type: 'a', provider: 'hook', payload: { a: 1, b: 'x' } })).toMatchObject({
      outcome: 'deduplicated',
    })
  })

  it('a dedup_key is never another action’s id', async () => {
    const { house } = await world([])
    await house.dispatch({ action_type: 'a', provider: 'hook', id: 'same' })
    expect(await house.dispatch({ action_type: 'a', provider: 'hook', id: 'x', dedup_key: 'same' })).toMatchObject({
      outcome: 'executed',
    })
  })
})
