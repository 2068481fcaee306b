import { describe, expect, test } from 'vitest'
import { outcomeTags } from '../../src/core/outcome.ts'
import { type GatewayGiven, type TestGateway, type Told, testGateway } from '../fakes/gateway.ts'
import { badRequest, held, OK, refused, serverError, unavailable } from '../fakes/provider.ts'

const RULES = `
rules:
  - { name: quiet, priority: 1, condition: { field: action.action_type, eq: noise }, action: { type: suppress, reason: too much } }
  - { name: never, priority: 1, condition: { field: action.action_type, eq: forbidden }, action: { type: deny, reason: unsigned } }
  - { name: once, priority: 2, condition: { field: action.action_type, eq: once }, action: { type: deduplicate, ttl_seconds: 60 } }
  - { name: at-most-two, priority: 3, condition: { field: action.action_type, eq: burst }, action: { type: throttle, max_count: 2, window_seconds: 10, message: slow down } }
  - { name: elsewhere, priority: 4, condition: { field: action.action_type, eq: alert }, action: { type: reroute, target_provider: other } }
  - { name: by-floor, priority: 4, condition: { field: action.action_type, eq: humidity }, action: { type: group, group_by: [payload.floor], group_wait_seconds: 30 } }
  - { name: later, priority: 4, condition: { field: action.action_type, eq: energy }, action: { type: schedule, delay_seconds: 60 } }
  - { name: steps, priority: 4, condition: { field: action.action_type, eq: reading }, action: { type: chain, chain: two-steps } }
`
const TOML = `
[rules]
default_provider = "out"
[executor]
max_retries = 0
timeout_seconds = 5
[circuit_breaker]
failure_threshold = 2
recovery_timeout_seconds = 30
[[chains.definitions]]
name = "two-steps"
steps = [{ name = "first", provider = "other", action_type = "x" }, { name = "second", provider = "other", action_type = "y" }]
`
const gateway = (given: GatewayGiven = {}): Promise<TestGateway> =>
  testGateway({ rules: RULES, toml: TOML, providers: { out: [OK], other: [OK] }, ...given })

/** Tags the tests of this file have seen: the last test asks that none is missing. */
const seen = new Set<string>()
function told(t: Told, status: number, tag: string, fields: object): void {
  expect([t.status, t.body], t.text).toEqual([status, expect.objectContaining({ outcome: tag, ...fields })])
  expect(t.headers.get('signalbox-outcome')).toBe(tag)
  expect(t.headers.get('content-type')).toBe('application/json')
  expect(t.body).toMatchObject({ action_id: expect.any(String), run_id: expect.any(String) })
  seen.add(tag)
}

