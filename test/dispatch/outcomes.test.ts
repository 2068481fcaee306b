import { describe, expect, it } from 'vitest'
import { httpStatus } from '../../src/core/outcome.ts'
import { SCOPE, testHouse } from '../fakes/house.ts'
import {
  badRequest,
  OK,
  refused,
  type Scripted,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { rule, rules, type } from './build.ts'

const RULES = rules(
  rule('clean', 1, '{ type: modify, changes: { clean: true } }'),
  rule('once', 2, '{ type: deduplicate, ttl_seconds: 60 }', type('dup')),
  rule('slow', 3, '{ type: throttle, max_count: 1, window_seconds: 60, message: not so fast }', type('many')),
  rule('no', 4, '{ type: deny, reason: never }', type('bad')),
  rule('drop', 4, '{ type: suppress, reason: noise }', type('noise')),
  rule('some', 4, '{ type: group, group_by: [payload.x] }', type('grouped')),
  rule('later', 4, '{ type: schedule, delay_seconds: 60 }', type('later')),
  rule('go', 4, '{ type: chain, chain: c }', type('chain')),
  rule('else', 4, '{ type: reroute, target_provider: other }', type('elsewhere')),
  rule('same', 4, '{ type: reroute, target_provider: hook }', type('same')),
)
const CHAINS =
  '[[chains.definitions]]\nname = "c"\n[[chains.definitions.steps]]\nname = "s"\nprovider = "other"\naction_type = "x"\n[[chains.definitions.steps]]\nname = "t"\nprovider = "other"\naction_type = "x"\n'
const world = async (script: readonly Scripted[] = [OK], more: Parameters<typeof testHouse>[0] = {}) => {
  const hook = scriptedProvider('hook', script)
  const other = scriptedProvider('other', [{ status: 201, body: { at: 'other' } }])
  const house = await testHouse({ providers: [hook, other], rules: RULES, chains: CHAINS, loops: false, ...more })
  const send = (action_type: string, more: object = {}, request = {}) =>
    house.dispatch({ action_type, provider: 'hook', id: 'one', payload: { x: 1 }, ...more }, request)
  return { hook, other, house, send }
}
const id = expect.any(String)
const base = { action_id: 'one', run_id: id }

describe('each outcome with its fields, and its audit record', () => {
  it('executed 200', async () => {
    const { house, send } = await world()
    const told = await send('a')
    expect(told).toEqual({
      ...base,
      outcome: 'executed',
      provider: 'hook',
      attempts: 1,
      guarantee: 'at_least_once',
      response: { status: 200, body: { ok: true } },
    })
    expect(httpStatus(told)).toBe(200)
    expect(await house.records()).toEqual([
      {
        id: told.run_id,
        kind: 'dispatch',
        namespace: 'default',
        tenant: 'default',
        action_id: 'one',
        run_id: told.run_id,
        provider: 'hook',
        requested_provider: 'hook',
        action_type: 'a',
        outcome: 'executed',
        rules_version: house.rules.current().version,
        matched: ['clean'],
        payload: { x: 1, clean: true },
        metadata: {},
        details: { attempts: 1, guarantee: 'at_least_once', response: { status: 200, body: { ok: true } } },
        caller: 'anonymous',
        received_at: '2026-01-05T12:00:00.000Z',
        completed_at: '2026-01-05T12:00:00.000Z',
        duration_ms: 0,
      },
    ])
    expect(house.observed).toMatchObject([{ outcome: told, about: { kind: 'dispatch', provider: 'hook' } }])
  })

  it('exactly_once where the provider declares a window; PITFALLS 78: only there', async () => {
    const fifo = scriptedProvider('hook', [unavailable(), OK], { dedupWindowMs: 1000 })
    const { send } = await world([], { providers: [fifo, scriptedProvider('other')] })
    expect(await send('a')).toMatchObject({ outcome: 'failed' })
    expect(await send('a')).toMatchObject({ guarantee: 'exactly_once' })
  })

  it('rerouted 200: by a rule, also to the action’s own provider', async () => {
    const { house, send } = await world()
    expect(await send('elsewhere')).toEqual({
      ...base,
      rule: 'else',
      outcome: 'rerouted',
      provider: 'other',
      original_provider: 'hook',
      reason: 'rule',
      attempts: 1,
      guarantee: 'at_least_once',
      response: { status: 201, body: { at: 'other' } },
    })
    expect(await send('same')).toMatchObject({ outcome: 'rerouted', provider: 'hook', original_provider: 'hook' })
    expect(await house.records()).toMatchObject([
      {
        outcome: 'rerouted',
        provider: 'other',
        requested_provider: 'hook',
        rule: 'else',
        matched: ['clean', 'else'],
        details: { original_provider: 'hook', reason: 'rule' },
      },
      { rule: 'same' },
    ])
  })

  it('rerouted 200: by a fallback, when the breaker refuses', async () => {
    const { house, send, hook } = await world([refused()], {
      toml: '[circuit_breaker]\nfailure_threshold = 1\n[circuit_breaker.providers.hook]\nfallback_provider = "other"\n',
    })
    // The attempt that opens it takes the fallback too.
    for (const attempts of [2, 1])
      expect(await send('a')).toMatchObject({
        outcome: 'rerouted',
        provider: 'other',
        original_provider: 'hook',
        reason: 'circuit_open',
        attempts,
      })
    expect(hook.sent).toHaveLength(1)
    expect(await house.records()).toMatchObject([
      { provider: 'other', requested_provider: 'hook', outcome: 'rerouted' },
      { provider: 'other' },
    ])
    expect(await house.stored('dead_letter')).toEqual([])
  })

  it('suppressed 200, denied 403', async () => {
    const { house, send } = await world()
    const quiet = await send('noise')
    const no = await send('bad')
    expect(quiet).toEqual({ ...base, rule: 'drop', outcome: 'suppressed', reason: 'noise' })
    expect(no).toEqual({ ...base, rule: 'no', outcome: 'denied', reason: 'never' })
    expect([httpStatus(quiet), httpStatus(no)]).toEqual([200, 403])
    const records = await house.records()
    expect(records).toMatchObject([
      { outcome: 'suppressed', rule: 'drop', matched: ['clean', 'drop'], details: { reason: 'noise' } },
      { outcome: 'denied', rule: 'no', details: { reason: 'never' }, requested_provider: 'hook' },
    ])
    expect(records[0]).not.toHaveProperty('provider')
  })

  it('deduplicated 200, with its details', async () => {
    const { house, send } = await world()
    await send('dup', { id: 'zero', dedup_key: 'k' })
    const told = await send('dup', { dedup_key: 'k' })
    const fields = {
      dedup_key: 'k',
      first_action_id: 'zero',
      first_outcome: 'executed',
      expires_at: '2026-01-05T12:01:00.000Z',
    }
    expect(told).toEqual({ ...base, rule: 'once', outcome: 'deduplicated', ...fields })
    expect((await house.records())[1]).toMatchObject({ outcome: 'deduplicated', rule: 'once', details: fields })
  })

  it('throttled 429', async () => {
    const { house, send } = await world()
    await send('many')
    const told = await send('many')
    const fields = { retry_after_ms: 60_000, limit: 1, window_seconds: 60, message: 'not so fast' }
    expect(told).toEqual({ ...base, rule: 'slow', outcome: 'throttled', ...fields })
    expect(httpStatus(told)).toBe(429)
    expect((await house.records())[1]).toMatchObject({ outcome: 'throttled', rule: 'slow', details: fields })
  })

  it('quota_exceeded 429; over it with warn: executed, and told', async () => {
    const { house, send } = await world()
    await house.quotas.put(
      SCOPE,
      'soft',
      { max_actions: 1, window: 'daily', overage_behavior: 'warn' },
      { caller: 'me' },
    )
    await house.quotas.put(
      SCOPE,
      'hard',
      { max_actions: 2, window: 'daily', overage_behavior: 'block' },
      { caller: 'me' },
    )
    expect(await send('a')).not.toHaveProperty('warnings')
    const warned = await send('noise')
    expect(warned).toMatchObject({ outcome: 'suppressed' })
    expect(await send('grouped')).toMatchObject({
      warnings: ['quota_exceeded: quota "soft" is at 2 of 1 until 2026-01-06T00:00:00.000Z'],
    })
    const told = await send('a')
    expect(told).toEqual({
      ...base,
      outcome: 'quota_exceeded',
      quota: 'hard',
      limit: 2,
      used: 2,
      resets_at: '2026-01-06T00:00:00.000Z',
      retry_after_ms: 43_200_000,
    })
    expect(httpStatus(told)).toBe(429)
  })

  it('grouped, scheduled, chain_started 202', async () => {
    const { house, send } = await world()
    const grouped = await send('grouped')
    expect(grouped).toEqual({
      ...base,
      rule: 'some',
      outcome: 'grouped',
      group_id: id,
      group_size: 1,
      notify_at: '2026-01-05T12:00:30.000Z',
    })
    const scheduled = await send('later')
    expect(scheduled).toEqual({
      ...base,
      rule: 'later',
      outcome: 'scheduled',
      hold_id: id,
      scheduled_for: '2026-01-05T12:01:00.000Z',
    })
    const started = await send('chain')
    expect(started).toEqual({
      ...base,
      rule: 'go',
      outcome: 'chain_started',
      chain_id: id,
      chain_name: 'c',
      total_steps: 2,
      first_step: 's',
    })
    expect([grouped, scheduled, started].map(httpStatus)).toEqual([202, 202, 202])
    const records = (await house.records()).filter((r) => r.kind === 'dispatch')
    expect(records).toMatchObject([
      { outcome: 'grouped', rule: 'some', details: { group_id: id } },
      { outcome: 'scheduled', rule: 'later', details: { hold_id: id, scheduled_for: '2026-01-05T12:01:00.000Z' } },
      { outcome: 'chain_started', rule: 'go', chain_id: 'chain_id' in started ? started.chain_id : '' },
    ])
    expect(records.every((r) => r.provider === undefined)).toBe(true)
  })

  it('circuit_open 503, tried in order', async () => {
    const { house, send } = await world([OK], {
      toml: '[circuit_breaker.providers.hook]\nfallback_provider = "other"\n',
    })
    for (const name of ['hook', 'other']) await house.breakers.trip(name, { by: 'me' })
    const told = await send('a')
    expect(told).toEqual({
      ...base,
      outcome: 'circuit_open',
      provider: 'hook',
      tried: ['hook', 'other'],
      retry_after_ms: 60_000,
      dead_letter_id: id,
    })
    expect(httpStatus(told)).toBe(503)
    expect(await house.stored('dead_letter')).toMatchObject([
      { code: 'circuit_open', told_caller: true, unknown: false },
    ])
    expect(await house.records()).toMatchObject([{ outcome: 'circuit_open', details: { dead_letter_id: id } }])
  })

  it('failed 502, and 504 on a timeout', async () => {
    const { house, send } = await world([badRequest(), serverError(), () => new Promise<never>(() => {})])
    const bad = await send('a')
    expect(bad).toEqual({
      ...base,
      outcome: 'failed',
      provider: 'hook',
      code: 'http_400',
      message: 'bad',
      retryable: false,
      unknown: false,
      timeout: false,
      attempts: 1,
      response: { status: 400, body: { why: 'bad' } },
      dead_letter_id: id,
    })
    expect(await send('a')).toMatchObject({ outcome: 'failed', code: 'http_500', unknown: true, retryable: true })
    const late = send('a')
    await house.env.clock.advance(11_000)
    const told = await late
    expect(told).toMatchObject({ outcome: 'failed', timeout: true, unknown: true })
    expect([bad, told].map(httpStatus)).toEqual([502, 504])
    expect((await house.stored('dead_letter')).length).toBe(3)
  })

  it('a provider nobody has, and none at all, are 422 with nothing stored', async () => {
    const { house } = await world()
    await expect(house.dispatch({ action_type: 'a', provider: 'hok' })).rejects.toMatchObject({
      status: 422,
      code: 'provider_unknown',
      errors: [{ pointer: '/provider', message: 'no provider has this name; did you mean "hook"?' }],
    })
    await expect(house.dispatch({ action_type: 'a' })).rejects.toMatchObject({ status: 422, code: 'provider_required' })
    expect(await house.records()).toEqual([])
    expect(await house.dispatch({ action_type: 'elsewhere' })).toMatchObject({ outcome: 'rerouted', provider: 'other' })
  })

  it('?trace=true tells why, and is no part of the record', async () => {
    const { house, send } = await world()
    const told = await send('noise', {}, { trace: true })
    expect(told).toMatchObject({
      trace: expect.arrayContaining([expect.objectContaining({ rule: 'drop', matched: true })]),
    })
    expect(JSON.stringify(await house.records())).not.toContain('trace')
  })
})

describe('redaction', () => {
  const hidden = '[audit.redact]\nfields = ["secret", "user.email"]\n'
  const leaky: Scripted = { status: 200, body: { secret: 'S3CR3T', user: { email: 'E-MAIL' }, fine: 1 } }
  const payload = { secret: 'S3CR3T', user: { email: 'E-MAIL', name: 'ann' }, deep: [{ secret: 'S3CR3T' }] }

  it('PITFALLS 52, 75: audit, stored answers, letters and places are redacted; what is sent is not', async () => {
    const { house, send, hook } = await world([leaky, serverError(), leaky], { toml: hidden })
    await send('a', { payload, metadata: { secret: 'S3CR3T', zone: 'z' } }, { key: 'k' })
    const again = await send('a', { payload, metadata: { secret: 'S3CR3T', zone: 'z' } }, { key: 'k' })
    expect(again).toMatchObject({
      response: { body: { secret: '[REDACTED]', user: { email: '[REDACTED]' }, fine: 1 } },
    })
    await send('a', { id: 'two', payload })
    await send('later', { id: 'three', payload })
    const { whereIs } = await import('../../src/dispatch/where.ts')
    const seen = [
      await house.records(),
      again,
      ...(await Promise.all(
        ['one', 'two', 'three'].map((action) =>
          whereIs(
            { state: house.state, audit: house.audit, chains: house.chains, redact: house.redact },
            SCOPE,
            action,
          ),
        ),
      )),
      (await house.schedules.list(SCOPE, { limit: 10 })).scheduled,
      house.env.logged,
    ]
    const text = JSON.stringify(seen)
    expect(text).not.toContain('S3CR3T')
    expect(text).not.toContain('E-MAIL')
    expect(text).toContain('ann')
    expect(hook.sent[0]?.request).toMatchObject({ payload })
    await house.env.clock.advance(61_000)
  })

  it('store_payload = false keeps the payload out of the audit, and nothing else', async () => {
    const { house, send } = await world([OK], { toml: '[audit]\nstore_payload = false\n' })
    await send('a')
    const [record] = await house.records()
    expect(record).not.toHaveProperty('payload')
    expect(record).toMatchObject({ outcome: 'executed', metadata: {} })
  })

  it('audit.enabled = false writes no record, and everything else works', async () => {
    const { house, send } = await world([OK], { toml: '[audit]\nenabled = false\n', loops: true })
    expect(await send('a')).toMatchObject({ outcome: 'executed' })
    expect(await send('bad')).toMatchObject({ outcome: 'denied' })
    expect(await send('later')).toMatchObject({ outcome: 'scheduled' })
    await house.env.clock.advance(62_000)
    expect(await house.records()).toEqual([])
    expect(await house.stored('scheduled')).toEqual([])
  })
})
