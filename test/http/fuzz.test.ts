import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json, JsonObject } from '../../src/core/json.ts'
import { type TestGateway, testGateway } from '../fakes/gateway.ts'
import { badRequest, OK } from '../fakes/provider.ts'

const RULES = `
rules:
  - { name: a, condition: { field: action.payload.a, gt: 5 }, action: { type: suppress } }
  - { name: b, condition: { field: action.payload.b, matches: '^(a+)+$' }, action: { type: deny } }
  - { name: c, condition: { cel: 'action.payload.c.d > 3' }, action: { type: throttle, max_count: 3, window_seconds: 60, key: [payload.e] } }
  - { name: d, condition: { field: action.metadata.k, exists: true }, action: { type: deduplicate, ttl_seconds: 60, key: [payload.a, metadata.k] } }
  - { name: e, condition: { field: action.status, eq: held }, action: { type: schedule, delay_seconds: 60, key: '{{payload.a}}' } }
  - { name: f, condition: { field: action.status, eq: group }, action: { type: group, group_by: [payload.a, payload.b] } }
  - { name: g, condition: { field: action.status, eq: copy }, action: { type: copy, target_provider: out, changes: { x: '{{payload.c}}' } } }
  - { name: h, condition: { field: action.payload.a, exists: true }, action: { type: modify, changes: { b: '{{payload.a}}/{{payload.c.d}}' }, set: { action.metadata.z: '{{payload.e}}' } } }
`
const key = fc.oneof(fc.constantFrom('a', 'b', 'c', 'd', 'e', '__proto__', 'constructor', 'toString', ''), fc.string())
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.dictionary(key, fc.jsonValue({ maxDepth: 2 })),
  fc.constantFrom(1e308, -0, 2 ** 53, '\u0000', '\ud800', 'x'.repeat(600), '{{payload.a}}', 'a'.repeat(40)),
)
const field = fc.constantFrom(
  ...[
    'action_type',
    'namespace',
    'tenant',
    'provider',
    'payload',
    'id',
    'metadata',
    'dedup_key',
    'fingerprint',
    'status',
  ],
  ...['starts_at', 'ends_at', 'created_at', '__proto__', 'run_id', 'caller', 'labels'],
)
const sound = fc.record({
  action_type: fc.constantFrom('x', 'y', 'é:%_*/'),
  provider: fc.constant('out'),
  tenant: fc.constantFrom('a', 'a:b', 'a%'),
  status: fc.constantFrom('held', 'group', 'copy', 'plain'),
  payload: fc.dictionary(key, anything),
  metadata: fc.dictionary(key, fc.string()),
})
const action = fc.oneof(
  { weight: 4, arbitrary: sound },
  { weight: 3, arbitrary: fc.tuple(sound, fc.dictionary(field, anything)).map(([a, b]) => ({ ...a, ...b })) },
  { weight: 1, arbitrary: fc.dictionary(field, anything) },
  { weight: 1, arbitrary: anything },
)
const TENANTS = ['a', 'a:b', 'a%', 'default']

/** Everything the store and the audit hold, as far as lists tell. */
async function stored(g: TestGateway): Promise<string> {
  const depths = await g.state.depths()
  const lists = await Promise.all(
    TENANTS.map(async (t) => [
      await g.records('default', t),
      await g.state.list('buffer', ['default', t], { limit: 1000 }),
    ]),
  )
  return JSON.stringify([depths.map((d) => [d.kind, d.waiting]), lists])
}

