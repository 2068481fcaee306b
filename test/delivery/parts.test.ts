import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/core/ids.ts'
import { RETRY_AFTER_MAX_MS } from '../../src/core/provider.ts'
import { backoffMs } from '../../src/delivery/backoff.ts'
import { createBulkhead } from '../../src/delivery/bulkhead.ts'
import { createCircuit } from '../../src/delivery/circuit.ts'
import { createRateLimiter } from '../../src/delivery/rate-limit.ts'
import { type Route, targets } from '../../src/delivery/route.ts'
import { fakeClock } from '../fakes/clock.ts'
import { scriptedProvider } from '../fakes/provider.ts'

const never = () => new AbortController().signal

describe('back-off', () => {
  test('full jitter under an exponential ceiling, at most max', () => {
    const b = { initialMs: 200, maxMs: 10_000 }
    expect([0, 1, 2, 5, 6, 60].map((r) => backoffMs(r, b, 0.999999))).toEqual([199, 399, 799, 6399, 9999, 9999])
    expect(backoffMs(3, b, 0)).toBe(0)
  })
  test('PITFALLS 33: two deliveries at the same attempt wait differently', () => {
    const random = seededRandom(1)
    const waits = Array.from({ length: 50 }, () => backoffMs(4, { initialMs: 200, maxMs: 10_000 }, random.float()))
    expect(new Set(waits).size).toBeGreaterThan(45)
  })
})

describe('bulkhead', () => {
  test('first come first served, nobody overtakes', async () => {
    const b = createBulkhead(2)
    expect([b.take(), b.take(), b.take()]).toEqual([true, true, false])
    const order: number[] = []
    const waits = [1, 2, 3].map((n) => b.wait(never()).then((ok) => ok && order.push(n)))
    expect(b.waiting).toBe(3)
    b.free()
    expect(b.take()).toBe(false)
    b.free()
    b.free()
    await Promise.all(waits)
    expect(order).toEqual([1, 2, 3])
    expect(b.inFlight).toBe(2)
  })
  test('who gives up leaves the queue and takes no slot', async () => {
    const b = createBulkhead(1)
    b.take()
    const gone = new AbortController()
    const left = b.wait(gone.signal)
    const stays = b.wait(never())
    gone.abort()
    expect(await left).toBe(false)
    b.free()
    expect(await stays).toBe(true)
    expect(b.inFlight).toBe(1)
    expect(await b.wait(gone.signal)).toBe(false)
  })
  test('a larger limit lets waiters in, a smaller one drains', async () => {
    const b = createBulkhead(1)
    b.take()
    const waits = [b.wait(never()), b.wait(never())]
    b.resize(3)
    expect(await Promise.all(waits)).toEqual([true, true])
    b.resize(1)
    b.free()
    expect(b.take()).toBe(false)
  })
})

