import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testGateway } from '../fakes/gateway.ts'
import { badRequest, held } from '../fakes/provider.ts'
import { items } from './read.ts'

const RULES = `
rules:
  - { name: at-most-one, condition: { field: action.action_type, eq: burst }, action: { type: throttle, max_count: 1, window_seconds: 60 } }
  - { name: once, condition: { field: action.action_type, eq: once }, action: { type: deduplicate, ttl_seconds: 60 } }
  - { name: by-floor, condition: { field: action.action_type, eq: humidity }, action: { type: group, group_by: [payload.floor] } }
  - { name: later, condition: { field: action.action_type, eq: energy }, action: { type: schedule, delay_seconds: 60 } }
  - { name: steps, condition: { field: action.action_type, eq: reading }, action: { type: chain, chain: c } }
`
const TOML = `
[executor]
max_retries = 0
[[chains.definitions]]
name = "c"
steps = [{ name = "one", provider = "slow", action_type = "x" }]
`
/** Scopes that an unescaped joint of names, or a pattern, would take for one another. */
const SCOPES: readonly (readonly [namespace: string, tenant: string])[] = [
  ['a', 'b:c'],
  ['a:b', 'c'],
  ['a', 'b'],
  ['a', 'b%'],
  ['a', 'b_'],
  ['a', 'b*'],
  ['a', 'b/c'],
  ['a/b', 'c'],
  ['a', '%62'],
  ['a', 'B'],
  ['1:a', 'b'],
]
const query = ([namespace, tenant]: readonly [string, string]): string =>
  `?namespace=${encodeURIComponent(namespace)}&tenant=${encodeURIComponent(tenant)}`

const gateway = () =>
  testGateway({ rules: RULES, toml: TOML, providers: { out: [badRequest()], slow: [held().answer] } })

