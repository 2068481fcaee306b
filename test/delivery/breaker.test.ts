import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type AttemptEnd,
  admit,
  type Breaker,
  type BreakerConfig,
  CLOSED,
  settle,
  shownState,
} from '../../src/delivery/breaker.ts'

const config: BreakerConfig = { failureThreshold: 3, successThreshold: 2, recoveryMs: 1000 }
const probe = (id: string, until: number) => ({ id, until })
const through = (b: Breaker, ends: readonly AttemptEnd[], now = 0): Breaker =>
  ends.reduce<Breaker>((s, e) => settle(s, e, now, config), b)

describe('closed', () => {
  test('opens at the threshold of consecutive failures, and remembers how many', () => {
    expect(through(CLOSED, ['failure', 'failure'])).toEqual({ is: 'closed', failures: 2 })
    expect(through(CLOSED, ['failure', 'failure', 'failure'], 7)).toEqual({ is: 'open', since: 7, failures: 3 })
  })
  test('a success begins the count again', () => {
    expect(through(CLOSED, ['failure', 'failure', 'success', 'failure', 'failure'])).toEqual({
      is: 'closed',
      failures: 2,
    })
  })
  test('a permanent failure neither counts nor begins the count again', () => {
    expect(through(CLOSED, ['failure', 'neither', 'failure', 'neither', 'failure'], 1).is).toBe('open')
    expect(through(CLOSED, Array(50).fill('neither'))).toEqual(CLOSED)
  })
  test('what changes nothing is the same object, so that nobody writes it', () => {
    expect(settle(CLOSED, 'success', 0, config)).toBe(CLOSED)
    expect(admit(CLOSED, 0, config, probe('p', 1))).toEqual({ admitted: true, next: CLOSED })
  })
})

describe('open', () => {
  const open: Breaker = { is: 'open', since: 100, failures: 3 }
  test('refuses until the recovery time is over and says when', () => {
    expect(admit(open, 1099, config, probe('p', 5000))).toEqual({ admitted: false, retryAt: 1100 })
    expect(admit(open, 1100, config, probe('p', 5000))).toMatchObject({
      admitted: true,
      next: { is: 'half_open', successes: 0, probe: { id: 'p', until: 5000 } },
    })
  })
  test('attempts begun before it opened decide nothing', () => {
    for (const end of ['success', 'failure', 'neither'] as const) expect(settle(open, end, 500, config)).toBe(open)
  })
  test('is shown as half-open once it waits for a probe', () => {
    expect(shownState(open, 1099, config)).toBe('open')
    expect(shownState(open, 1100, config)).toBe('half_open')
  })
})

describe('half-open', () => {
  const out: Breaker = { is: 'half_open', since: 100, failures: 3, successes: 0, probe: probe('p', 2000) }
  test('one probe at a time', () => {
    expect(admit(out, 1500, config, probe('q', 9000))).toEqual({ admitted: false, retryAt: 2000 })
  })
  test('a probe that dies frees its slot when it expires, and its late end decides nothing', () => {
    const v = admit(out, 2000, config, probe('q', 3000))
    expect(v).toMatchObject({ admitted: true, next: { probe: { id: 'q' } } })
    if (!v.admitted) throw new Error('refused')
    expect(settle(v.next, 'failure', 2100, config, 'p')).toBe(v.next)
  })
  test('PITFALLS 34: a probe that fails permanently frees its slot at once', () => {
    const freed = settle(out, 'neither', 1200, config, 'p')
    expect(freed).toEqual({ is: 'half_open', since: 100, failures: 3, successes: 0 })
    expect(admit(freed, 1200, config, probe('q', 9000)).admitted).toBe(true)
  })
  test('closes after success_threshold probes, opens again at the first that fails', () => {
    const once = settle(out, 'success', 1200, config, 'p')
    expect(once).toMatchObject({ is: 'half_open', successes: 1 })
    const v = admit(once, 1300, config, probe('q', 9000))
    if (!v.admitted) throw new Error('refused')
    expect(settle(v.next, 'success', 1400, config, 'q')).toEqual(CLOSED)
    expect(settle(v.next, 'failure', 1400, config, 'q')).toEqual({ is: 'open', since: 1400, failures: 3 })
  })
  test('an attempt that is not the probe decides nothing', () => {
    for (const end of ['success', 'failure', 'neither'] as const) expect(settle(out, end, 1200, config)).toBe(out)
  })
})

test('the guide: 2 failures open it, after 60 s one probe, one success closes it', () => {
  const guide: BreakerConfig = { failureThreshold: 2, successThreshold: 1, recoveryMs: 60_000 }
  let b = settle(settle(CLOSED, 'failure', 0, guide), 'failure', 10, guide)
  expect(b.is).toBe('open')
  expect(admit(b, 60_009, guide, probe('p', 1e9)).admitted).toBe(false)
  const v = admit(b, 60_010, guide, probe('p', 1e9))
  if (!v.admitted) throw new Error('refused')
  b = settle(v.next, 'success', 60_020, guide, 'p')
  expect(b).toEqual(CLOSED)
})

test('property: never two probes out at once, and never stuck', () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 1500 }),
    // Who acts: a new attempt, or the end of one that is out (0 = the oldest), or one that dies without a word.
    act: fc.constantFrom('begin', 'begin', 'success', 'failure', 'neither', 'die'),
    which: fc.nat(3),
  })
  const configs = fc.record({
    failureThreshold: fc.integer({ min: 1, max: 3 }),
    successThreshold: fc.integer({ min: 1, max: 3 }),
    recoveryMs: fc.integer({ min: 1, max: 2000 }),
  })
  fc.assert(
    fc.property(configs, fc.array(step, { maxLength: 60 }), (c, steps) => {
      let b: Breaker = CLOSED
      let now = 0
      let n = 0
      let out: { id: string; until: number; probe: boolean }[] = []
      for (const s of steps) {
        now += s.waitMs
        // deliver.ts ends every probe's attempt when its slot ends.
        out = out.filter((o) => !o.probe || now < o.until)
        if (s.act === 'begin') {
          const id = `a${n++}`
          const v = admit(b, now, c, { id, until: now + 800 })
          if (v.admitted) {
            out.push({ id, until: now + 800, probe: v.next.is !== 'closed' })
            b = v.next
          }
        } else if (out.length > 0) {
          const [o] = out.splice(s.which % out.length, 1)
          if (o && s.act !== 'die') b = settle(b, s.act, now, c, o.probe ? o.id : undefined)
        }
        expect(out.filter((o) => o.probe).length).toBeLessThanOrEqual(1)
      }
      // Whatever happened, when the provider is well again a bounded number of attempts closes it.
      for (let i = 0; b.is !== 'closed' || b.failures > 0; i++) {
        expect(i).toBeLessThanOrEqual(c.successThreshold)
        now += 2000
        const v = admit(b, now, c, { id: `w${i}`, until: now + 800 })
        expect(v.admitted).toBe(true)
        if (v.admitted) b = settle(v.next, 'success', now + 1, c, `w${i}`)
      }
    }),
    { seed: 7, numRuns: 400 },
  )
})