describe('rate limit', () => {
  test('a burst at once, then the rate, in order of arrival', async () => {
    const clock = fakeClock(0)
    const r = createRateLimiter(clock, { perSecond: 10, burst: 2 })
    expect([r.take(), r.take(), r.take()]).toEqual([true, true, false])
    const at: [number, number][] = []
    for (const n of [1, 2, 3]) void r.wait(never()).then(() => at.push([n, clock.now()]))
    expect(r.take()).toBe(false)
    await clock.advance(1000)
    expect(at).toEqual([
      [1, 100],
      [2, 200],
      [3, 300],
    ])
    expect([r.take(), r.take(), r.take()]).toEqual([true, true, false])
  })
  test('Retry-After blocks the bucket until then, for everybody, and not for longer than the cap', async () => {
    const clock = fakeClock(0)
    const r = createRateLimiter(clock, undefined)
    expect(r.take()).toBe(true)
    r.block(3000)
    expect(r.take()).toBe(false)
    let at = -1
    void r.wait(never()).then(() => (at = clock.now()))
    r.block(1000) // an earlier one does not shorten it
    await clock.advance(2999)
    expect(at).toBe(-1)
    await clock.advance(1)
    expect(at).toBe(3000)
    r.block(Number.MAX_SAFE_INTEGER)
    expect(r.blockedUntil).toBe(3000 + RETRY_AFTER_MAX_MS)
  })
  test('a limit that comes anew begins full, once; a changed one keeps what is there', async () => {
    const clock = fakeClock(0)
    const r = createRateLimiter(clock, undefined)
    await clock.advance(60_000)
    const take = (n: number) => Array.from({ length: n }, () => r.take()).filter(Boolean).length
    r.configure({ perSecond: 1, burst: 3 })
    expect([take(9), take(9)]).toEqual([3, 0])
    r.configure({ perSecond: 1, burst: 5 })
    expect(take(9)).toBe(0)
    await clock.advance(2000)
    r.configure({ perSecond: 100, burst: 5 })
    expect(take(9)).toBe(2)
  })
  test('who gives up takes no token, and leaves no timer behind', async () => {
    const clock = fakeClock(0)
    const r = createRateLimiter(clock, { perSecond: 1, burst: 1 })
    r.take()
    const gone = new AbortController()
    const left = r.wait(gone.signal)
    gone.abort()
    expect(await left).toBe(false)
    expect(clock.pending).toBe(0)
    await clock.advance(1000)
    expect(r.take()).toBe(true)
  })
  test('a changed limit serves those who wait; unchanged ones keep their tokens', async () => {
    const clock = fakeClock(0)
    const r = createRateLimiter(clock, { perSecond: 0.001, burst: 1 })
    r.take()
    r.configure({ perSecond: 0.001, burst: 1 })
    expect(r.take()).toBe(false)
    let went = false
    void r.wait(never()).then(() => (went = true))
    r.configure(undefined)
    await clock.settle()
    expect(went).toBe(true)
  })
  test('property: never more than burst + rate × span, and nobody waits for ever', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 12 }),
        async (perSecond, burst, gaps) => {
          const clock = fakeClock(0)
          const r = createRateLimiter(clock, { perSecond, burst })
          const times: number[] = []
          const go = () => times.push(clock.now())
          for (const gap of gaps) {
            await clock.advance(gap)
            if (r.take()) go()
            else void r.wait(never()).then(go)
          }
          await clock.advance((gaps.length * 1000) / perSecond + 1000)
          expect(times.length).toBe(gaps.length)
          times.forEach((from, i) => {
            times.slice(i).forEach((to, j) => {
              // A millisecond for rounding up to whole ones.
              expect(j + 1).toBeLessThanOrEqual(burst + ((to - from + 1) * perSecond) / 1000)
            })
          })
        },
      ),
      { seed: 3, numRuns: 25 },
    )
  })
})

describe('targets', () => {
  const route = (name: string, fallback?: string): [string, Route] => [
    name,
    {
      provider: scriptedProvider(name),
      timeoutMs: 1000,
      maxRetries: 0,
      maxConcurrent: 1,
      ...(fallback === undefined ? {} : { fallback }),
    },
  ]
  test("the provider, the rule's own, then the links of both; each once; unknown names left out", () => {
    const routes = new Map([route('a', 'b'), route('b', 'c'), route('c'), route('own', 'd'), route('d', 'gone')])
    expect(targets(routes, 'a', undefined)).toEqual(['a', 'b', 'c'])
    expect(targets(routes, 'a', 'own')).toEqual(['a', 'own', 'b', 'c', 'd'])
    expect(targets(routes, 'a', 'c')).toEqual(['a', 'c', 'b'])
    expect(targets(routes, 'nobody', 'c')).toEqual(['c'])
  })
  test('a cycle ends', () => {
    expect(targets(new Map([route('a', 'b'), route('b', 'a')]), 'a', 'a')).toEqual(['a', 'b'])
  })
})

describe('circuit', () => {
  const boom = new Error('boom')
  test('opossum runs what it is given and never opens by itself', async () => {
    const clock = fakeClock(0)
    const c = createCircuit('x', clock)
    for (let i = 0; i < 200; i++) await expect(c.fire(() => Promise.reject(boom))).rejects.toBe(boom)
    expect(await c.fire(async () => 7)).toBe(7)
    expect(c.stats()).toMatchObject({ fires: 201, failures: 200, successes: 1, rejects: 0 })
    c.close()
  })
  test('after open() an admitted probe still runs; refusals are counted', async () => {
    const c = createCircuit('x', fakeClock(0))
    c.show('open')
    c.refused()
    expect(await c.fire(async () => 'probe')).toBe('probe')
    expect(c.stats()).toMatchObject({ fires: 1, successes: 1, rejects: 1 })
    c.close()
  })
  test('its window turns on our clock', async () => {
    const clock = fakeClock(0)
    const c = createCircuit('x', clock)
    await c.fire(async () => 1)
    await clock.advance(5000)
    await c.fire(async () => 1)
    expect(c.stats().fires).toBe(2)
    await clock.advance(6000)
    expect(c.stats().fires).toBe(1)
    await clock.advance(60_000)
    expect(c.stats().fires).toBe(0)
    c.close()
  })
})