describe('PITFALLS 16: names that hold separators or wildcards share nothing', () => {
  test("limits, keys, groups and idempotency keys are each scope's own", async () => {
    const g = await testGateway({ rules: RULES, toml: TOML, providers: { out: [], slow: [] } })
    for (const [namespace, tenant] of SCOPES) {
      const action = { namespace, tenant, provider: 'out', payload: { floor: 1 } }
      await g.ask('PUT', `/v1/quotas/q${query([namespace, tenant])}`, { max_actions: 4, window: 'daily' })
      const outcome = async (action_type: string, more: JsonObject = {}, headers = {}) =>
        (await g.dispatch({ ...action, ...more, action_type }, headers)).body
      expect(await outcome('burst')).toMatchObject({ outcome: 'executed' })
      expect(await outcome('burst')).toMatchObject({ outcome: 'throttled' })
      expect(await outcome('once', { dedup_key: 'k' })).toMatchObject({ outcome: 'executed' })
      expect(await outcome('once', { dedup_key: 'k' })).toMatchObject({ outcome: 'deduplicated' })
      expect(await outcome('humidity')).toMatchObject({ outcome: 'grouped', group_size: 1 })
      expect(await outcome('x', {}, { 'idempotency-key': 'k' })).toMatchObject({ outcome: 'executed' })
      expect(await outcome('y')).toMatchObject({ outcome: 'quota_exceeded', quota: 'q', used: 4 })
    }
    const groupIds = await Promise.all(
      SCOPES.map(async (s) => items(await g.ask('GET', `/v1/groups${query(s)}`), 'groups').map((x) => x.group_id)),
    )
    expect(groupIds.map((ids) => ids.length)).toEqual(SCOPES.map(() => 1))
    expect(new Set(groupIds.flat()).size).toBe(SCOPES.length)
  })
  test('every list and every /{id} route answers for its scope alone', async () => {
    const g = await gateway()
    const made: { scope: readonly [string, string]; routes: Record<string, string> }[] = []
    for (const scope of SCOPES) {
      const [namespace, tenant] = scope
      const dispatch = async (action_type: string, more: JsonObject = {}) =>
        (await g.dispatch({ namespace, tenant, provider: 'out', action_type, ...more })).body
      const id = `of ${namespace} ${tenant}`
      const hold = await dispatch('energy', { id })
      const group = await dispatch('humidity')
      const chain = await dispatch('reading')
      const letter = await dispatch('x')
      await g.ask('PUT', `/v1/quotas/q${query(scope)}`, { max_actions: 99, window: 'daily' })
      await g.ask('PUT', `/v1/recurring/r${query(scope)}`, {
        provider: 'out',
        action_type: 'b',
        cron_expression: '0 0 * * *',
      })
      const policy = await g.ask('PUT', `/v1/retention${query(scope)}`, { audit_ttl_seconds: 60 })
      made.push({
        scope,
        routes: {
          scheduled: `/v1/scheduled/${hold.hold_id}`,
          groups: `/v1/groups/${group.group_id}`,
          chains: `/v1/chains/${chain.chain_id}`,
          dead_letters: `/v1/dlq/${letter.dead_letter_id}`,
          retention: `/v1/retention/${policy.body.id}`,
          records: `/v1/audit/${encodeURIComponent(id)}`,
          actions: `/v1/actions/${encodeURIComponent(id)}`,
        },
      })
    }
    const lists = {
      scheduled: '/v1/scheduled',
      groups: '/v1/groups',
      chains: '/v1/chains',
      dead_letters: '/v1/dlq',
      quotas: '/v1/quotas',
      recurring: '/v1/recurring',
      retention: '/v1/retention',
    }
    for (const { scope, routes } of made) {
      for (const [name, path] of Object.entries(lists))
        expect(items(await g.ask('GET', path + query(scope)), name), `${name} of ${scope}`).toHaveLength(1)
      const records = items(await g.ask('GET', `/v1/audit${query(scope)}`), 'records')
      expect(records.every((r) => r.namespace === scope[0] && r.tenant === scope[1])).toBe(true)
      for (const [name, path] of Object.entries(routes)) {
        expect((await g.ask('GET', path + query(scope))).status, `${name} of ${scope}`).toBe(200)
        const others = made.filter((m) => m.scope !== scope)
        const leaks = await Promise.all(others.map((o) => g.ask('GET', path + query(o.scope))))
        expect(
          leaks.every((l) => l.status === 404),
          `${name} of ${scope} elsewhere`,
        ).toBe(true)
        expect((await g.ask('GET', path)).status, `${name} of ${scope} by default`).toBe(404)
      }
    }
    // Nothing is ended from another scope either.
    const [mine, other] = [made[0]!, made[1]!]
    for (const name of ['scheduled', 'groups', 'dead_letters', 'retention'])
      expect((await g.ask('DELETE', mine.routes[name] + query(other.scope))).status, name).toBe(404)
    expect((await g.ask('POST', `${mine.routes.chains}/cancel${query(other.scope)}`)).status).toBe(404)
    expect((await g.ask('POST', `${mine.routes.dead_letters}/redrive${query(other.scope)}`)).status).toBe(404)
    expect((await g.ask('POST', `${mine.routes.records}/replay${query(other.scope)}`)).status).toBe(404)
    for (const name of ['scheduled', 'groups', 'chains', 'dead_letters', 'retention'])
      expect((await g.ask('GET', mine.routes[name] + query(mine.scope))).status, name).toBe(200)
  })
  test('any name a caller may choose for a quota is found again by it, and by no other', async () => {
    const g = await testGateway()
    const name = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter((s) => !/[\u0000-\u001f\u007f-\u009f]/.test(s) && s !== '.' && s !== '..')
    await fc.assert(
      fc.asyncProperty(name, name, async (quota, tenant) => {
        const path = `/v1/quotas/${encodeURIComponent(quota)}${query(['n', tenant])}`
        const made = await g.ask('PUT', path, { max_actions: 1, window: 60 })
        expect(made.body).toMatchObject({ name: quota, tenant })
        expect((await g.ask('GET', path)).body).toEqual(made.body)
        expect((await g.ask('DELETE', path)).status).toBe(204)
        expect(items(await g.ask('GET', `/v1/quotas${query(['n', tenant])}`), 'quotas')).toEqual([])
      }),
      { numRuns: 100, seed: 7 },
    )
  })
})

