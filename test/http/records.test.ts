import { describe, expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'
import { badRequest, OK, refused, serverError } from '../fakes/provider.ts'
import { items } from './read.ts'

describe('dead letters', () => {
  const toml = '[executor]\nmax_retries = 0\n'
  test('are listed by provider and code, sent again with the outcome of it, and deleted, which is audited', async () => {
    const g = await testGateway({ toml, providers: { out: [badRequest(), refused(), OK] } })
    const dead = async (id: string) =>
      String((await g.dispatch({ id, action_type: 'x', provider: 'out' })).body.dead_letter_id)
    const [first, second] = [await dead('a'), await dead('b')]
    const list = await g.ask('GET', '/v1/dlq')
    expect(items(list, 'dead_letters').map((l) => l.id)).toEqual([second, first])
    expect(items(await g.ask('GET', '/v1/dlq?provider=out&code=http_400'), 'dead_letters')).toMatchObject([
      { id: first },
    ])
    expect((await g.ask('GET', `/v1/dlq/${first}`)).body).toMatchObject({ code: 'http_400', action: { id: 'a' } })
    expect((await g.ask('GET', '/health')).body).toMatchObject({ dead_letters: 2, oldest_due_age_seconds: 0 })
    const again = await g.ask('POST', `/v1/dlq/${first}/redrive`)
    expect([again.status, again.body]).toMatchObject([200, { redriven: first, outcome: 'executed', action_id: 'a' }])
    expect(again.headers.get('signalbox-outcome')).toBe('executed')
    expect((await g.ask('POST', `/v1/dlq/${first}/redrive`)).body).toMatchObject({ status: 404, code: 'not_found' })
    expect((await g.ask('DELETE', `/v1/dlq/${second}`)).status).toBe(204)
    expect((await g.ask('DELETE', `/v1/dlq/${second}`)).status).toBe(404)
    expect((await g.records()).at(-1)).toMatchObject({ outcome: 'discarded', details: { dead_letter_id: second } })
  })
  test('PITFALLS 79: a redrive of many leaves out those whose caller was told, unless asked', async () => {
    const g = await testGateway({ toml, providers: { out: [badRequest(), badRequest(), OK] } })
    await g.dispatch({ id: 'told', action_type: 'x', provider: 'out' })
    await g.dispatch({ id: 'accepted', action_type: 'x', provider: 'out' }, { prefer: 'respond-async' })
    await g.gateway.idle()
    const many = (body?: unknown) => g.ask('POST', '/v1/dlq/redrive', body)
    expect((await many({ provider: 'other' })).body).toEqual({ redriven: [], next_cursor: null, skipped: [] })
    expect((await many()).body).toMatchObject({
      redriven: [{ outcome: 'executed', action_id: 'accepted' }],
      skipped: [{ code: 'told_caller' }],
    })
    expect((await many({ include_told: true })).body).toMatchObject({ redriven: [{ action_id: 'told' }], skipped: [] })
    expect((await many({ provder: 'out' })).body).toMatchObject({
      status: 400,
      code: 'invalid_redrive',
      errors: [{ pointer: '/provder' }],
    })
  })
  test('a letter whose key was delivered since is 409, unless forced', async () => {
    const rules = 'rules: [{ name: once, action: { type: deduplicate, ttl_seconds: 600 } }]'
    const g = await testGateway({ toml, rules, providers: { out: [badRequest(), OK] } })
    const action = { action_type: 'x', provider: 'out', dedup_key: 'k' }
    const { dead_letter_id: id } = (await g.dispatch({ ...action, id: 'a' })).body
    await g.dispatch({ ...action, id: 'b' })
    expect((await g.ask('POST', `/v1/dlq/${id}/redrive`)).body).toMatchObject({
      status: 409,
      code: 'superseded',
      first_action_id: 'b',
    })
    expect((await g.ask('POST', `/v1/dlq/${id}/redrive?force=true`)).body).toMatchObject({ outcome: 'executed' })
  })
})

describe('audit', () => {
  test('is asked by its columns and by time, newest first, page by page', async () => {
    const g = await testGateway({
      providers: { out: [OK], other: [serverError()] },
      toml: '[executor]\nmax_retries = 0\n',
    })
    for (const id of ['a', 'b', 'c']) {
      await g.dispatch({ id, action_type: 'x', provider: id === 'b' ? 'other' : 'out' })
      await g.advance(1000)
    }
    const ids = async (query: string) =>
      items(await g.ask('GET', `/v1/audit${query}`), 'records').map((r) => r.action_id)
    expect(await ids('')).toEqual(['c', 'b', 'a'])
    expect(await ids('?provider=out')).toEqual(['c', 'a'])
    expect(await ids('?outcome=failed')).toEqual(['b'])
    expect(await ids('?kind=dispatch&caller=anonymous&action_type=x')).toEqual(['c', 'b', 'a'])
    expect(await ids('?from=2026-01-05T12:00:01Z&to=2026-01-05T13:00:02%2B01:00')).toEqual(['b'])
    expect(await ids(`?from=${Date.UTC(2026, 0, 5, 12, 0, 2)}`)).toEqual(['c'])
    expect(await ids('?from=2026-01-05%2012:00:01.5z')).toEqual(['c'])
    expect(await ids('?from=0')).toEqual(['c', 'b', 'a'])
    const first = await g.ask('GET', '/v1/audit?limit=2')
    expect(items(first, 'records').map((r) => r.action_id)).toEqual(['c', 'b'])
    const second = await g.ask('GET', `/v1/audit?limit=2&cursor=${first.body.next_cursor}`)
    expect([items(second, 'records').map((r) => r.action_id), second.body.next_cursor]).toEqual([['a'], null])
    expect((await g.ask('GET', '/v1/audit/a')).body).toMatchObject({ records: [{ action_id: 'a' }] })
    expect((await g.ask('GET', '/v1/audit/z')).body).toMatchObject({ status: 404, code: 'not_found' })
  })
  test('a record is dispatched again as a new action that says what it is; under one key only once', async () => {
    const g = await testGateway()
    await g.dispatch({ id: 'a', action_type: 'x', provider: 'out', payload: { n: 1 } })
    const again = await g.ask('POST', '/v1/audit/a/replay', undefined, { 'idempotency-key': 'k' })
    expect([again.status, again.body]).toMatchObject([200, { outcome: 'executed' }])
    expect(again.body.action_id).not.toBe('a')
    expect((await g.ask('POST', '/v1/audit/a/replay', undefined, { 'idempotency-key': 'k' })).body).toEqual(again.body)
    expect((await g.records()).map((r) => r.metadata)).toEqual([{}, { replayed_from: 'a' }])
    expect((await g.ask('POST', '/v1/audit/z/replay')).status).toBe(404)
  })
})
