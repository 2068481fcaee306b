import { describe, expect, it } from 'vitest'
import { httpStatus } from '../../src/core/outcome.ts'
import { SCOPE } from '../fakes/house.ts'
import { badRequest, OK, refused, scriptedProvider, serverError, unavailable } from '../fakes/provider.ts'
import { rule, rules } from './build.ts'
import { world } from './outcome-world.ts'

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
        received: { payload: { x: 1 } },
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

  it('rerouted 200: by the fallback of a fallback, and from the first of them', async () => {
    const third = scriptedProvider('third')
    const { house, send } = await world([refused()], {
      providers: [scriptedProvider('hook', [refused()]), scriptedProvider('other', [refused()]), third],
      toml: '[circuit_breaker]\nfailure_threshold = 1\n[circuit_breaker.providers.hook]\nfallback_provider = "other"\n[circuit_breaker.providers.other]\nfallback_provider = "third"\n',
    })
    const told = {
      outcome: 'rerouted',
      provider: 'third',
      original_provider: 'hook',
      reason: 'circuit_open',
      attempts: 3,
    }
    expect(await send('a')).toMatchObject(told)
    expect(third.sent).toHaveLength(1)
    expect(await house.records()).toMatchObject([
      { provider: 'third', requested_provider: 'hook', details: { original_provider: 'hook' } },
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

  it('a chain that is switched off: failed, 502 chain_disabled; beside another end, a warning', async () => {
    const { house, send } = await world()
    await house.chains.setEnabled('c', false, { by: 'ann' })
    expect(await send('chain')).toMatchObject({
      outcome: 'failed',
      rule: 'go',
      code: 'chain_disabled',
      message: 'chain "c" is switched off',
      retryable: false,
    })
    house.writeRules(rules(rule('go', 4, '{ type: chain, chain: c, then: continue }')))
    await house.rules.reload()
    expect(await send('beside', { id: 'two' })).toMatchObject({
      outcome: 'executed',
      warnings: ['chain "c" is switched off; it was not started'],
    })
    await house.chains.setEnabled('c', true, { by: 'ann' })
    expect(await send('beside', { id: 'three' })).toMatchObject({ outcome: 'executed', chains: [{ chain_name: 'c' }] })
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
