import { describe, expect, it } from 'vitest'
import { zone } from '../../src/rules/time.ts'
import { action, evaluate } from './build.ts'

const iso = (ms: number) => new Date(ms).toISOString()
const next = (name: string, hour: number, minute: number, from: string) =>
  iso(zone(name)!.next(hour, minute, Date.parse(from)))

describe('local time', () => {
  it('shows every part', () => {
    expect(zone('Asia/Kathmandu')!.at(Date.parse('2026-02-28T18:20:07Z'))).toEqual({
      hour: 0,
      minute: 5,
      second: 7,
      day: 1,
      month: 3,
      year: 2026,
      weekday: 'sunday',
      weekday_num: 7,
      timestamp: Date.parse('2026-02-28T18:20:07Z') / 1000,
    })
  })
  it('knows no other zones', () => {
    expect(zone('Europe/Berln')).toBeUndefined()
    // However it is written, there is one of it.
    expect(zone('EUROPE/berlin')).toBe(zone('Europe/Berlin'))
  })
})

describe('until', () => {
  it('today if it is ahead, else tomorrow', () => {
    expect(next('UTC', 18, 0, '2026-01-05T12:00:00Z')).toBe('2026-01-05T18:00:00.000Z')
    expect(next('UTC', 12, 0, '2026-01-05T12:00:00Z')).toBe('2026-01-06T12:00:00.000Z')
    expect(next('Europe/Berlin', 18, 30, '2026-01-05T18:00:00Z')).toBe('2026-01-06T17:30:00.000Z')
    expect(next('Pacific/Auckland', 8, 0, '2026-12-31T20:00:00Z')).toBe('2027-01-01T19:00:00.000Z')
  })
  it('PITFALLS 27: across a change of clocks: the same time on the wall', () => {
    expect(next('Europe/Berlin', 18, 0, '2026-03-28T18:00:00Z')).toBe('2026-03-29T16:00:00.000Z')
    expect(next('Europe/Berlin', 18, 0, '2026-10-24T17:00:00Z')).toBe('2026-10-25T17:00:00.000Z')
  })
  it('PITFALLS 27: a time the clocks skip comes as much later, one they show twice comes once', () => {
    expect(next('Europe/Berlin', 2, 30, '2026-03-28T12:00:00Z')).toBe('2026-03-29T01:30:00.000Z')
    expect(next('Europe/Berlin', 2, 30, '2026-10-24T12:00:00Z')).toBe('2026-10-25T00:30:00.000Z')
    expect(next('Europe/Berlin', 2, 30, '2026-10-25T00:30:00Z')).toBe('2026-10-26T01:30:00.000Z')
  })
})

describe('cron', () => {
  const due = (schedule: string, now: string) => {
    const { end } = evaluate(
      `rules: [{ name: s, timezone: Europe/Berlin, action: { type: schedule, ${schedule} } }]`,
      action(),
      { now: Date.parse(now) },
    )
    return end.kind === 'schedule' ? iso(end.dueAt) : end.kind
  }
  it('is due next in the rule’s zone, or its own', () => {
    expect(due('cron: "30 9 * * 1-5"', '2026-01-02T12:00:00Z')).toBe('2026-01-05T08:30:00.000Z')
    expect(due('cron: "30 9 * * *", timezone: UTC', '2026-01-02T12:00:00Z')).toBe('2026-01-03T09:30:00.000Z')
    expect(due('cron: "*/10 * * * * *"', '2026-01-02T12:00:01Z')).toBe('2026-01-02T12:00:10.000Z')
    expect(due('cron: "0 9 * * THU"', '2026-01-02T12:00:00Z')).toBe('2026-01-08T08:00:00.000Z')
  })
  it('at its own moment it is due the next time', () => {
    expect(due('cron: "0 * * * *"', '2026-01-02T12:00:00Z')).toBe('2026-01-02T13:00:00.000Z')
  })
  it.each([
    [
      'half an hour back: three in the morning',
      '0 3 * * *',
      'Australia/Lord_Howe',
      '2026-04-03T20:00:00Z',
      '2026-04-04T16:30:00.000Z',
    ],
    [
      'half an hour back: each quarter past',
      '15 * * * *',
      'Australia/Lord_Howe',
      '2026-04-04T14:16:06Z',
      '2026-04-04T15:45:00.000Z',
    ],
    [
      'between two passages of one time',
      '45 1 * * *',
      'America/New_York',
      '2026-11-01T06:08:00Z',
      '2026-11-02T06:45:00.000Z',
    ],
    [
      'just after a time that was skipped',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-03-29T01:08:00Z',
      '2026-03-29T01:30:00.000Z',
    ],
  ])('PITFALLS 27: clocks that are changed, %s', (_, cron, timezone, at, then) => {
    expect(due(`cron: "${cron}", timezone: ${timezone}`, at)).toBe(then)
  })
})
