import { type CronExpression, CronExpressionParser } from 'cron-parser'
import { clockChange, instantOf, wallOf, zoneError, zoneOffset } from './zone.ts'

const DAY = 86_400_000
/** What cron-parser accepts as one word. */
const NICKNAME = /^@(yearly|annually|monthly|weekly|daily|hourly)$/
const CACHED = 512
const parsed = new Map<string, CronExpression>()

/** What is wrong with an expression of 5 fields, or 6 with seconds first, or its zone; undefined when it is fine. */
export function validateCron(expression: string, timezone: string): string | undefined {
  const text = expression.trim()
  if (text === '')
    return 'a cron expression is empty, expected 5 fields (minute hour day month weekday), or 6 with seconds first'
  if (text.startsWith('@')) {
    if (!NICKNAME.test(text))
      return `"${text}" is no cron nickname, expected @hourly, @daily, @weekly, @monthly or @yearly`
  } else {
    const fields = text.split(/\s+/)
    if (fields.length !== 5 && fields.length !== 6)
      return `"${text}" has ${fields.length} fields, expected 5 (minute hour day month weekday), or 6 with seconds first`
    // H is chosen by chance unless seeded: two nodes would disagree.
    if (fields.some((f) => /(^|[,/-])H/i.test(f)))
      return `"${text}" uses H (hashed), which has no fixed meaning; write a number`
  }
  try {
    parse(text)
  } catch (e) {
    return `"${text}" is no cron expression: ${e instanceof Error ? e.message : String(e)}`
  }
  return zoneError(timezone)
}

/**
 * The first occurrence after a moment, in milliseconds; undefined when there is none. A time that the clocks skip fires
 * once, after the gap; one that comes twice fires once, at its first passage; where the hour is free (`*`), every hour
 * that passes counts. Both arguments must have passed `validateCron`.
 *
 * cron-parser finds the matching wall times as if in UTC, and the zone is applied here: asked in a zone, it fires twice
 * when the search begins between the two passages, and loses its way where the clocks move by half an hour.
 */
export function nextOccurrence(expression: string, timezone: string, after: number): number | undefined {
  const cron = parse(expression.trim())
  return cron.fields.hour.values.length === 24 ? nextPassing(cron, timezone, after) : nextNamed(cron, timezone, after)
}

/** Every instant whose wall time matches. */
function nextPassing(cron: CronExpression, zone: string, after: number): number | undefined {
  for (let from = after; ; ) {
    const offset = zoneOffset(zone, from)
    const wall = nextWall(cron, from + offset)
    if (wall === undefined) return undefined
    const at = wall - offset
    if (zoneOffset(zone, at) === offset) return at
    // The clocks move in between: look again from the last moment before they do, with the offset that follows.
    const moved = clockChange(zone, from, at)
    const next = nextWall(cron, moved - 1 + zoneOffset(zone, moved))
    if (next === undefined) return undefined
    const candidate = next - zoneOffset(zone, moved)
    if (zoneOffset(zone, candidate) === zoneOffset(zone, moved)) return candidate
    from = moved
  }
}

/** Each matching wall time once. */
function nextNamed(cron: CronExpression, zone: string, after: number): number | undefined {
  // Just after a gap, the times it swallowed may still be to come: begin before them.
  const gap = Math.max(0, zoneOffset(zone, after) - zoneOffset(zone, after - DAY))
  for (let wall = nextWall(cron, wallOf(zone, after) - gap); wall !== undefined; wall = nextWall(cron, wall)) {
    const { at, inGap } = instantOf(zone, wall)
    if (at <= after) continue
    if (!inGap) return at
    // A swallowed time lands among those that follow the gap, and one of them may come first.
    const landed = nextWall(cron, Math.max(clockChange(zone, at - DAY, at) - 1, after) + zoneOffset(zone, at))
    return landed === undefined ? at : Math.min(at, instantOf(zone, landed).at)
  }
  return undefined
}

/** The first matching wall time after another; undefined when cron-parser gives up. */
function nextWall(cron: CronExpression, after: number): number | undefined {
  cron.reset(new Date(after))
  try {
    return cron.next().getTime()
  } catch {
    return undefined
  }
}

function parse(text: string): CronExpression {
  let cron = parsed.get(text)
  if (!cron) {
    cron = CronExpressionParser.parse(text, { tz: 'UTC', currentDate: new Date(0) })
    if (parsed.size >= CACHED) parsed.clear()
    parsed.set(text, cron)
  }
  return cron
}
