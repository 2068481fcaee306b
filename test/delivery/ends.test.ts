import { describe, expect, test } from 'vitest'
import { ProviderError } from '../../src/core/errors.ts'
import type { Route } from '../../src/delivery/route.ts'
import {
  deaf,
  held,
  OK,
  receiver,
  refused,
  type Scripted,
  scriptedProvider,
  serverError,
  unavailable,
} from '../fakes/provider.ts'
import { setUp } from './set-up.ts'

describe('guarantee', () => {
  const fifo = (script: readonly Scripted[], dedupWindowMs = 300_000) =>
    scriptedProvider('p', script, { dedupWindowMs })
  test('exactly_once: a declared window, every attempt begun inside it', async () => {
    const r = receiver()
    const s = setUp({ p: { provider: fifo([r.accept(serverError()), r.accept()]) } })
    expect(await s.run()).toMatchObject({ attempts: 2, guarantee: 'exactly_once' })
    expect(r.effects.size).toBe(1)
  })
  test('PITFALLS 78: without a declared window it is at_least_once, also after one attempt', async () => {
    expect(await setUp({ p: {} }).run()).toMatchObject({ attempts: 1, guarantee: 'at_least_once' })
  })
  test('PITFALLS 78: an attempt begun after the window, counted from the first one before a crash', async () => {
    const at = (firstAttemptAt: number) => setUp({ p: { provider: fifo([OK], 5000) } }).run({ firstAttemptAt })
    const now = setUp({ p: {} }).clock.now()
    expect(await at(now - 4999)).toMatchObject({ guarantee: 'exactly_once' })
    expect(await at(now - 5000)).toMatchObject({ guarantee: 'at_least_once' })
    const s = setUp({ p: { provider: fifo([unavailable(6000), OK], 5000) } })
    expect(await s.run()).toMatchObject({ attempts: 2, guarantee: 'at_least_once' })
  })
  test('PITFALLS 78: an attempt elsewhere that ended unknown; a definite one does not matter', async () => {
    const q = () => scriptedProvider('q', [OK], { dedupWindowMs: 300_000 })
    const s = setUp({ p: { script: [serverError()], fallback: 'q' }, q: { provider: q() } }, { p: 1 })
    expect(await s.run()).toMatchObject({ provider: 'q', guarantee: 'at_least_once' })
    expect(s.stored).toMatchObject([{ provider: 'q', unknownElsewhere: true }])
    const t = setUp({ p: { script: [refused()], fallback: 'q' }, q: { provider: q() } }, { p: 1 })
    expect(await t.run()).toMatchObject({ provider: 'q', guarantee: 'exactly_once' })
    const u = setUp({ p: { provider: fifo([OK]) } })
    expect(await u.run({ unknownElsewhere: true })).toMatchObject({ guarantee: 'at_least_once' })
  })
  test('the window of a fallback begins with its own first attempt', async () => {
    const q = scriptedProvider('q', [OK], { dedupWindowMs: 5000 })
    const s = setUp({ p: { script: [refused()], fallback: 'q' }, q: { provider: q } }, { p: 1 })
    const firstAttemptAt = s.clock.now() - 60_000
    expect(await s.run({ firstAttemptAt })).toMatchObject({ provider: 'q', guarantee: 'exactly_once' })
  })
})

describe('stopping', () => {
  test('in back-off: handed back with the time it would have gone on, at the provider it had come to', async () => {
    const s = setUp({ p: { script: [serverError()], fallback: 'q' }, q: { script: [unavailable(7000)] } }, { p: 1 })
    const began = s.clock.now()
    const end = s.start()
    await s.clock.advance(1000)
    s.stopping.abort()
    expect(await end).toEqual({
      kind: 'handed_back',
      dueAt: began + 7000,
      provider: 'q',
      attempts: 2,
      unknown: true,
      unknownElsewhere: true,
      firstAttemptAt: began,
    })
    expect(s.clock.pending).toBe(0)
  })
  test('waiting for a slot or a token: handed back, nothing sent', async () => {
    const s = setUp({ p: { script: [deaf], maxConcurrent: 1, maxRetries: 0 } })
    const under = s.start()
    const waits = s.start()
    await s.clock.settle()
    s.stopping.abort()
    expect(await waits).toMatchObject({ kind: 'handed_back', dueAt: s.clock.now(), attempts: 0, unknown: false })
    await s.clock.advance(1000)
    expect(await under).toMatchObject({ kind: 'failed', code: 'timeout' })
    const t = setUp({ p: { rateLimit: { perSecond: 0.5, burst: 1 } } })
    await t.start()
    const later = t.start()
    await t.clock.settle()
    t.stopping.abort()
    expect(await later).toMatchObject({ kind: 'handed_back', dueAt: t.clock.now() + 2000 })
    expect(t.p.sent).toHaveLength(1)
  })
  test('an attempt under way is let finish', async () => {
    const h = held()
    const s = setUp({ p: { script: [h.answer] } })
    const end = s.start()
    await s.clock.settle()
    s.stopping.abort()
    await s.clock.settle()
    h.finish(OK)
    expect(await end).toMatchObject({ kind: 'executed' })
  })
})

