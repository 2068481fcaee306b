import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testGateway } from '../fakes/gateway.ts'
import { badRequest, OK } from '../fakes/provider.ts'

const DEDUP = 'rules: [{ name: once, priority: 1, action: { type: deduplicate, ttl_seconds: 60 } }]'
const results = (body: JsonObject) => body.results as readonly JsonObject[]

test('each item has its own status; a bad one does not stop the rest, and order is kept', async () => {
  const g = await testGateway({ providers: { out: [OK, badRequest(), OK] } })
  const { status, body } = await g.ask('POST', '/v1/dispatch/batch', [
    { id: 'a', action_type: 'x', provider: 'out' },
    { id: 'b', action_type: 'x', provider: 'out', payload: 'text', colour: 1 },
    { id: 'c', action_type: 'x', provider: 'out' },
    { id: 'd', action_type: 'x', provider: 'oout' },
    { id: 'e', action_type: 'x', provider: 'out' },
  ])
  expect(status).toBe(200)
  expect(results(body)).toEqual([
    expect.objectContaining({ status: 200, outcome: 'executed', action_id: 'a' }),
    expect.objectContaining({
      status: 400,
      code: 'invalid_action',
      type: 'urn:signalbox:problem:invalid_action',
      errors: [
        { pointer: '/1/colour', message: 'unknown field' },
        { pointer: '/1/payload', message: 'expected an object' },
      ],
    }),
    expect.objectContaining({ status: 502, outcome: 'failed', action_id: 'c' }),
    expect.objectContaining({
      status: 422,
      code: 'provider_unknown',
      errors: [{ pointer: '/3/provider', message: 'no provider has this name; did you mean "out"?' }],
    }),
    expect.objectContaining({ status: 200, outcome: 'executed', action_id: 'e' }),
  ])
})
test('items are admitted in their order: the first of two with one dedup key is the one delivered', async () => {
  const g = await testGateway({ rules: DEDUP })
  const actions = ['a', 'b', 'c'].map((id) => ({ id, action_type: 'x', provider: 'out', dedup_key: 'k' }))
  const { body } = await g.ask('POST', '/v1/dispatch/batch', { actions })
  expect(results(body)).toMatchObject([
    { outcome: 'executed', action_id: 'a' },
    { outcome: 'deduplicated', first_action_id: 'a' },
    { outcome: 'deduplicated', first_action_id: 'a' },
  ])
})
test('item i of a batch with a key has the key <key>/<i>, which a single dispatch may repeat', async () => {
  const g = await testGateway()
  const batch = [
    { id: 'a', action_type: 'x', provider: 'out' },
    { id: 'b', action_type: 'x', provider: 'out' },
  ]
  await g.ask('POST', '/v1/dispatch/batch', batch, { 'idempotency-key': 'k' })
  const again = await g.ask('POST', '/v1/dispatch/batch', batch, { 'idempotency-key': 'k' })
  expect(results(again.body)).toMatchObject([
    { outcome: 'executed', idempotent_replayed: true },
    { outcome: 'executed', idempotent_replayed: true },
  ])
  expect(g.providers.out!.sent).toHaveLength(2)
  const one = await g.ask('POST', '/v1/dispatch', batch[1], { 'idempotency-key': 'k/1' })
  expect(one.headers.get('idempotent-replayed')).toBe('true')
  const swapped = await g.ask('POST', '/v1/dispatch/batch', batch.toReversed(), { 'idempotency-key': 'k' })
  expect(results(swapped.body)).toMatchObject([{ code: 'idempotency_mismatch' }, { code: 'idempotency_mismatch' }])
})
test('a dry batch writes nothing, respond-async answers before delivery', async () => {
  const g = await testGateway()
  const batch = [{ action_type: 'x', provider: 'out' }]
  const dry = await g.ask('POST', '/v1/dispatch/batch?dry_run=true', batch)
  expect(results(dry.body)).toMatchObject([{ status: 200, outcome: 'dry_run', verdict: 'executed' }])
  expect(await g.records()).toEqual([])
  const late = await g.ask('POST', '/v1/dispatch/batch', batch, { prefer: 'respond-async' })
  expect(results(late.body)).toMatchObject([{ status: 202, outcome: 'accepted' }])
})
test('a batch that is none, or is too long, is refused whole', async () => {
  const g = await testGateway()
  const post = (body: unknown) => g.ask('POST', '/v1/dispatch/batch', body)
  expect((await post({ actions: {} })).body).toMatchObject({
    status: 400,
    code: 'invalid_batch',
    errors: [{ pointer: '/actions' }],
  })
  expect((await post({ action_type: 'x' })).body).toMatchObject({ status: 400, code: 'invalid_batch' })
  expect((await post({ actions: [], more: 1 })).body).toMatchObject({ status: 400, code: 'invalid_batch' })
  const many = Array.from({ length: 1001 }, () => ({ action_type: 'x', provider: 'out' }))
  expect((await post(many)).body).toMatchObject({ status: 400, code: 'batch_too_large' })
  expect(await g.records()).toEqual([])
  expect((await post([])).body).toEqual({ results: [] })
})
