import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nextOccurrence, validateCron } from '../../src/core/cron.ts'

const iso = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : new Date(ms).toISOString())
function upcoming(expression: string, zone: string, from: string, count: number): (string | undefined)[] {
  const found: (string | undefined)[] = []
  let at: number | undefined = Date.parse(from)
  for (let i = 0; i < count && at !== undefined; i++) {
    at = nextOccurrence(expression, zone, at)
    found.push(iso(at))
  }
  return found
}

describe('validateCron', () => {
  test.each([
    ['', 'empty'],
    ['   ', 'empty'],
    ['* * *', 'has 3 fields, expected 5'],
    ['* * * * * * *', 'has 7 fields'],
    ['H * * * *', 'uses H'],
    ['5,H/2 * * * *', 'uses H'],
    ['@dayly', 'is no cron nickname'],
    ['61 * * * *', 'is no cron expression'],
    ['0 0 30 2 *', 'is no cron expression'],
  ])('%j is refused: %s', (text, why) => {
    expect(validateCron(text, 'UTC')).toContain(why)
  })
  test.each([
    '*/5 * * * *',
    '30 */5 * * * *',
    '0 9 * * MON-FRI',
    '0 0 L * *',
    '0 12 * * THU',
    '@hourly',
    ' 0 0 1 1 * ',
  ])('%j is accepted', (text) => expect(validateCron(text, 'Europe/Berlin')).toBeUndefined())
  test('a zone that does not exist is named, with the nearest', () => {
    const message = validateCron('* * * * *', 'Europe/Berln')
    expect(message).toContain('"Europe/Berln" is no time zone')
    expect(message).toContain('did you mean "Europe/Berlin"?')
  })
})