test('POST /v1/dispatch: never a 500, every answer one of the contract, nothing stored by a refused request', async () => {
  const g = await testGateway({ rules: RULES })
  const headers = fc.record(
    { 'idempotency-key': fc.stringMatching(/^[!-~]{0,300}$/), prefer: fc.constantFrom('respond-async', 'x', 'wait=1') },
    { requiredKeys: [] },
  )
  const query = fc.constantFrom('', '?dry_run=true', '?trace=true', '?dry_run=maybe', '?x=1')
  await fc.assert(
    fc.asyncProperty(action, headers, query, async (body, head, q) => {
      const before = await stored(g)
      const t = await g.ask('POST', `/v1/dispatch${q}`, JSON.stringify(body), {
        'content-type': 'application/json',
        ...head,
      })
      await g.gateway.idle()
      expect(t.status, t.text).not.toBe(500)
      const tag = t.headers.get('signalbox-outcome')
      if (tag === null) {
        expect(t.headers.get('content-type')).toBe('application/problem+json')
        expect(t.status).toBeGreaterThanOrEqual(400)
        expect(t.body).toMatchObject({ status: t.status, code: expect.stringMatching(/^[a-z_]+$/) })
        expect(await stored(g)).toBe(before)
      } else expect(t.body.outcome).toBe(tag)
    }),
    { numRuns: 400, seed: 11 },
  )
  expect(g.env.logged.filter((l) => l.level === 'error')).toEqual([])
})
test('POST /v1/dispatch: bytes that are no JSON, or no request, are refused in words', async () => {
  const g = await testGateway()
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string().map((s) => new TextEncoder().encode(s)),
    fc.json().map((s) => new TextEncoder().encode(s.slice(1))),
  )
  await fc.assert(
    fc.asyncProperty(
      bytes,
      fc.constantFrom('/v1/dispatch', '/v1/dispatch/batch', '/v1/rules/evaluate'),
      async (body, path) => {
        const response = await g.app.request(path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: Uint8Array.from(body),
        })
        expect([200, 400, 422]).toContain(response.status)
        if (response.status !== 200) expect(response.headers.get('content-type')).toBe('application/problem+json')
      },
    ),
    { numRuns: 300, seed: 12 },
  )
  expect(g.env.logged.filter((l) => l.level === 'error')).toEqual([])
})
test('documents: whatever is written is taken or refused with a problem, never a 500', async () => {
  const g = await testGateway()
  const word = fc.constantFrom(
    ...[
      'name',
      'namespace',
      'tenant',
      'provider',
      'max_actions',
      'window',
      'timezone',
      'overage_behavior',
      'enabled',
      'description',
    ],
    ...[
      'action_type',
      'payload',
      'metadata',
      'cron_expression',
      'end_date',
      'max_executions',
      'overlap_policy',
      'missed',
    ],
    ...['audit_ttl_seconds', 'steps', 'timeout_seconds', '__proto__', 'yaml', 'why', 'code'],
  )
  const value = fc.oneof(
    anything,
    fc.constantFrom('daily', 'UTC', 'out', '* * * * *', '*/5 * * * *', 'block', 'skip', 60, 1, true, [
      { name: 's', provider: 'out', action_type: 'x' },
    ]),
  )
  const target = fc.constantFrom(
    'PUT /v1/quotas/q',
    'POST /v1/quotas',
    'PUT /v1/recurring/r',
    'POST /v1/recurring',
    'PUT /v1/retention',
    'PUT /v1/chains/definitions/c',
    'PUT /v1/chains/definitions/c/enabled',
    'POST /v1/chains/definitions/c/rollback',
    'POST /v1/rules/check',
    'PUT /v1/rules/none/enabled',
    'POST /v1/dlq/redrive',
    'POST /v1/circuit-breakers/out/trip',
  )
  await fc.assert(
    fc.asyncProperty(target, fc.oneof(fc.dictionary(word, value), anything), async (route, body) => {
      const [method, path] = route.split(' ') as [string, string]
      const t = await g.ask(method, path, JSON.stringify(body), { 'content-type': 'application/json' })
      expect(t.status, `${route} ${JSON.stringify(body)} ${t.text}`).not.toBe(500)
      if (t.status >= 400) expect(t.body).toMatchObject({ status: t.status, code: expect.any(String) })
    }),
    { numRuns: 600, seed: 13 },
  )
  expect(g.env.logged.filter((l) => l.level === 'error')).toEqual([])
})

const few = fc.constantFrom<Json[]>('x', 'y', '', 1, null, true, ['x'])
const condition = fc
  .tuple(
    fc.constantFrom('payload.a', 'payload.b', 'metadata.m', 'status'),
    fc.constantFrom('eq', 'ne'),
    few,
    fc.boolean(),
  )
  .map(([f, operator, value, not]) => {
    const leaf = { field: `action.${f}`, [operator]: value }
    return not ? { not: leaf } : leaf
  })
const does = fc.constantFrom<JsonObject[]>(
  { type: 'allow' },
  { type: 'suppress', reason: 'why' },
  { type: 'deny' },
  { type: 'reroute', target_provider: 'bad' },
  { type: 'modify', changes: { a: '{{payload.b}}', b: null }, set: { 'action.metadata.m': 'x' } },
  { type: 'throttle', max_count: 1, window_seconds: 60, key: ['payload.a'] },
  { type: 'deduplicate', ttl_seconds: 60, key: ['payload.b', 'metadata.m'] },
  { type: 'copy', target_provider: 'out' },
  { type: 'schedule', delay_seconds: 60, key: '{{payload.a}}', on_repeat: 'keep' },
  { type: 'cancel_scheduled', key: '{{payload.a}}' },
  { type: 'group', group_by: ['payload.a'], max_group_size: 2 },
)
const somePayload = fc.record({ a: few, b: few }, { requiredKeys: [] })
const someActions = fc.array(
  fc.record({ payload: somePayload, status: fc.constantFrom('x', 'y'), metadata: fc.constantFrom({}, { m: 'x' }) }),
  { minLength: 3, maxLength: 5 },
)
test('PITFALLS 8: what evaluate and a dry run say is one, writes nothing, and is what a dispatch then comes to', async () => {
  const rule = fc.record({ priority: fc.nat(2), condition, action: does })
  await fc.assert(
    fc.asyncProperty(fc.array(rule, { minLength: 1, maxLength: 12 }), someActions, async (rules, actions) => {
      const g = await testGateway({
        rules: JSON.stringify({ rules: rules.map((r, i) => ({ name: `r${i}`, ...r })) }),
        providers: { out: [OK], bad: [badRequest()] },
      })
      for (const a of actions) {
        const body = { id: 'a', action_type: 'x', provider: 'out', created_at: '2026-01-05T12:00:00Z', ...a }
        const before = await stored(g)
        const said = (await g.ask('POST', '/v1/rules/evaluate', body)).body
        const { run_id: _, ...dry } = (await g.dispatch(body, {}, '?dry_run=true')).body
        expect(said).toMatchObject(dry)
        expect(await stored(g)).toBe(before)
        const { outcome, rule: by } = (await g.dispatch(body)).body
        const sent = said['verdict'] === 'executed' || said['verdict'] === 'rerouted'
        expect(outcome === 'failed' && sent ? said['verdict'] : outcome).toBe(said['verdict'])
        expect(by).toBe(said['rule'])
        await g.gateway.idle()
      }
    }),
    { numRuns: 25, seed: 14 },
  )
})
