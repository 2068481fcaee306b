import { z } from 'zod'
import type { Scope } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { YEAR_SECONDS } from '../core/duration.ts'
import type { FieldError } from '../core/errors.ts'
import { joinParts } from '../core/ids.ts'
import type { JsonObject } from '../core/json.ts'
import { parseWire, wireCount, wireName, wirePathName } from '../core/wire.ts'
import { clockChange, instantOf, wallOf, zoneError, zoneOffset } from '../core/zone.ts'

export const calendarWindows = ['hourly', 'daily', 'weekly', 'monthly'] as const
export type CalendarWindow = (typeof calendarWindows)[number]

/** A quota as callers write it. */
export const quotaSchema = z.strictObject({
  name: wirePathName.optional(),
  namespace: wireName.optional(),
  tenant: wireName.optional(),
  /** Counts only actions whose first provider after the rules is this one. */
  provider: wireName.optional(),
  max_actions: wireCount,
  window: z.union(
    [z.enum(calendarWindows), wireCount.max(YEAR_SECONDS)],
    `expected hourly, daily, weekly, monthly or a number of seconds, ${YEAR_SECONDS} (a year) at most`,
  ),
  timezone: z
    .string()
    .superRefine((zone, ctx) => {
      const message = zoneError(zone)
      if (message !== undefined) ctx.addIssue({ code: 'custom', message })
    })
    .default('UTC'),
  overage_behavior: z
    .unknown()
    .superRefine((v, ctx) => {
      const message = overageError(v)
      if (message !== undefined) ctx.addIssue({ code: 'custom', message })
    })
    .transform((v) => (v === 'warn' ? 'warn' : 'block'))
    .optional(),
  enabled: z.boolean().default(true),
  description: z.string().max(1000).optional(),
})

/** `degrade` and `notify` are words of the contract that are not built: refused by name, since counting them as `block` would surprise. */
function overageError(v: unknown): string | undefined {
  if (v === undefined || v === 'block' || v === 'warn') return undefined
  const word = typeof v === 'object' && v !== null ? Object.keys(v)[0] : v
  if (word === 'degrade' || word === 'notify') return `"${word}" is not supported yet, expected "block" or "warn"`
  return 'expected "block" or "warn"'
}

export interface Quota {
  readonly name: string
  readonly namespace: string
  readonly tenant: string
  readonly provider?: string
  readonly maxActions: number
  /** A calendar window, or seconds. */
  readonly window: CalendarWindow | number
  readonly timezone: string
  readonly overage: 'block' | 'warn'
  readonly enabled: boolean
  readonly description?: string
  /** Milliseconds. */
  readonly createdAt: number
  readonly updatedAt: number
}

export type QuotaBody = z.output<typeof quotaSchema> & { readonly namespace: string; readonly tenant: string }

/**
 * A body as a quota of this scope and, if given, this name; the body's own must agree. `provider` says what is wrong with a provider's
 * name: a limit of one that is not there would limit nothing. Throws Problem 400 `invalid_quota`.
 */
export function readQuotaBody(
  scope: Scope,
  body: unknown,
  provider: (name: string) => string | undefined,
  name: string | undefined,
): QuotaBody {
  const read = parseWire(quotaSchema, body, 'quota', (fields) => {
    const errors: FieldError[] = []
    if (name !== undefined) {
      if (fields.name !== undefined && fields.name !== name)
        errors.push({ pointer: '/name', message: `is not the name in the path, "${name}"` })
      const path = wirePathName.safeParse(name)
      if (!path.success) errors.push({ pointer: '/name', message: path.error.issues[0]?.message ?? 'is no name' })
    }
    const unknown = fields.provider === undefined ? undefined : provider(fields.provider)
    if (unknown !== undefined) errors.push({ pointer: '/provider', message: unknown })
    return errors
  })
  return { ...read, namespace: read.namespace ?? scope[0], tenant: read.tenant ?? scope[1] }
}

export function quotaFrom(body: QuotaBody & { readonly name: string }, now: number, before: Quota | undefined): Quota {
  return {
    name: body.name,
    namespace: body.namespace,
    tenant: body.tenant,
    ...(body.provider !== undefined && { provider: body.provider }),
    maxActions: body.max_actions,
    window: body.window,
    timezone: body.timezone,
    overage: body.overage_behavior ?? 'block',
    enabled: body.enabled,
    ...(body.description !== undefined && { description: body.description }),
    createdAt: before?.createdAt ?? now,
    updatedAt: now,
  }
}

export const quotaView = (q: Quota): JsonObject => ({
  name: q.name,
  namespace: q.namespace,
  tenant: q.tenant,
  ...(q.provider !== undefined && { provider: q.provider }),
  max_actions: q.maxActions,
  window: q.window,
  timezone: q.timezone,
  overage_behavior: q.overage,
  enabled: q.enabled,
  ...(q.description !== undefined && { description: q.description }),
  created_at: isoTime(q.createdAt),
  updated_at: isoTime(q.updatedAt),
})

export interface Window {
  /** What tells this window's counter from the next one's. */
  readonly id: string
  /** Milliseconds; the window is [startsAt, resetsAt). */
  readonly startsAt: number
  readonly resetsAt: number
}

/**
 * The window a moment falls in. Calendar windows begin at the zone's own hour, midnight, Monday or first of the month,
 * whatever the clocks do in between; windows in seconds are aligned to the epoch.
 */
export function windowAt(quota: Pick<Quota, 'window' | 'timezone'>, now: number): Window {
  const { window, timezone } = quota
  if (typeof window === 'number') {
    const startsAt = Math.floor(now / (window * 1000)) * window * 1000
    return named(window, startsAt, startsAt + window * 1000)
  }
  const wall = wallOf(timezone, now)
  if (window === 'hourly') return hourAt(timezone, now, wall)
  return named(window, instantOf(timezone, floorWall(window, wall)).at, instantOf(timezone, nextWall(window, wall)).at)
}

const HOUR = 3_600_000
const DAY = 24 * HOUR
const named = (window: CalendarWindow | number, startsAt: number, resetsAt: number): Window => ({
  id: joinParts([String(window), String(startsAt)]),
  startsAt,
  resetsAt,
})

/** Hours pass whatever the clocks say: one that comes twice is two windows, and a change by half an hour ends one early. */
function hourAt(zone: string, now: number, wall: number): Window {
  const from = now - (((wall % HOUR) + HOUR) % HOUR)
  const last = from + HOUR - 1
  const offset = wall - now
  const startsAt = zoneOffset(zone, from) === offset ? from : clockChange(zone, from, now)
  const resetsAt = zoneOffset(zone, last) === offset ? last + 1 : clockChange(zone, now, last)
  return named('hourly', startsAt, resetsAt)
}

function floorWall(window: CalendarWindow, wall: number): number {
  const day = Math.floor(wall / DAY) * DAY
  const date = new Date(day)
  if (window === 'weekly') return day - ((date.getUTCDay() + 6) % 7) * DAY
  return window === 'monthly' ? Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1) : day
}

function nextWall(window: CalendarWindow, wall: number): number {
  const start = floorWall(window, wall)
  const date = new Date(start)
  if (window === 'monthly') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
  return start + (window === 'weekly' ? 7 : 1) * DAY
}
