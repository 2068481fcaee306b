import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { testGateway } from '../fakes/gateway.ts'
import { admin } from './read.ts'

describe('quotas, recurring actions and retention policies', () => {
  const kinds: readonly [path: string, body: JsonObject, wrong: JsonObject, code: string, what: string][] = [
    [
      '/v1/quotas/a',
      { max_actions: 5, window: 'daily' },
      { max_actions: 0, window: 'daily' },
      'invalid_quota',
      'quota',
    ],
    [
      '/v1/recurring/a',
      { provider: 'out', action_type: 'beat', payload: {}, cron_expression: '*/5 * * * *' },
      { provider: 'oot', action_type: 'beat', cron_expression: '*/5 * * * *' },
      'invalid_recurring',
      'recurring action',
    ],
    ['/v1/retention', { audit_ttl_seconds: 60 }, { audit_ttl_seconds: -1 }, 'invalid_retention', 'retention policy'],
  ]
  test.each(kinds)(
    'PUT %s is 201, then 200; If-Match guards it; DELETE is 204; each change is audited',
    async (path, body, wrong, code, what) => {
      const g = await testGateway()
      const bad = await g.ask('PUT', path, wrong)
      expect([bad.status, bad.body.code]).toEqual([400, code])
      expect((await g.ask('PUT', path, body, { 'if-match': '*' })).body).toMatchObject({
        status: 412,
        code: 'precondition_failed',
      })
      const made = await g.ask('PUT', path, body, { 'if-none-match': '*' })
      expect(made.status).toBe(201)
      expect((await g.ask('PUT', path, { ...body, description: 'x' }, { 'if-none-match': '*' })).status).toBe(412)
      const tag = made.headers.get('etag')!
      expect(tag).toMatch(/^"[^"]+"$/)
      const byId = path === '/v1/retention' ? `/v1/retention/${made.body.id}` : path
      const read = await g.ask('GET', byId)
      expect([read.headers.get('etag'), read.body]).toEqual([tag, made.body])

      await g.advance(1000)
      const changed = await g.ask('PUT', path, { ...body, description: 'more' }, { 'if-match': tag })
      expect(changed.status).toBe(200)
      const newer = changed.headers.get('etag')!
      expect(newer).not.toBe(tag)
      for (const stale of [tag, `W/${newer}`, '"x", "y"'])
        expect((await g.ask('PUT', path, body, { 'if-match': stale })).body).toMatchObject({
          status: 412,
          code: 'precondition_failed',
        })
      expect((await g.ask('PUT', path, body, { 'if-match': 'bare' })).body).toMatchObject({
        status: 400,
        code: 'invalid_if_match',
      })
      for (const headers of [{ 'if-none-match': tag }, { 'if-none-match': '' }])
        expect((await g.ask('PUT', path, body, headers)).body).toMatchObject({ status: 400, code: 'invalid_if_match' })
      expect((await g.ask('PUT', path, body, { 'if-match': newer, 'if-none-match': '*' })).status).toBe(412)
      expect((await g.ask('DELETE', path, undefined, { 'if-none-match': '*' })).status).toBe(412)
      expect((await g.ask('DELETE', path, undefined, { 'if-match': tag })).status).toBe(412)
      expect((await g.ask('PUT', path, { ...body, description: 'most' }, { 'if-match': `"x", ${newer}` })).status).toBe(
        200,
      )
      expect((await g.ask('DELETE', path, undefined, { 'if-match': '*' })).status).toBe(204)
      expect((await g.ask('DELETE', path)).status).toBe(404)
      expect((await g.ask('GET', byId)).status).toBe(404)
      const words = (await admin(g)).map(([word]) => word)
      expect(words).toEqual([`${what} created`, `${what} changed`, `${what} changed`, `${what} deleted`])
    },
  )
  test('POST makes a name where there is none, and 409 where there is one', async () => {
    const g = await testGateway()
    const quota = await g.ask('POST', '/v1/quotas', { max_actions: 5, window: 60 })
    expect([quota.status, quota.body.name]).toEqual([201, expect.stringMatching(/^quota-/)])
    const again = await g.ask('POST', '/v1/quotas', { name: quota.body.name!, max_actions: 5, window: 60 })
    expect(again.body).toMatchObject({ status: 409, code: 'already_exists' })
    const beat = { provider: 'out', action_type: 'beat', cron_expression: '0 * * * *', name: 'beat' }
    expect((await g.ask('POST', '/v1/recurring', beat)).status).toBe(201)
    expect((await g.ask('POST', '/v1/recurring', beat)).body).toMatchObject({ code: 'already_exists' })
    expect((await g.ask('POST', '/v1/retention', {})).status).toBe(201)
    expect((await g.ask('POST', '/v1/retention', {})).body).toMatchObject({ code: 'already_exists' })
    expect((await g.ask('GET', '/v1/retention')).body).toMatchObject({
      retention: [{ namespace: 'default' }],
      next_cursor: null,
    })
    expect((await g.ask('GET', '/v1/retention/other')).status).toBe(404)
    const { id } = (await g.ask('PUT', '/v1/retention?tenant=a', {})).body
    const ofB = await g.ask('PUT', `/v1/retention/${id}?tenant=a`, { tenant: 'b', audit_ttl_seconds: 7 })
    expect(ofB).toMatchObject({ status: 400, body: { code: 'invalid_retention', errors: [{ pointer: '/tenant' }] } })
    expect((await g.ask('PUT', `/v1/retention/${id}?tenant=a`, { tenant: 'a' })).status).toBe(200)
  })
  test('usage tells what is counted, and never by reading it', async () => {
    const g = await testGateway()
    await g.ask('PUT', '/v1/quotas/a', { max_actions: 5, window: 'hourly' })
    await g.dispatch({ action_type: 'x', provider: 'out' })
    await g.dispatch({ action_type: 'x', provider: 'out' }, {}, '?dry_run=true')
    for (let i = 0; i < 2; i++)
      expect((await g.ask('GET', '/v1/quotas/a/usage')).body).toMatchObject({
        used: 1,
        remaining: 4,
        resets_at: '2026-01-05T13:00:00.000Z',
      })
    expect((await g.ask('GET', '/v1/quotas/b/usage')).status).toBe(404)
  })
  test('overlap_policy skip: none while the chain that the one before has started goes on', async () => {
    const g = await testGateway({
      loops: true,
      toml: `[[chains.definitions]]
name = "nightly"
steps = [{ name = "rest", wait = { seconds = 150 } }]
`,
      rules: `rules: [{ name: nightly, condition: { field: action.action_type, eq: night }, action: { type: chain, chain: nightly } }]`,
    })
    const body = { action_type: 'night', cron_expression: '* * * * *', overlap_policy: 'skip' }
    expect((await g.ask('PUT', '/v1/recurring/nightly', body)).status).toBe(201)
    await g.advance(5.5 * 60_000)
    const { records } = await g.audit.query(['default', 'default'], {}, { limit: 50 })
    const told = records.map((r) => r.outcome).filter((o) => o === 'chain_started' || o === 'suppressed')
    const once = ['chain_started', 'suppressed', 'suppressed']
    expect(told.reverse()).toEqual([...once, ...once].slice(0, 5))
  })
  test('recurring actions are paused and resumed; more than allowed is 409, backfill 501', async () => {
    const g = await testGateway({ set: ['background.max_recurring_actions_per_tenant=1'] })
    const body = { provider: 'out', action_type: 'beat', cron_expression: '*/5 * * * *' }
    await g.ask('PUT', '/v1/recurring/a', body)
    const paused = await g.ask('POST', '/v1/recurring/a/pause')
    expect(paused.body).toMatchObject({ enabled: false })
    expect((await g.ask('POST', '/v1/recurring/a/resume', undefined, { 'if-match': '"old"' })).status).toBe(412)
    expect((await g.ask('POST', '/v1/recurring/a/resume')).body).toMatchObject({ enabled: true })
    expect((await g.ask('POST', '/v1/recurring/b/pause')).status).toBe(404)
    expect((await g.ask('PUT', '/v1/recurring/b', body)).body).toMatchObject({ status: 409, code: 'recurring_limit' })
    expect((await g.ask('POST', '/v1/recurring/a/backfill', {})).body).toMatchObject({
      status: 501,
      code: 'not_supported',
    })
  })
})