test('a delivery that has waited leaves no listener behind: the signal of the process’s stop lasts as long as it', async () => {
  const s = setUp({ p: { script: [refused(), OK], maxConcurrent: 1, rateLimit: { perSecond: 1, burst: 1 } } })
  const listening = [s.stopping.signal, s.lost.signal].map((signal) => {
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    const those = new Set<unknown>()
    signal.addEventListener = (type: string, listener: () => void, options?: { once?: boolean }) => {
      those.add(listener)
      add(type, listener, options)
    }
    signal.removeEventListener = (type: string, listener: () => void) => {
      those.delete(listener)
      remove(type, listener)
    }
    return those
  })
  const ends = [s.start(), s.start(), s.start()]
  await s.clock.settle()
  expect(listening[0]?.size).toBeGreaterThan(0)
  await s.clock.advance(120_000)
  expect((await Promise.all(ends)).map((e) => e.kind)).toEqual(['executed', 'executed', 'executed'])
  expect(listening.map((those) => those.size)).toEqual([0, 0])
})

/** The breaker lets a probe through; `meanwhile` comes between its slot being taken and the attempt. */
async function probing(meanwhile: (s: ReturnType<typeof setUp>) => void | Promise<void>) {
  const s = setUp({ p: {} }, { p: 1 })
  await s.breakers.trip('p', { by: 'test' })
  await s.clock.advance(60_000)
  const { admit } = s.breakers
  s.breakers.admit = async (...of) => {
    const got = await admit(...of)
    await meanwhile(s)
    return got
  }
  return s
}

describe('PITFALLS 65: the claim is lost', () => {
  test('during an attempt: lost at once, the attempt cut, nothing more sent', async () => {
    const s = setUp({ p: { script: [deaf] } })
    const end = s.start()
    await s.clock.settle()
    s.lost.abort()
    expect(await end).toEqual({ kind: 'lost' })
    expect(s.p.sent[0]!.signal.aborted).toBe(true)
    await s.clock.advance(120_000)
    expect(s.p.sent).toHaveLength(1)
    expect(s.delivery.health()[0]).toMatchObject({ in_flight: 0 })
  })
  test('in back-off, waiting for a slot, waiting for a token, before the first byte', async () => {
    const cases = [
      setUp({ p: { script: [refused()] } }),
      setUp({ p: { script: [deaf], maxConcurrent: 1 } }),
      setUp({ p: { rateLimit: { perSecond: 0.01, burst: 1 } } }),
    ]
    for (const s of cases) {
      const ahead = s.start()
      const end = s.start()
      await s.clock.settle()
      const sent = s.p.sent.length
      s.lost.abort()
      expect(await end).toEqual({ kind: 'lost' })
      await ahead
      expect(await s.start()).toEqual({ kind: 'lost' })
      await s.clock.advance(120_000)
      expect(s.p.sent).toHaveLength(sent)
    }
  })
  test('while a probe’s slot is being taken: nothing is sent, and PITFALLS 34: the slot is free again', async () => {
    const s = await probing(async ({ breakers, lost }) => {
      expect(breakers.look('p').admitted).toBe(false)
      lost.abort()
    })
    expect(await s.start()).toEqual({ kind: 'lost' })
    expect([s.p.sent, s.breakers.look('p').admitted]).toEqual([[], true])
  })
  test('… and it lasted longer than the delivery may', async () => {
    const s = await probing(({ clock }) => clock.sleep(5_000))
    const end = s.start({ deadline: s.clock.now() + 4_000 })
    await s.clock.advance(6_000)
    expect(await end).toMatchObject({ kind: 'failed', code: 'deadline_exceeded', retryable: true, unknown: false })
    expect([s.p.sent, s.breakers.look('p').admitted]).toEqual([[], true])
  })
  test('while its fallback is being stored', async () => {
    const s = setUp({ p: { fallback: 'q' }, q: {} }, { p: 1 })
    await s.breakers.trip('p', { by: 'test' })
    const end = s.start({}, async () => {
      s.lost.abort()
      return true
    })
    expect(await end).toEqual({ kind: 'lost' })
    expect(s.providers.q!.sent).toHaveLength(0)
  })
})

