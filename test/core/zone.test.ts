import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { isoTime } from '../../src/core/clock.ts'
import { clockChange, instantOf, wallOf, zoneError, zoneOffset } from '../../src/core/zone.ts'

const HOUR = 3_600_000
const at = (text: string): number => Date.parse(text)
/** A wall time as instants are written. */
const wall = (text: string): number => Date.parse(`${text}Z`)

test.each([
  ['UTC', '2026-07-01T00:00:00Z', 0],
  ['Europe/Berlin', '2026-01-01T00:00:00Z', 1],
  ['Europe/Berlin', '2026-07-01T00:00:00Z', 2],
  ['Asia/Kolkata', '2026-07-01T00:00:00Z', 5.5],
  ['Asia/Kathmandu', '2026-07-01T00:00:00Z', 5.75],
  ['Australia/Lord_Howe', '2026-01-01T00:00:00Z', 11],
  ['Australia/Lord_Howe', '2026-07-01T00:00:00Z', 10.5],
  ['Pacific/Kiritimati', '2026-07-01T00:00:00Z', 14],
  ['Pacific/Niue', '2026-07-01T00:00:00Z', -11],
  ['America/New_York', '2026-12-31T23:59:59.999Z', -5],
  ['+05:30', '2026-01-01T00:00:00Z', 5.5],
])('the offset of %s at %s', (zone, instant, hours) => {
  expect(zoneOffset(zone, at(instant))).toBe(hours * HOUR)
  expect(wallOf(zone, at(instant))).toBe(at(instant) + hours * HOUR)
})

describe('where the clocks change', () => {
  test.each([
    ['Europe/Berlin', '2026-03-29T01:00:00.000Z'],
    ['Europe/Berlin', '2026-10-25T01:00:00.000Z'],
    ['America/New_York', '2026-03-08T07:00:00.000Z'],
    ['Australia/Lord_Howe', '2026-04-04T15:00:00.000Z'],
    ['Pacific/Apia', '2011-12-30T10:00:00.000Z'], // the day that never was
  ])('%s: %s, to the millisecond', (zone, change) => {
    const moment = at(change)
    expect(isoTime(clockChange(zone, moment - 5 * HOUR, moment + 7 * HOUR))).toBe(change)
    expect(clockChange(zone, moment - 1, moment)).toBe(moment)
    expect(zoneOffset(zone, moment - 1)).not.toBe(zoneOffset(zone, moment))
  })
})

describe('PITFALLS 27: the instant a wall time names', () => {
  test.each([
    ['an ordinary one', 'Europe/Berlin', '2026-06-01T09:00:00', '2026-06-01T07:00:00.000Z', false],
    ['just before the gap', 'Europe/Berlin', '2026-03-29T01:59:59.999', '2026-03-29T00:59:59.999Z', false],
    ['the gap’s begin', 'Europe/Berlin', '2026-03-29T02:00:00', '2026-03-29T01:00:00.000Z', true],
    ['in the gap: as long after it', 'Europe/Berlin', '2026-03-29T02:30:00', '2026-03-29T01:30:00.000Z', true],
    ['the gap’s end', 'Europe/Berlin', '2026-03-29T03:00:00', '2026-03-29T01:00:00.000Z', false],
    ['one that comes twice: the first', 'Europe/Berlin', '2026-10-25T02:30:00', '2026-10-25T00:30:00.000Z', false],
    ['the first of the second hour’s end', 'Europe/Berlin', '2026-10-25T03:00:00', '2026-10-25T02:00:00.000Z', false],
    ['west of Greenwich', 'America/New_York', '2026-11-01T01:30:00', '2026-11-01T05:30:00.000Z', false],
    ['half an hour’s gap', 'Australia/Lord_Howe', '2026-10-04T02:15:00', '2026-10-03T15:45:00.000Z', true],
    ['a gap at midnight', 'America/Asuncion', '2023-10-01T00:00:00', '2023-10-01T04:00:00.000Z', true],
    ['a day that never was', 'Pacific/Apia', '2011-12-30T12:00:00', '2011-12-30T22:00:00.000Z', true],
  ])('%s', (_, zone, text, instant, inGap) => {
    const named = instantOf(zone, wall(text))
    expect([isoTime(named.at), named.inGap]).toEqual([instant, inGap])
  })

  const zone = fc.constantFrom(
    'UTC',
    'Europe/Berlin',
    'America/St_Johns',
    'Australia/Lord_Howe',
    'Africa/Casablanca',
    'America/Sao_Paulo',
    'Asia/Tehran',
  )
  const moment = fc
    .integer({ min: at('2000-01-01T00:00:00Z') / 60_000, max: at('2037-01-01T00:00:00Z') / 60_000 })
    .map((m) => m * 60_000)

  it('shows that wall time again, and is the first moment to do so', () => {
    fc.assert(
      fc.property(zone, moment, (z, instant) => {
        const shown = wallOf(z, instant)
        const named = instantOf(z, shown)
        expect(named.inGap).toBe(false)
        expect(wallOf(z, named.at)).toBe(shown)
        expect(named.at).toBeLessThanOrEqual(instant)
        for (const earlier of [30, 60, 120]) expect(wallOf(z, named.at - earlier * 60_000)).not.toBe(shown)
      }),
      { numRuns: 150 },
    )
  })

  it('comes later for a later wall time, but for those of a gap', () => {
    fc.assert(
      fc.property(zone, moment, fc.integer({ min: 1, max: 180 }), (z, w, minutes) => {
        const [a, b] = [instantOf(z, w), instantOf(z, w + minutes * 60_000)]
        if (!a.inGap && !b.inGap) expect(b.at).toBeGreaterThan(a.at)
      }),
      { numRuns: 150 },
    )
  })
})

describe('zone names', () => {
  test.each(['UTC', 'Europe/Berlin', 'europe/berlin', 'Asia/Calcutta', 'Etc/GMT+5'])('%s is one', (z) =>
    expect(zoneError(z)).toBeUndefined(),
  )
  test.each([
    ['Europe/Berln', 'Europe/Berlin'],
    ['utcc', 'UTC'],
    ['America/New York', 'America/New_York'],
  ])('%s is none, %s is', (z, near) =>
    expect(zoneError(z)).toBe(
      `"${z}" is no time zone, expected an IANA name such as Europe/Berlin; did you mean "${near}"?`,
    ),
  )
  test.each(['', 'Nowhere/At_All_Whatsoever', '__proto__', 'x'.repeat(10_000)])('%s is none', (z) =>
    expect(zoneError(z)).toContain('is no time zone'),
  )

  it('are told right in more spellings than are kept', () => {
    const letters = 'america/argentina/buenos_aires'
    for (let i = 0; i < 1200; i++) {
      const spelt = [...letters].map((c, bit) => ((i >> (bit % 11)) & 1 ? c.toUpperCase() : c)).join('')
      expect(zoneError(spelt)).toBeUndefined()
    }
    expect(zoneOffset('America/Argentina/Buenos_Aires', 0)).toBe(-3 * HOUR)
  })
})