describe('each outcome has its status and its fields', () => {
  test('executed', async () => {
    const g = await gateway()
    told(await g.dispatch({ id: 'a', action_type: 'x' }), 200, 'executed', {
      action_id: 'a',
      provider: 'out',
      attempts: 1,
      guarantee: 'at_least_once',
      response: { status: 200, body: { ok: true } },
    })
  })
  test('rerouted by a rule', async () => {
    const g = await gateway()
    told(await g.dispatch({ action_type: 'alert' }), 200, 'rerouted', {
      rule: 'elsewhere',
      provider: 'other',
      original_provider: 'out',
      reason: 'rule',
    })
  })
  test('suppressed and denied, with their reasons', async () => {
    const g = await gateway()
    told(await g.dispatch({ action_type: 'noise' }), 200, 'suppressed', { rule: 'quiet', reason: 'too much' })
    told(await g.dispatch({ action_type: 'forbidden' }), 403, 'denied', { rule: 'never', reason: 'unsigned' })
  })
  test('deduplicated', async () => {
    const g = await gateway()
    await g.dispatch({ id: 'first', action_type: 'once', dedup_key: 'k' })
    told(await g.dispatch({ id: 'second', action_type: 'once', dedup_key: 'k' }), 200, 'deduplicated', {
      rule: 'once',
      action_id: 'second',
      first_action_id: 'first',
      first_outcome: 'executed',
      expires_at: '2026-01-05T12:01:00.000Z',
    })
  })
  test('throttled, with when to come back in whole seconds and the RateLimit fields', async () => {
    const g = await gateway()
    await g.dispatch({ action_type: 'burst' })
    await g.advance(500)
    await g.dispatch({ action_type: 'burst' })
    const third = await g.dispatch({ action_type: 'burst' })
    told(third, 429, 'throttled', {
      rule: 'at-most-two',
      retry_after_ms: 9500,
      limit: 2,
      window_seconds: 10,
      message: 'slow down',
    })
    expect(third.headers.get('retry-after')).toBe('10')
    expect(third.headers.get('ratelimit-policy')).toBe('"at-most-two";q=2;w=10')
    expect(third.headers.get('ratelimit')).toBe('"at-most-two";r=0;t=10')
    await g.advance(9500)
    expect((await g.dispatch({ action_type: 'burst' })).status).toBe(200)
  })
  test('quota_exceeded, with the quota and when it begins anew', async () => {
    const g = await gateway()
    await g.ask('PUT', '/v1/quotas/größe%20"1"', { max_actions: 1, window: 'hourly' })
    await g.dispatch({ action_type: 'x' })
    const second = await g.dispatch({ action_type: 'x' })
    told(second, 429, 'quota_exceeded', {
      quota: 'größe "1"',
      limit: 1,
      used: 1,
      resets_at: '2026-01-05T13:00:00.000Z',
    })
    expect(second.headers.get('retry-after')).toBe('3600')
    expect(second.headers.get('ratelimit')).toBe('"gr%C3%B6%C3%9Fe %221%22";r=0;t=3600')
    expect(second.headers.get('ratelimit-policy')).toBe('"gr%C3%B6%C3%9Fe %221%22";q=1')
  })
  test('grouped, scheduled, chain_started', async () => {
    const g = await gateway()
    const grouped = await g.dispatch({ action_type: 'humidity', payload: { floor: 3 } })
    told(grouped, 202, 'grouped', { rule: 'by-floor', group_size: 1, notify_at: '2026-01-05T12:00:30.000Z' })
    expect(grouped.body.group_id).toEqual(expect.any(String))
    const scheduled = await g.dispatch({ action_type: 'energy' })
    told(scheduled, 202, 'scheduled', { rule: 'later', scheduled_for: '2026-01-05T12:01:00.000Z' })
    expect(scheduled.body.hold_id).toEqual(expect.any(String))
    const chain = await g.dispatch({ action_type: 'reading' })
    told(chain, 202, 'chain_started', { rule: 'steps', chain_name: 'two-steps', total_steps: 2, first_step: 'first' })
    expect(chain.body.chain_id).toEqual(expect.any(String))
  })
  test('accepted: answered when stored, delivered off the path', async () => {
    const hand = held()
    const g = await gateway({ providers: { out: [hand.answer], other: [OK] } })
    const t = await g.dispatch({ id: 'a', action_type: 'x' }, { prefer: 'wait=5, Respond-Async' })
    told(t, 202, 'accepted', {})
    expect(t.headers.get('preference-applied')).toBe('respond-async')
    expect((await g.ask('GET', '/v1/actions/a')).body).toMatchObject({ status: 'delivering' })
    hand.finish(OK)
    await g.gateway.idle()
    expect((await g.ask('GET', '/v1/actions/a')).body).toMatchObject({
      status: 'ended',
      records: [{ outcome: 'executed' }],
    })
  })
  test('circuit_open, and rerouted where a fallback answers', async () => {
    const g = await gateway({ providers: { out: [refused()], other: [OK] } })
    await g.dispatch({ action_type: 'x' })
    await g.dispatch({ action_type: 'x' })
    const open = await g.dispatch({ action_type: 'x' })
    told(open, 503, 'circuit_open', { provider: 'out', tried: ['out'], dead_letter_id: expect.any(String) })
    expect(open.headers.get('retry-after')).toBe('30')

    const toml = `${TOML}\n[circuit_breaker.providers.out]\nfallback_provider = "other"\n`
    const f = await gateway({ toml, providers: { out: [refused()], other: [OK] } })
    await f.dispatch({ action_type: 'x' })
    told(await f.dispatch({ action_type: 'x' }), 200, 'rerouted', {
      provider: 'other',
      original_provider: 'out',
      reason: 'circuit_open',
    })
  })
  test('failed is 502, and 504 when it timed out', async () => {
    const g = await gateway({
      providers: { out: [badRequest(), serverError(), () => new Promise(() => {})], other: [OK] },
    })
    told(await g.dispatch({ action_type: 'x' }), 502, 'failed', {
      provider: 'out',
      code: 'http_400',
      message: 'bad',
      retryable: false,
      attempts: 1,
      dead_letter_id: expect.any(String),
    })
    told(await g.dispatch({ action_type: 'x' }), 502, 'failed', { code: 'http_500', retryable: true, unknown: true })
    const late = g.dispatch({ action_type: 'x' })
    await g.advance(5000)
    told(await late, 504, 'failed', { code: 'timeout', retryable: true, timeout: true })
  })
  test('failed with what the other side asked for is told when to come back', async () => {
    const g = await gateway({ providers: { out: [unavailable(2300)], other: [OK] } })
    const t = await g.dispatch({ action_type: 'x' })
    told(t, 502, 'failed', { code: 'http_503', retry_after_ms: 2300 })
    expect(t.headers.get('retry-after')).toBe('3')
  })
  test('dry_run tells the outcome it would have, and does nothing', async () => {
    const g = await gateway()
    const t = await g.dispatch({ id: 'a', action_type: 'alert' }, {}, '?dry_run=true&trace=true')
    told(t, 200, 'dry_run', { verdict: 'rerouted', provider: 'other', rule: 'elsewhere' })
    expect(t.body.trace).toEqual(
      expect.arrayContaining([expect.objectContaining({ rule: 'elsewhere', matched: true })]),
    )
    expect(g.providers.other!.sent).toHaveLength(0)
    expect(await g.records()).toEqual([])
    expect((await g.ask('GET', '/v1/actions/a')).status).toBe(404)
  })
  test('PITFALLS 8: dry run, evaluate and the live dispatch tell the same trace', async () => {
    const g = await gateway()
    const action = { action_type: 'alert' }
    const dry = await g.dispatch(action, {}, '?dry_run=true&trace=true')
    const asked = await g.ask('POST', '/v1/rules/evaluate', action)
    const live = await g.dispatch(action, {}, '?trace=true')
    expect(asked.body.trace).toEqual(dry.body.trace)
    expect(live.body.trace).toEqual(dry.body.trace)
    expect(live.body.outcome).toBe(dry.body.verdict)
  })
  test('hot: the rule has run too often and is off in this scope', async () => {
    const g = await gateway({ set: ['hot_rules.mode=disable', 'hot_rules.rule_limit.count=1'] })
    await g.dispatch({ action_type: 'alert' })
    told(await g.dispatch({ id: 'a', action_type: 'alert' }), 409, 'hot', {
      rule: 'elsewhere',
      disable_details: {
        at: '2026-01-05T12:00:00.000Z',
        why: 'rule "elsewhere" has had more than 1 run in PT30S',
        limit: 'rule_limit',
        count: 1,
        window: 'PT30S',
        action_id: 'a',
        run_id: expect.any(String),
      },
    })
  })
  test('loop_detected, with the way round', async () => {
    const g = await gateway()
    const run = '019b8d8e-0000-7000-8000-000000000001'
    const lineage = g.signer.sign({ origin: run, passed: ['rule:elsewhere', 'chain:two-steps'], hops: 0 })
    told(await g.dispatch({ action_type: 'alert' }, { 'signalbox-lineage': lineage }), 508, 'loop_detected', {
      rule: 'elsewhere',
      reason: 'rule "elsewhere" has been passed before',
      cycle: ['rule:elsewhere', 'chain:two-steps', 'rule:elsewhere'],
    })
  })
  test('every tag of the closed list was seen', () => {
    expect([...seen].sort()).toEqual([...outcomeTags].sort())
  })
})
