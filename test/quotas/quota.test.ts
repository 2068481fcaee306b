import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { windowAt } from '../../src/quotas/quota.ts'

const at = (text: string): number => Date.parse(text)
const shown = (window: 'hourly' | 'daily' | 'weekly' | 'monthly' | number, timezone: string, now: string): string[] => {
  const w = windowAt({ window, timezone }, at(now))
  return [new Date(w.startsAt).toISOString(), new Date(w.resetsAt).toISOString()]
}

describe('windowAt', () => {
  test.each([
    ['hourly', 'UTC', '2026-01-05T12:34:56Z', '2026-01-05T12:00:00.000Z', '2026-01-05T13:00:00.000Z'],
    ['daily', 'UTC', '2026-01-05T12:34:56Z', '2026-01-05T00:00:00.000Z', '2026-01-06T00:00:00.000Z'],
    ['weekly', 'UTC', '2026-01-07T12:00:00Z', '2026-01-05T00:00:00.000Z', '2026-01-12T00:00:00.000Z'],
    ['weekly', 'UTC', '2026-01-11T23:59:59Z', '2026-01-05T00:00:00.000Z', '2026-01-12T00:00:00.000Z'],
    ['monthly', 'UTC', '2026-02-14T00:00:00Z', '2026-02-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z'],
    ['monthly', 'UTC', '2026-12-31T23:00:00Z', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
    ['daily', 'Europe/Berlin', '2026-01-05T23:30:00Z', '2026-01-05T23:00:00.000Z', '2026-01-06T23:00:00.000Z'],
    ['hourly', 'Asia/Kolkata', '2026-01-05T12:45:00Z', '2026-01-05T12:30:00.000Z', '2026-01-05T13:30:00.000Z'],
    // A day of 23 hours, one of 25, and a week and a month that hold one.
    ['daily', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ['daily', 'America/New_York', '2026-11-01T12:00:00Z', '2026-11-01T04:00:00.000Z', '2026-11-02T05:00:00.000Z'],
    ['weekly', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-22T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ['monthly', 'Europe/Berlin', '2026-03-30T12:00:00Z', '2026-02-28T23:00:00.000Z', '2026-03-31T22:00:00.000Z'],
    // Midnight that does not exist: the day begins after the gap.
    ['daily', 'America/Santiago', '2026-09-06T12:00:00Z', '2026-09-06T04:00:00.000Z', '2026-09-07T03:00:00.000Z'],
  ] as const)('%s in %s at %s', (window, zone, now, from, to) => {
    expect(shown(window, zone, now)).toEqual([from, to])
  })
  test('an hour that comes twice is two windows', () => {
    expect(shown('hourly', 'Europe/Berlin', '2026-10-25T00:30:00Z')[1]).toBe('2026-10-25T01:00:00.000Z')
    expect(shown('hourly', 'Europe/Berlin', '2026-10-25T01:30:00Z')[0]).toBe('2026-10-25T01:00:00.000Z')
  })
  test('seconds are aligned to the epoch', () => {
    expect(shown(90, 'Europe/Berlin', '1970-01-01T00:02:00Z')).toEqual([
      '1970-01-01T00:01:30.000Z',
      '1970-01-01T00:03:00.000Z',
    ])
  })
  test('law: windows hold their moment, follow each other without a gap, and have ids of their own', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('hourly' as const, 'daily' as const, 'weekly' as const, 'monthly' as const, 7, 3600),
        fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago'),
        fc.oneof(
          fc.integer({ min: at('2026-01-01'), max: at('2027-01-01') }),
          // Around changes of the clocks: Lord Howe, Santiago, Berlin, New York.
          fc
            .constantFrom(
              '2026-04-04T15:00Z',
              '2026-10-03T15:30Z',
              '2026-09-06T04:00Z',
              '2026-03-29T01:00Z',
              '2026-11-01T06:00Z',
            )
            .chain((change) => fc.integer({ min: at(change) - 7_200_000, max: at(change) + 7_200_000 })),
        ),
        (window, timezone, now) => {
          const w = windowAt({ window, timezone }, now)
          expect(w.startsAt).toBeLessThanOrEqual(now)
          expect(w.resetsAt).toBeGreaterThan(now)
          expect(windowAt({ window, timezone }, w.resetsAt - 1)).toEqual(w)
          const next = windowAt({ window, timezone }, w.resetsAt)
          expect(next.startsAt).toBe(w.resetsAt)
          expect(next.id).not.toBe(w.id)
        },
      ),
      { seed: 1, numRuns: 2000 },
    )
  })
})