describe('what is seen from outside', () => {
  test('health: counts, times, latencies of what succeeded, the last error', async () => {
    const slow: Scripted = async () => {
      await s.clock.sleep(40)
      return OK
    }
    const s = setUp({ p: { script: [slow, slow, refused()], maxRetries: 0 } })
    const t0 = s.clock.now()
    for (let i = 0; i < 3; i++) {
      const end = s.start()
      await s.clock.advance(100)
      await end
    }
    expect(s.delivery.health()).toEqual([
      {
        provider: 'p',
        type: 'scripted',
        in_flight: 0,
        waiting: 0,
        attempts: 3,
        failures: 1,
        last_success_at: new Date(t0 + 140).toISOString(),
        last_failure_at: new Date(t0 + 200).toISOString(),
        last_error: 'connection_refused',
        latency_p50_ms: 40,
        latency_p99_ms: 40,
      },
    ])
    expect(s.attempts).toEqual([
      { provider: 'p', result: 'success', durationMs: 40 },
      { provider: 'p', result: 'success', durationMs: 40 },
      { provider: 'p', result: 'retryable', code: 'connection_refused', durationMs: 0 },
    ])
  })
  test('test(): reachable, refused, hanging, faulty, unknown; nothing is sent and nothing counted', async () => {
    const check = (c?: (signal: AbortSignal) => Promise<void>) =>
      scriptedProvider('p', [OK], c === undefined ? {} : { check: c })
    const tried = async (c?: (signal: AbortSignal) => Promise<void>) => {
      const s = setUp({ p: { provider: check(c) } })
      const end = s.delivery.test('p')
      await s.clock.advance(5000)
      expect(s.p.sent).toHaveLength(0)
      expect(s.delivery.health()[0]).toMatchObject({ attempts: 0 })
      return end
    }
    expect(await tried()).toEqual({ ok: true, duration_ms: 0 })
    expect(await tried(() => Promise.reject(new ProviderError('denied', 'no')))).toEqual({
      ok: false,
      duration_ms: 0,
      code: 'denied',
      message: 'no',
    })
    expect(await tried(() => new Promise(() => {}))).toMatchObject({ ok: false, duration_ms: 1000, code: 'timeout' })
    expect(await tried(() => Promise.reject(new Error('x')))).toMatchObject({ ok: false, code: 'provider_fault' })
    expect(await setUp({ p: {} }).delivery.test('q')).toBeUndefined()
  })
  test('certain: no effect outside, no limit, breaker closed', async () => {
    const log = () => scriptedProvider('p', [OK], { hasEffect: false })
    expect(setUp({ p: {} }).delivery.certain('p')).toBe(false)
    expect(setUp({ p: {} }).delivery.certain('nobody')).toBe(false)
    const limited = { provider: log(), rateLimit: { perSecond: 1, burst: 1 } }
    expect(setUp({ p: limited }).delivery.certain('p')).toBe(false)
    const s = setUp({ p: { provider: log() } }, { p: 1 })
    expect(s.delivery.certain('p')).toBe(true)
    await s.breakers.trip('p', { by: 'test' })
    expect(s.delivery.certain('p')).toBe(false)
    await s.clock.advance(60_000) // waiting for its probe is not closed
    expect(s.delivery.certain('p')).toBe(false)
  })
})

describe('reload', () => {
  test('deliveries in flight finish on the old routes, and the caller learns when', async () => {
    const h = held()
    const s = setUp({ p: { script: [h.answer, OK] } })
    const old = s.start()
    await s.clock.settle()
    const fresh = scriptedProvider('p')
    const route: Route = { provider: fresh, timeoutMs: 1000, maxRetries: 0, maxConcurrent: 64 }
    let drained = false
    const update = s.delivery.update(new Map([['p', route]])).then(() => {
      drained = true
    })
    expect(await s.start()).toMatchObject({ kind: 'executed' })
    expect([fresh.sent.length, s.p.sent.length, drained]).toEqual([1, 1, false])
    h.finish(refused())
    await s.clock.advance(1000)
    expect(await old).toMatchObject({ kind: 'executed', attempts: 2 })
    expect(s.p.sent).toHaveLength(2)
    await update
    await s.delivery.update(new Map())
    expect(s.delivery.has('p')).toBe(false)
    expect(s.delivery.health()).toEqual([])
  })
  test('a test of a provider finishes on the old routes too', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const s = setUp({ p: { provider: scriptedProvider('p', [OK], { check: () => promise }) } })
    const tested = s.delivery.test('p')
    let drained = false
    const update = s.delivery.update(new Map()).then(() => {
      drained = true
    })
    await s.clock.settle()
    expect(drained).toBe(false)
    resolve()
    expect(await tested).toMatchObject({ ok: true })
    await update
  })
  test('new limits hold for what is in flight already', async () => {
    const s = setUp({ p: { script: [deaf], maxRetries: 0 } })
    const all = [s.start(), s.start()]
    await s.clock.settle()
    const route: Route = { ...s.routes.get('p')!, maxConcurrent: 1 }
    const drained = s.delivery.update(new Map([['p', route]]))
    const third = s.start()
    await s.clock.settle()
    expect(s.p.inFlight).toBe(2)
    await s.clock.advance(2000)
    await Promise.all([...all, drained, third])
    expect(s.p.sent).toHaveLength(3)
  })
})
