import { describe, expect, test } from 'vitest'
import { ProviderError } from '../../src/core/errors.ts'
import {
  badRequest,
  deaf,
  OK,
  receiver,
  refused,
  type ScriptedProvider,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { action, setUp } from './set-up.ts'

describe('one provider', () => {
  test('executed: the stored bytes under the token, the answer as it came', async () => {
    const s = setUp({ p: { script: [{ status: 202, body: { id: 7 } }] } })
    expect(await s.start()).toEqual({
      kind: 'executed',
      provider: 'p',
      attempts: 1,
      guarantee: 'at_least_once',
      response: { status: 202, body: { id: 7 } },
      fallback: false,
    })
    expect(s.p.sent).toMatchObject([{ request: { stored: 'bytes' }, token: 'token-1' }])
    expect(s.clock.pending).toBe(0)
  })
  test('PITFALLS 64: every attempt sends the same bytes under one token', async () => {
    const r = receiver()
    const s = setUp({ p: { script: [r.accept(serverError()), r.accept(unavailable()), r.accept()] } })
    expect(await s.run()).toMatchObject({ kind: 'executed', attempts: 3 })
    expect([...r.effects]).toEqual([['token-1', { stored: 'bytes' }]])
    expect(r.taken).toBe(3)
  })
  test('max_retries are the attempts after the first; the last error is told', async () => {
    const s = setUp({ p: { script: [serverError()], maxRetries: 2 } })
    expect(await s.run()).toEqual({
      kind: 'failed',
      provider: 'p',
      code: 'http_500',
      message: 'failed',
      retryable: true,
      unknown: true,
      timeout: false,
      attempts: 3,
      firstAttemptAt: Date.UTC(2026, 0, 5, 12),
      response: { status: 500, body: 'oh' },
    })
    expect(s.p.sent).toHaveLength(3)
    expect(await setUp({ p: { script: [refused()], maxRetries: 0 } }).run()).toMatchObject({ attempts: 1 })
  })
  test('PITFALLS 30: a 500 is a failure, and only retryable errors are tried again', async () => {
    const s = setUp({ p: { script: [badRequest()] } })
    expect(await s.run()).toMatchObject({
      kind: 'failed',
      code: 'http_400',
      retryable: false,
      unknown: false,
      attempts: 1,
      response: { status: 400, body: { why: 'bad' } },
    })
    expect(s.p.sent).toHaveLength(1)
    expect((await setUp({ p: { script: [serverError()], maxRetries: 0 } }).run()).kind).toBe('failed')
  })
  test('unknown is not failed: one attempt that may have been acted on marks the end, also after definite ones', async () => {
    const s = setUp({ p: { script: [serverError(), refused(), badRequest()] } })
    expect(await s.run()).toMatchObject({ kind: 'failed', code: 'http_400', unknown: true, attempts: 3 })
    expect(await setUp({ p: { script: [badRequest()] } }).run({ unknown: true })).toMatchObject({ unknown: true })
  })
  test('a timeout, also of a provider that does not heed its signal: retryable, unknown, and in time', async () => {
    const s = setUp({ p: { script: [deaf], maxRetries: 0, timeoutMs: 700 } })
    const end = s.start()
    await s.clock.advance(699)
    expect(s.p.inFlight).toBe(1)
    await s.clock.advance(1)
    expect(await end).toMatchObject({ kind: 'failed', code: 'timeout', timeout: true, unknown: true, retryable: true })
    expect(s.p.sent[0]!.signal.aborted).toBe(true)
    expect(s.delivery.health()[0]).toMatchObject({ in_flight: 0 })
  })
  test('a provider that throws something else: failed, provider_fault, unknown; its text stays in the log', async () => {
    const s = setUp({ p: { script: [new TypeError('secret of the inside')] } })
    const end = await s.run()
    expect(end).toMatchObject({ kind: 'failed', code: 'provider_fault', retryable: false, unknown: true, attempts: 1 })
    expect(JSON.stringify(end)).not.toContain('secret')
    expect(s.env.logged).toMatchObject([{ level: 'error', fields: { provider: 'p' } }])
    const thrower = {
      ...scriptedProvider('p'),
      send: () => {
        throw new RangeError('not even a promise')
      },
    }
    const t = setUp({ p: { provider: thrower as unknown as ScriptedProvider } })
    expect(await t.run()).toMatchObject({ kind: 'failed', code: 'provider_fault' })
  })
  test('an unknown provider is a failure, not a crash', async () => {
    const s = setUp({ p: {} })
    expect(await s.start({ provider: 'nobody', fallback: 'p' })).toMatchObject({
      kind: 'failed',
      code: 'provider_unknown',
      retryable: true,
      attempts: 0,
    })
    expect(s.p.sent).toHaveLength(0)
    expect(() => s.delivery.render(action, 'nobody', 't')).toThrow(ProviderError)
  })
})

describe('back-off and deadline', () => {
  test('waits between attempts with full jitter, no longer than the deadline allows', async () => {
    const s = setUp({ p: { script: [refused()], maxRetries: 1000 } })
    const began = s.clock.now()
    let ended = 0
    const end = s.start({ deadline: began + 5000 }).then((e) => {
      ended = s.clock.now()
      return e
    })
    await s.clock.advance(20_000)
    expect(await end).toMatchObject({ kind: 'failed', code: 'connection_refused', retryable: true })
    expect(ended).toBeLessThan(began + 5000)
    expect(s.p.sent.length).toBeGreaterThan(3)
  })
  test('an attempt under way is cut at the deadline', async () => {
    const s = setUp({ p: { script: [deaf], timeoutMs: 60_000 } })
    const end = s.start({ deadline: s.clock.now() + 300 })
    await s.clock.advance(300)
    expect(await end).toMatchObject({ kind: 'failed', code: 'timeout', attempts: 1 })
  })
  test('a deadline that has passed: nothing is sent, and nothing unknown', async () => {
    const s = setUp({ p: {} })
    expect(await s.start({ deadline: s.clock.now() })).toMatchObject({
      kind: 'failed',
      code: 'deadline_exceeded',
      timeout: true,
      unknown: false,
      attempts: 0,
    })
    expect(s.p.sent).toHaveLength(0)
  })
  test('Retry-After is waited for; one beyond the deadline ends it at once and is passed on', async () => {
    const s = setUp({ p: { script: [unavailable(4000), OK] } })
    const end = s.start()
    await s.clock.advance(3999)
    expect(s.p.sent).toHaveLength(1)
    await s.clock.advance(10_000)
    expect(await end).toMatchObject({ kind: 'executed', attempts: 2 })
    const t = setUp({ p: { script: [unavailable(61_000)] } })
    expect(await t.start()).toMatchObject({ kind: 'failed', code: 'http_503', attempts: 1, retryAfterMs: 61_000 })
  })
  test('Retry-After holds for every delivery to that provider, and only that one', async () => {
    const s = setUp({ p: { script: [unavailable(5000), OK], maxRetries: 0 }, q: {} })
    await s.start()
    const second = s.start()
    expect(await s.start({ provider: 'q' })).toMatchObject({ kind: 'executed', provider: 'q' })
    await s.clock.advance(4999)
    expect(s.p.sent).toHaveLength(1)
    await s.clock.advance(1)
    expect(await second).toMatchObject({ kind: 'executed' })
    const t = setUp({ p: { script: [unavailable(50_000)], maxRetries: 0 } })
    await t.start()
    expect(await t.start({ deadline: t.clock.now() + 40_000 })).toMatchObject({
      kind: 'failed',
      code: 'rate_limited',
      retryAfterMs: 50_000,
      attempts: 0,
      unknown: false,
    })
  })
})

describe('bulkhead and rate limit', () => {
  test('PITFALLS 32: a slow provider starves nobody else', async () => {
    const s = setUp({ p: { script: [deaf], maxConcurrent: 2, timeoutMs: 30_000, maxRetries: 0 }, q: {} })
    const slow = Array.from({ length: 10 }, () => s.start())
    await s.clock.settle()
    expect(s.p.inFlight).toBe(2)
    expect(await s.start({ provider: 'q' })).toMatchObject({ kind: 'executed' })
    await s.clock.advance(60_000)
    const ends = await Promise.all(slow)
    // Two at a time, 30 s each: those whose turn did not come in a minute have sent nothing, and say so.
    expect(ends.map((e) => (e.kind === 'failed' ? e.code : e.kind))).toEqual([
      ...Array(4).fill('timeout'),
      ...Array(6).fill('deadline_exceeded'),
    ])
    expect(s.p.mostInFlight).toBe(4) // two of them abandoned, as this provider ignores its signal
  })
  test('PITFALLS 32: no slot is held during back-off', async () => {
    const s = setUp({ p: { script: [unavailable(), OK, OK], maxConcurrent: 1 } })
    const first = s.start()
    await s.clock.settle()
    expect(s.delivery.health()[0]).toMatchObject({ in_flight: 0 })
    expect(await s.start()).toMatchObject({ kind: 'executed', attempts: 1 })
    await s.clock.advance(1000)
    expect(await first).toMatchObject({ kind: 'executed', attempts: 2 })
  })
  test('the rate limit spaces attempts, retries included', async () => {
    const s = setUp({ p: { rateLimit: { perSecond: 2, burst: 1 } } })
    const at: number[] = []
    const all = [1, 2, 3, 4].map(() => s.start().then(() => at.push(s.clock.now())))
    const began = s.clock.now()
    await s.clock.advance(5000)
    await Promise.all(all)
    expect(at.map((t) => t - began)).toEqual([0, 500, 1000, 1500])
  })
  test('slots are free again whatever happened', async () => {
    const script = [refused(), badRequest(), new Error('odd'), deaf, OK]
    const s = setUp({ p: { script, maxConcurrent: 1, maxRetries: 0 } })
    for (let i = 0; i < script.length; i++) {
      const end = s.start()
      await s.clock.advance(1000)
      await end
    }
    expect(s.delivery.health()[0]).toMatchObject({ in_flight: 0, waiting: 0, attempts: 5, failures: 4 })
  })
})
