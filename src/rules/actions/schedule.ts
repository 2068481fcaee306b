import { z } from 'zod'
import { nextOccurrence, validateCron } from '../../core/cron.ts'
import { joinParts } from '../../core/ids.ts'
import { compileScheduleKey } from '../keys.ts'
import { type Compiling, defineRuleAction } from '../stage.ts'
import type { Zone } from '../time.ts'

export const schedule = defineRuleAction({
  type: 'schedule',
  kind: 'holds',
  runs: 'always',
  summary: 'deliver later: after `delay_seconds`, at the next `until` ("HH:MM"), or when `cron` is next due',
  params: z.strictObject({
    delay_seconds: z.number().min(0).max(31_622_400).optional(),
    until: z
      .string()
      .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day from "00:00" to "23:59"')
      .optional(),
    cron: z.string().optional(),
    timezone: z.string().optional(),
    key: z.union([z.string().min(1), z.array(z.string()).min(1).max(16)]).optional(),
    on_repeat: z.enum(['restart', 'keep', 'add']).optional(),
  }),
  compile(p, c) {
    const ways = (['delay_seconds', 'until', 'cron'] as const).filter((w) => p[w] !== undefined)
    if (ways.length !== 1) c.error(ways[1] ? [ways[1]] : [], 'a schedule has exactly one of delay_seconds, until, cron')
    if (p.on_repeat !== undefined && p.key === undefined) c.error(['on_repeat'], '"on_repeat" needs a "key" beside it')
    if (p.timezone !== undefined && p.delay_seconds !== undefined)
      c.error(['timezone'], '"timezone" has no meaning beside "delay_seconds"')
    if (!c.loops.scheduled)
      c.warn([], '[background] has scheduled actions switched off: what this rule holds is not released')
    const zone = c.timezone(p.timezone, ['timezone'])
    const due = dueTime(p, zone, c)
    const key = p.key === undefined ? undefined : compileScheduleKey(p.key, c)
    const onRepeat = p.on_repeat ?? 'restart'
    return (draft, holder) => {
      const parts = key?.(draft)
      const keyId = parts && joinParts(parts)
      const dueAt = due(draft.now)
      return { kind: 'schedule', rule: c.rule, dueAt, ...(keyId !== undefined && { keyId }), onRepeat, ...holder() }
    }
  },
})

function dueTime(
  p: { delay_seconds?: number | undefined; until?: string | undefined; cron?: string | undefined },
  zone: Zone,
  c: Compiling,
): (now: number) => number {
  const { delay_seconds = 0, until, cron } = p
  if (until !== undefined) {
    const [hour = 0, minute = 0] = until.split(':').map(Number)
    return (now) => zone.next(hour, minute, now)
  }
  if (cron === undefined) return (now) => now + Math.round(delay_seconds * 1000)
  const never = `"${cron}" is never due`
  const problem =
    validateCron(cron, zone.name) ?? (nextOccurrence(cron, zone.name, 0) === undefined ? never : undefined)
  if (problem === undefined) return cronNext(cron, zone.name)
  c.error(['cron'], `"cron": ${problem}`)
  return (now) => now
}

/** Asking costs tens of microseconds, and every moment before the next due one has the same answer: remember it. */
function cronNext(expression: string, tz: string): (now: number) => number {
  let from = Number.NaN
  let due = Number.NaN
  return (now) => {
    if (!(now >= from && now < due)) {
      due = nextOccurrence(expression, tz, now)!
      from = now
    }
    return due
  }
}
