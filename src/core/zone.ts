import { didYouMean } from './nearest.ts'

/**
 * Wall clocks. A "wall" is a local date and time written as the milliseconds it would be in UTC, so that calendar
 * arithmetic on it is plain UTC arithmetic.
 */
const HOUR = 3_600_000
const DAY = 24 * HOUR

const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(zone: string): Intl.DateTimeFormat {
  let f = formats.get(zone)
  if (!f) {
    f = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    // Names differ in case at will, so that callers could fill the memory.
    if (formats.size >= 1000) formats.clear()
    formats.set(zone, f)
  }
  return f
}

/** What is wrong with a time zone name, with the nearest one that exists; undefined when it is fine. */
export function zoneError(zone: string): string | undefined {
  if (zoneName(zone) !== undefined) return undefined
  return `"${zone}" is no time zone, expected an IANA name such as Europe/Berlin${didYouMean(zone, ['UTC', ...Intl.supportedValuesOf('timeZone')])}`
}

/** The name a zone is known by, however it is written; undefined: there is none of this name. */
export function zoneName(zone: string): string | undefined {
  try {
    return formatOf(zone).resolvedOptions().timeZone
  } catch (e) {
    if (e instanceof RangeError) return undefined
    throw e
  }
}

/** Local minus UTC at an instant, in milliseconds. The zone must be a valid one. */
export function zoneOffset(zone: string, at: number): number {
  if (zone === 'UTC') return 0
  const whole = Math.floor(at / 1000) * 1000
  let year = 0
  let month = 0
  let day = 0
  let hour = 0
  let minute = 0
  let second = 0
  for (const { type, value } of formatOf(zone).formatToParts(whole)) {
    if (type === 'year') year = Number(value)
    else if (type === 'month') month = Number(value)
    else if (type === 'day') day = Number(value)
    else if (type === 'hour') hour = Number(value)
    else if (type === 'minute') minute = Number(value)
    else if (type === 'second') second = Number(value)
  }
  return Date.UTC(year, month - 1, day, hour, minute, second) - whole
}

/** The first instant in (from, to] from which on the offset is that of `to`; they must differ, and only one change may lie between. */
export function clockChange(zone: string, from: number, to: number): number {
  const target = zoneOffset(zone, to)
  let [low, high] = [from, to]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (zoneOffset(zone, middle) === target) high = middle
    else low = middle
  }
  return high
}

export const wallOf = (zone: string, at: number): number => at + zoneOffset(zone, at)

/**
 * The instant a wall time names. One that comes twice (clocks set back) is its first passage; one that never comes
 * (clocks set forward) is as long after the gap as it stood after the gap's begin: the rule RFC 5545 §3.3.5 gives.
 */
export function instantOf(zone: string, wall: number): { readonly at: number; readonly inGap: boolean } {
  const before = zoneOffset(zone, wall - DAY)
  const after = zoneOffset(zone, wall + DAY)
  const first = wall - before
  if (zoneOffset(zone, first) === before) return { at: first, inGap: false }
  const second = wall - after
  return zoneOffset(zone, second) === after ? { at: second, inGap: false } : { at: first, inGap: true }
}
