import type { Json } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'

export const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const

/** A moment as a clock on the wall shows it, in the words rules use. `timestamp`: seconds since the epoch. */
export interface LocalTime {
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly day: number
  readonly month: number
  readonly year: number
  readonly weekday: string
  /** Monday 1 … Sunday 7 (ISO 8601). */
  readonly weekday_num: number
  readonly timestamp: number
}
export const timeFields = [
  'hour',
  'minute',
  'second',
  'day',
  'month',
  'year',
  'weekday',
  'weekday_num',
  'timestamp',
] as const
export type TimeField = (typeof timeFields)[number]
export const isTimeField = (s: string): s is TimeField => (timeFields as readonly string[]).includes(s)

/** One time zone. Asking Intl costs microseconds, so the last minute is remembered: the same moment, the same answer. */
export interface Zone {
  readonly name: string
  at(ms: number): LocalTime
  field(name: TimeField, ms: number): Json
  /** The next moment after `ms` when clocks here show hh:mm. Skipped by a change of clocks: as much later; shown twice: the first. */
  next(hour: number, minute: number, ms: number): number
}

const zones = new Map<string, Zone>()
/** By the names they are known by there are some hundred; by those a caller may write, case ignored, there is no end. */
const MOST_ZONES = 1000

/** Undefined for a name Intl does not know. */
export function zone(name: string): Zone | undefined {
  const there = zones.get(name)
  if (there) return there
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    })
  } catch (e) {
    if (e instanceof RangeError) return undefined
    throw e
  }
  const known = format.resolvedOptions().timeZone
  const made = zones.get(known) ?? makeZone(known, format)
  if (zones.size >= MOST_ZONES) zones.clear()
  zones.set(known, made)
  if (known !== name) zones.set(name, made)
  return made
}

export const unknownZone = (name: string): string =>
  `there is no time zone "${name}"${didYouMean(name, ['UTC', ...Intl.supportedValuesOf('timeZone')])}`

function makeZone(name: string, format: Intl.DateTimeFormat): Zone {
  let minuteSeen = Number.NaN
  let seen: Omit<LocalTime, 'second' | 'timestamp'>
  function wall(ms: number): typeof seen {
    const minute = Math.floor(ms / 60_000)
    if (minute === minuteSeen) return seen
    const part: Record<string, number> = {}
    for (const p of format.formatToParts(ms)) if (p.type !== 'literal') part[p.type] = Number(p.value)
    const { year = 0, month = 1, day = 1, hour = 0, minute: shown = 0 } = part
    const weekday = (new Date(Date.UTC(year, month - 1, day)).getUTCDay() + 6) % 7
    seen = { year, month, day, hour, minute: shown, weekday: WEEKDAYS[weekday]!, weekday_num: weekday + 1 }
    minuteSeen = minute
    return seen
  }
  // Zones of today are whole minutes from UTC, so seconds are the same everywhere.
  const second = (ms: number) => Math.floor(ms / 1000) % 60
  const offset = (ms: number): number => {
    const w = wall(ms)
    return Date.UTC(w.year, w.month - 1, w.day, w.hour, w.minute) - Math.floor(ms / 60_000) * 60_000
  }
  /** Wall time to a moment, by the rule of RFC 9557's "compatible": in a gap as much later, in an overlap the first. */
  const moment = (utc: number): number => {
    const before = utc - offset(utc - 86_400_000)
    const after = utc - offset(utc + 86_400_000)
    const shows = (ms: number) => ms + offset(ms) === utc
    if (shows(before)) return shows(after) ? Math.min(before, after) : before
    return shows(after) ? after : before
  }
  return {
    name,
    at: (ms) => ({ ...wall(ms), second: second(ms), timestamp: Math.floor(ms / 1000) }),
    field: (f, ms) => (f === 'second' ? second(ms) : f === 'timestamp' ? Math.floor(ms / 1000) : wall(ms)[f]),
    next(hour, minute, ms) {
      const { year, month, day } = wall(ms)
      for (let ahead = 0; ; ahead++) {
        const due = moment(Date.UTC(year, month - 1, day + ahead, hour, minute))
        if (due > ms) return due
      }
    },
  }
}
