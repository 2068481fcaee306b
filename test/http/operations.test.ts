import { describe, expect, test } from 'vitest'
import { routes } from '../../src/http/routes/index.ts'
import { testGateway } from '../fakes/gateway.ts'
import { OK, refused } from '../fakes/provider.ts'
import { admin, items } from './read.ts'

describe('providers and circuit breakers', () => {
  test('are shown, tested, tripped and reset by hand, which is audited', async () => {
    const g = await testGateway({ providers: { out: [OK] } })
    await g.dispatch({ action_type: 'x', provider: 'out' })
    for (const path of ['/v1/providers', '/v1/providers/health'])
      expect((await g.ask('GET', path)).body).toMatchObject({
        providers: [{ provider: 'out', attempts: 1, failures: 0 }],
        next_cursor: null,
      })
    expect((await g.ask('POST', '/v1/providers/out/test')).body).toMatchObject({ ok: true })
    expect((await g.ask('POST', '/v1/providers/oot/test')).body).toMatchObject({
      status: 404,
      detail: expect.stringContaining('"out"'),
    })
    const tripped = await g.ask('POST', '/v1/circuit-breakers/out/trip', { why: 'they said so' })
    expect(tripped.body).toMatchObject({ provider: 'out', state: 'open', by: 'anonymous', why: 'they said so' })
    expect((await g.dispatch({ action_type: 'x', provider: 'out' })).status).toBe(503)
    expect((await g.ask('GET', '/metrics')).text).toContain(
      'signalbox_circuit_breaker_state{provider="out",state="open"} 1',
    )
    expect((await g.ask('POST', '/v1/circuit-breakers/out/reset')).body).toMatchObject({ state: 'closed' })
    expect((await g.ask('GET', '/v1/circuit-breakers')).body).toMatchObject({
      circuit_breakers: [{ provider: 'out' }],
      next_cursor: null,
    })
    expect((await g.ask('GET', '/v1/circuit-breakers/oot')).status).toBe(404)
    expect((await g.ask('POST', '/v1/circuit-breakers/oot/trip')).status).toBe(404)
    expect(await admin(g)).toEqual([
      ['circuit breaker trip', { provider: 'out', why: 'they said so' }],
      ['circuit breaker reset', { provider: 'out' }],
    ])
  })
  test('a breaker that opens and closes is in the audit: by itself, by hand, with the reason redacted', async () => {
    const g = await testGateway({
      providers: { out: [refused()] },
      toml: '[executor]\nmax_retries = 0\n[circuit_breaker]\nfailure_threshold = 2\n[audit.redact]\nfields = ["why"]\n',
    })
    for (let i = 0; i < 3; i++) await g.dispatch({ action_type: 'x', provider: 'out' })
    await g.ask('POST', '/v1/circuit-breakers/out/reset', { why: 'secret' })
    const breaker = { kind: 'breaker', action_type: 'circuit_breaker', provider: 'out' }
    expect((await g.records('', '')).filter((r) => r.kind === 'breaker')).toMatchObject([
      {
        ...breaker,
        outcome: 'opened',
        caller: 'gateway',
        details: { from: 'closed', to: 'open', code: 'connection_refused' },
      },
      {
        ...breaker,
        outcome: 'closed',
        caller: 'anonymous',
        details: { from: 'open', to: 'closed', why: '[REDACTED]' },
      },
    ])
    expect((await g.ask('GET', '/v1/audit?namespace=&tenant=&kind=breaker&provider=out')).body).toMatchObject({
      records: [{ outcome: 'closed' }, { outcome: 'opened' }],
    })
    // Such records are in no other scope: who names none is not told that there are none.
    for (const kind of ['breaker', 'admin']) {
      const { body } = await g.ask('GET', `/v1/audit?namespace=&tenant=&kind=${kind}`)
      expect(body['records']).not.toEqual([])
      expect((await g.ask('GET', `/v1/audit?kind=${kind}`)).body).toEqual(body)
      expect((await g.ask('GET', `/v1/audit?kind=${kind}&tenant=default`)).body).toMatchObject({ records: [] })
    }
    expect(g.env.logged.filter((l) => l.message.includes('breaker'))).toEqual([
      {
        level: 'warn',
        fields: { provider: 'out', from: 'closed', code: 'connection_refused' },
        message: 'the circuit breaker is open',
      },
      {
        level: 'info',
        fields: { provider: 'out', from: 'open', by: 'anonymous', why: '[REDACTED]' },
        message: 'the circuit breaker is closed',
      },
    ])
  })
})

