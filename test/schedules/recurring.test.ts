import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextOccurrence } from '../../src/core/cron.ts'
import { occurrenceOf, type Recurring } from '../../src/schedules/recurring.ts'

const MINUTE = 60_000
const missed = (cron: string, timezone: string, nextAt: number, endDate?: number) =>
  ({ cron, timezone, nextAt, missed: 'fire_once', ...(endDate !== undefined && { endDate }) }) as Recurring

describe('the latest of those that were missed', () => {
  it('is the one that walking all of them ends at (property)', () => {
    const crons = ['*/7 * * * *', '0 3 * * *', '15 * * * *', '30 2 * * 0', '0 12 1 * *', '*/20 * * * * *']
    const zones = ['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'America/New_York']
    const from = Date.parse('2026-01-01T00:00:00Z')
    fc.assert(
      fc.property(
        fc.constantFrom(...crons),
        fc.constantFrom(...zones),
        fc.integer({ min: 0, max: 365 * 24 * 60 }),
        fc.integer({ min: 1, max: 6 * 60 }),
        fc.boolean(),
        (cron, zone, start, minutes, ends) => {
          const nextAt = nextOccurrence(cron, zone, from + start * MINUTE)!
          const now = nextAt + minutes * MINUTE * (cron.startsWith('0 ') ? 200 : 1)
          const endDate = ends ? nextAt + (now - nextAt) / 2 : undefined
          let latest = nextAt
          for (let at: number | undefined = nextAt; at !== undefined && at <= (endDate ?? now); ) {
            latest = at
            at = nextOccurrence(cron, zone, at)
          }
          const { kind, at } = occurrenceOf(missed(cron, zone, nextAt, endDate), now, 0) as { kind: string; at: number }
          expect([kind, at]).toEqual(['fire', latest])
        },
      ),
      { numRuns: 150 },
    )
  })
  it('of every second of a Monday, days later', () => {
    const monday = Date.parse('2026-01-05T00:00:00Z')
    const def = missed('* * * * * 1', 'Europe/Berlin', monday)
    expect(occurrenceOf(def, monday + 2.5 * 86_400_000, 0)).toEqual({
      kind: 'fire',
      at: Date.parse('2026-01-05T22:59:59Z'),
    })
  })
})