describe('nextOccurrence', () => {
  test('is strictly after the moment asked about', () => {
    expect(iso(nextOccurrence('*/5 * * * *', 'UTC', Date.parse('2026-01-05T12:00:00Z')))).toBe(
      '2026-01-05T12:05:00.000Z',
    )
    expect(iso(nextOccurrence('*/5 * * * *', 'UTC', Date.parse('2026-01-05T11:59:59.999Z')))).toBe(
      '2026-01-05T12:00:00.000Z',
    )
  })
  test('six fields count seconds', () => {
    expect(upcoming('*/20 * * * * *', 'UTC', '2026-01-05T12:00:00Z', 3)).toEqual([
      '2026-01-05T12:00:20.000Z',
      '2026-01-05T12:00:40.000Z',
      '2026-01-05T12:01:00.000Z',
    ])
  })
  test('a leap day is found years ahead', () => {
    expect(upcoming('0 0 29 2 *', 'UTC', '2026-03-01T00:00:00Z', 2)).toEqual([
      '2028-02-29T00:00:00.000Z',
      '2032-02-29T00:00:00.000Z',
    ])
  })
  test.each([
    // zone, a time the clocks skip, from, the occurrences around it
    [
      'Europe/Berlin',
      '30 2 * * *',
      '2026-03-28T00:00:00Z',
      ['2026-03-28T01:30:00.000Z', '2026-03-29T01:30:00.000Z', '2026-03-30T00:30:00.000Z'],
    ],
    [
      'America/New_York',
      '30 2 * * *',
      '2026-03-07T00:00:00Z',
      ['2026-03-07T07:30:00.000Z', '2026-03-08T07:30:00.000Z', '2026-03-09T06:30:00.000Z'],
    ],
  ])('PITFALLS 27: in %s %s, skipped by the clocks, fires once, after the gap', (zone, cron, from, expected) => {
    expect(upcoming(cron, zone, from, 3)).toEqual(expected)
  })
  test.each([
    ['Europe/Berlin', '30 2 * * *', '2026-10-24T12:00:00Z', ['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']],
    [
      'America/New_York',
      '30 1 * * *',
      '2026-10-31T12:00:00Z',
      ['2026-11-01T05:30:00.000Z', '2026-11-02T06:30:00.000Z'],
    ],
  ])('PITFALLS 27: in %s %s, which comes twice, fires once', (zone, cron, from, expected) => {
    expect(upcoming(cron, zone, from, 2)).toEqual(expected)
  })
  test('PITFALLS 27: a search that begins between the two passages does not fire the second', () => {
    expect(upcoming('30 2 * * *', 'Europe/Berlin', '2026-10-25T01:10:00Z', 1)).toEqual(['2026-10-26T01:30:00.000Z'])
  })
  test('PITFALLS 27: a search that begins just after the gap still finds what the gap swallowed', () => {
    expect(upcoming('30 2 * * *', 'Europe/Berlin', '2026-03-29T01:10:00Z', 1)).toEqual(['2026-03-29T01:30:00.000Z'])
  })
  test('PITFALLS 27: every quarter of an hour goes on as time does, through gap and overlap', () => {
    for (const [zone, from] of [
      ['Europe/Berlin', '2026-03-29T00:00:00Z'],
      ['Europe/Berlin', '2026-10-24T23:00:00Z'],
      ['America/New_York', '2026-11-01T04:00:00Z'],
      ['Australia/Lord_Howe', '2026-04-04T13:00:00Z'],
    ] as const) {
      const start = Date.parse(from)
      const expected = Array.from({ length: 16 }, (_, i) => iso(start + (i + 1) * 900_000))
      expect(upcoming('*/15 * * * *', zone, from, 16)).toEqual(expected)
    }
  })
  test('PITFALLS 27: where the clocks move by half an hour, the hour fires as the wall shows it', () => {
    expect(upcoming('0 * * * *', 'Australia/Lord_Howe', '2026-04-04T13:00:00Z', 3)).toEqual([
      '2026-04-04T14:00:00.000Z',
      '2026-04-04T15:30:00.000Z',
      '2026-04-04T16:30:00.000Z',
    ])
  })
  test('a daily time fires on every day of two years, in zones with all kinds of changes', () => {
    for (const zone of ['Europe/Berlin', 'America/New_York', 'America/Havana', 'Australia/Lord_Howe', 'Africa/Cairo']) {
      for (const cron of ['30 2 * * *', '0 0 * * *', '45 1 * * *']) {
        let at = Date.parse('2024-01-01T12:00:00Z')
        for (let day = 0; day < 800; day++) {
          const next = nextOccurrence(cron, zone, at)!
          expect(next - at).toBeLessThanOrEqual(26 * 3_600_000)
          expect(next - at).toBeGreaterThanOrEqual(day === 0 ? 0 : 22 * 3_600_000)
          at = next
        }
      }
    }
  })
  test('law: looking from anywhere in between finds the same next one, and time goes forward', () => {
    const crons = ['*/7 * * * *', '30 2 * * *', '0,30 1-3 * * *', '15 */2 * * *', '0 0 1 * *']
    fc.assert(
      fc.property(
        fc.constantFrom(...crons),
        fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'),
        fc.oneof(
          fc.integer({ min: Date.parse('2026-03-01'), max: Date.parse('2026-11-30') }),
          // Around changes of the clocks: Lord Howe, Berlin, New York.
          fc
            .constantFrom(
              '2026-04-04T15:00Z',
              '2026-10-03T15:30Z',
              '2026-03-29T01:00Z',
              '2026-10-25T01:00Z',
              '2026-11-01T06:00Z',
            )
            .chain((change) =>
              fc.integer({ min: Date.parse(change) - 7_200_000, max: Date.parse(change) + 7_200_000 }),
            ),
        ),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (cron, zone, from, part) => {
          const next = nextOccurrence(cron, zone, from)!
          expect(next).toBeGreaterThan(from)
          expect(nextOccurrence(cron, zone, from + Math.floor((next - from) * part))).toBe(next)
        },
      ),
      { seed: 1, numRuns: 3000 },
    )
  })
})