describe('what is counted', () => {
  test('outcomes, durations, attempts, and what waits, in /metrics and /v1/stats', async () => {
    const rules =
      'rules: [{ name: later, condition: { field: action.action_type, eq: energy }, action: { type: schedule, delay_seconds: 60 } }]'
    const g = await testGateway({ rules })
    await g.dispatch({ action_type: 'x', provider: 'out' })
    await g.dispatch({ action_type: 'energy', provider: 'out' })
    await g.dispatch({ action_type: 'x', provider: 'none' })
    await g.advance(90_000)
    const { text, headers } = await g.ask('GET', '/metrics')
    expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    for (const line of [
      'signalbox_outcomes_total{kind="dispatch",outcome="executed"} 1',
      'signalbox_outcomes_total{kind="dispatch",outcome="scheduled"} 1',
      'signalbox_run_duration_seconds_count{kind="dispatch"} 2',
      'signalbox_provider_attempts_total{provider="out",result="success"} 1',
      'signalbox_provider_attempt_duration_seconds_count{provider="out"} 1',
      'signalbox_problems_total{code="provider_unknown"} 1',
      'signalbox_queue_depth{kind="scheduled"} 1',
      'signalbox_queue_due{kind="scheduled"} 1',
      'signalbox_queue_oldest_due_age_seconds{kind="scheduled"} 30',
      'signalbox_state_up 1',
    ])
      expect(text.split('\n')).toContain(line)
    expect((await g.ask('GET', '/v1/stats')).body).toMatchObject({
      outcomes: { executed: 1, scheduled: 1 },
      problems: { provider_unknown: 1 },
      provider_attempts: 1,
      waiting: [{ kind: 'scheduled', waiting: 1, due: 1, oldest_due_at: '2026-01-05T12:01:00.000Z' }],
    })
    expect((await g.ask('GET', '/health')).body).toMatchObject({ oldest_due_age_seconds: 30 })
    expect((await g.ask('GET', '/metrics')).text).toBe((await g.ask('GET', '/metrics')).text)
  })
  test('a process that stops is not ready, and lives', async () => {
    const g = await testGateway()
    g.stopping.abort()
    expect((await g.ask('GET', '/readyz')).body).toMatchObject({
      status: 503,
      code: 'not_ready',
      detail: 'shutting down',
    })
    expect((await g.ask('GET', '/livez')).status).toBe(200)
  })
})

test('GET / lists every route of the table, and every route of the table answers', async () => {
  const g = await testGateway()
  const { body } = await g.ask('GET', '/')
  expect(items({ ...(await g.ask('GET', '/')) }, 'routes')).toEqual(
    routes.map(({ method, path, doc }) => ({ method, path, doc })),
  )
  expect(body.name).toBe('signalbox')
  for (const { method, path } of routes) {
    const t = await g.ask(method, path.replaceAll(/\{\w+\}/g, 'none'), method === 'PUT' ? {} : undefined)
    expect([404, 405].includes(t.status) && t.body.code === 'unknown_route', `${method} ${path}`).toBe(false)
    expect(t.status, `${method} ${path}: ${t.text}`).not.toBe(500)
  }
  expect((await g.ask('GET', '/v1/events')).body).toEqual({ events: [], next_cursor: null })
})
