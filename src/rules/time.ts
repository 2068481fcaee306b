import type { Json } from '../core/json.ts'
import { instantOf, wallOf, zoneName } from '../core/zone.ts'

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
/** The least and the greatest that each of the numbers among them can be. */
export const timeRanges: { readonly [name in TimeField]?: readonly [number, number] } = {
  hour: [0, 23],
  minute: [0, 59],
  second: [0, 59],
  day: [1, 31],
  month: [1, 12],
  year: [1970, 9999],
  weekday_num: [1, 7],
  timestamp: [0, 253_402_300_799],
}
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

/** Undefined where there is no zone of this name. */
export function zone(name: string): Zone | undefined {
  const there = zones.get(name)
  if (there) return there
  const known = zoneName(name)
  if (known === undefined) return undefined
  const made = zones.get(known) ?? makeZone(known)
  if (zones.size >= MOST_ZONES) zones.clear()
  zones.set(known, made)
  if (known !== name) zones.set(name, made)
  return made
}

function makeZone(name: string): Zone {
  let minuteSeen = Number.NaN
  let seen: Omit<LocalTime, 'second' | 'timestamp'>
  function shown(ms: number): typeof seen {
    const minute = Math.floor(ms / 60_000)
    if (minute === minuteSeen) return seen
    const wall = new Date(wallOf(name, minute * 60_000))
    const weekday = (wall.getUTCDay() + 6) % 7
    seen = {
      year: wall.getUTCFullYear(),
      month: wall.getUTCMonth() + 1,
      day: wall.getUTCDate(),
      hour: wall.getUTCHours(),
      minute: wall.getUTCMinutes(),
      weekday: WEEKDAYS[weekday]!,
      weekday_num: weekday + 1,
    }
    minuteSeen = minute
    return seen
  }
  // Zones of today are whole minutes from UTC, so seconds are the same everywhere.
  const second = (ms: number) => Math.floor(ms / 1000) % 60
  return {
    name,
    at: (ms) => ({ ...shown(ms), second: second(ms), timestamp: Math.floor(ms / 1000) }),
    field: (f, ms) => (f === 'second' ? second(ms) : f === 'timestamp' ? Math.floor(ms / 1000) : shown(ms)[f]),
    next(hour, minute, ms) {
      const { year, month, day } = shown(ms)
      for (let ahead = 0; ; ahead++) {
        const due = instantOf(name, Date.UTC(year, month - 1, day + ahead, hour, minute)).at
        if (due > ms) return due
      }
    },
  }
}