test('PITFALLS 50: lists come in pages that add up to the whole, of one scope, in order', async () => {
  const g = await gateway()
  for (let i = 0; i < 5; i++) {
    for (const tenant of ['mine', 'other'])
      for (const action_type of ['energy', 'reading', 'x']) await g.dispatch({ tenant, provider: 'out', action_type })
    await g.dispatch({ tenant: 'mine', provider: 'out', action_type: 'humidity', payload: { floor: i } })
    await g.ask('PUT', `/v1/quotas/q${i}?tenant=mine`, { max_actions: 99, window: 'daily' })
    await g.ask('PUT', `/v1/recurring/r${i}?tenant=mine`, {
      provider: 'out',
      action_type: 'b',
      cron_expression: '0 0 * * *',
    })
  }
  const lists = [
    ['/v1/scheduled', 'scheduled', 5],
    ['/v1/groups', 'groups', 5],
    ['/v1/chains', 'chains', 5],
    ['/v1/dlq', 'dead_letters', 5],
    ['/v1/quotas', 'quotas', 5],
    ['/v1/recurring', 'recurring', 5],
    ['/v1/audit', 'records', 15],
  ] as const
  for (const [path, name, total] of lists) {
    const whole = items(await g.ask('GET', `${path}?tenant=mine&limit=1000`), name)
    const paged: JsonObject[] = []
    let cursor = ''
    for (let page = 0; page < 20; page++) {
      const t = await g.ask('GET', `${path}?tenant=mine&limit=2${cursor}`)
      expect(items(t, name).length).toBeLessThanOrEqual(2)
      paged.push(...items(t, name))
      if (t.body.next_cursor === null) break
      cursor = `&cursor=${t.body.next_cursor}`
    }
    expect([path, paged]).toEqual([path, whole])
    expect(whole.length, path).toBeGreaterThanOrEqual(total)
    const foreign = await g.ask('GET', `${path}?tenant=other&limit=2${cursor}`)
    expect(foreign.body, path).toMatchObject({ code: 'invalid_cursor' })
  }
})

test('PITFALLS 15: no field of an action escapes a limit or passes for the gateway itself', async () => {
  const g = await testGateway()
  await g.ask('PUT', '/v1/quotas/q', { max_actions: 1, window: 'daily' })
  const marks = {
    internal: true,
    origin: 'gateway',
    kind: 'release',
    counted: true,
    caller: 'gateway',
    parent_id: 'x',
    accepted: true,
  }
  const action = {
    action_type: 'x',
    provider: 'out',
    payload: marks,
    metadata: { internal: 'true', caller: 'gateway' },
  }
  const headers = { 'x-internal': 'true', 'signalbox-caller': 'gateway', 'x-forwarded-for': '127.0.0.1' }
  expect((await g.dispatch(action, headers)).status).toBe(200)
  expect((await g.dispatch(action, headers)).body).toMatchObject({ outcome: 'quota_exceeded' })
  expect((await g.records()).map((r) => [r.kind, r.caller])).toEqual([
    ['dispatch', 'anonymous'],
    ['dispatch', 'anonymous'],
  ])
  for (const [key, value] of Object.entries(marks))
    if (key !== 'origin')
      expect((await g.dispatch({ ...action, [key]: value })).body).toMatchObject({ code: 'invalid_action' })
})

test('PITFALLS 2: whatever field is left out, a condition on it is false and no dispatch is a 500', async () => {
  const rules = `
rules:
  - { name: a, condition: { field: action.payload.a.b.0, gt: 1 }, action: { type: deny } }
  - { name: b, condition: { field: action.metadata.zone, starts_with: n }, action: { type: deny } }
  - { name: c, condition: { field: action.payload.text, matches: '^x+$' }, action: { type: deny } }
  - { name: d, condition: { cel: 'action.payload.deep.er > 3' }, action: { type: deny } }
  - { name: e, condition: { not: { field: action.fingerprint, exists: false } }, action: { type: deny } }
  - { name: f, action: { type: deduplicate, ttl_seconds: 60, key: [payload.gone, metadata.gone] } }
  - { name: g, action: { type: modify, changes: { copy: '{{payload.gone.further}}' } } }
`
  const g = await testGateway({ rules })
  for (const payload of [
    {},
    { a: null },
    { a: { b: 'text' } },
    { a: { b: [] } },
    { text: 5 },
    { deep: 'no' },
    { deep: null },
  ]) {
    const t = await g.dispatch({ action_type: 'x', provider: 'out', payload })
    expect([t.status, t.body.outcome], t.text).toEqual([200, expect.stringMatching(/executed|deduplicated/)])
  }
})
