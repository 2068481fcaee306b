import type { Action } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { nextOccurrence } from '../core/cron.ts'
import type { Hold } from '../core/hold.ts'
import { uuidv5, uuidv7Of } from '../core/ids.ts'
import { isObject, type Json, type JsonObject } from '../core/json.ts'
import { compileTemplate } from '../core/template.ts'

/** A recurring action. The value of a `recurring` entry, whose id is the name and whose due time is `nextAt`. */
export interface Recurring {
  readonly name: string
  readonly namespace: string
  readonly tenant: string
  readonly provider?: string
  readonly actionType: string
  /** As written, templates and all. */
  readonly payload: JsonObject
  readonly metadata: { readonly [key: string]: string }
  readonly dedupKey?: string
  readonly cron: string
  readonly timezone: string
  readonly enabled: boolean
  readonly description?: string
  /** Milliseconds; no occurrence after it. */
  readonly endDate?: number
  readonly maxExecutions?: number
  readonly overlap: 'allow_all' | 'skip'
  readonly missed: 'fire_once' | 'skip'
  /** Made when the definition was: part of its occurrences' run ids, so that pause and edit make none twice. */
  readonly born: string
  /** Changes with every edit, and not with occurrences: what `If-Match` is about. */
  readonly etag: string
  readonly createdAt: number
  readonly updatedAt: number
  /** The next occurrence; absent while paused, and when there is none left. */
  readonly nextAt?: number
  readonly executionCount: number
  /** Occurrences that were not admitted: missed, or overlapping. */
  readonly skippedCount: number
  readonly lastAt?: number
  readonly lastRunId?: string
}

/** The first occurrence after a moment that the definition still has. */
export function nextOf(def: Recurring, after: number): number | undefined {
  if (!def.enabled) return undefined
  if (def.maxExecutions !== undefined && def.executionCount >= def.maxExecutions) return undefined
  const next = nextOccurrence(def.cron, def.timezone, after)
  return next !== undefined && def.endDate !== undefined && next > def.endDate ? undefined : next
}

export type Occurrence =
  /** Not due. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'fire'; readonly at: number }
  /** All that were due up to `at` were missed. */
  | { readonly kind: 'skip'; readonly at: number }

/**
 * What a due definition asks for. An occurrence found at most `lateMs` late is fired, each on its own, whatever the tick
 * did; older ones were missed: `fire_once` fires the latest for all of them, `skip` only one that is not late.
 */
export function occurrenceOf(def: Recurring, now: number, lateMs: number): Occurrence {
  const due = def.nextAt
  if (due === undefined || due > now) return { kind: 'wait' }
  if (now - due <= lateMs) return { kind: 'fire', at: due }
  const latest = latestUpTo(def, now)
  if (def.missed === 'fire_once' || now - latest <= lateMs) return { kind: 'fire', at: latest }
  return { kind: 'skip', at: latest }
}

/**
 * The last occurrence up to a moment, in some dozen steps however many were missed: back from the end by spans that double until one has an
 * occurrence, then by halves of what is left.
 */
function latestUpTo(def: Recurring, now: number): number {
  const due = def.nextAt ?? now
  const end = Math.min(now, def.endDate ?? now)
  const nextTo = (after: number): number | undefined => {
    const at = nextOccurrence(def.cron, def.timezone, after)
    return at !== undefined && at <= end ? at : undefined
  }
  let found = due
  /** None lies between this and the end. */
  let none = end
  for (let span = 1000; end - span >= due; span *= 2) {
    const at = nextTo(end - span)
    if (at !== undefined) {
      found = at
      break
    }
    none = end - span
  }
  for (;;) {
    const next = nextTo(found)
    if (next === undefined) return found
    const middle = Math.floor((next + none) / 2)
    const later = nextTo(middle)
    if (later === undefined) none = middle
    found = later ?? next
  }
}

/** The same occurrence has the same run id on every node. */
export const occurrenceRunId = (def: Recurring, at: number): string =>
  uuidv5('occurrence', def.namespace, def.tenant, def.name, def.born, String(at))

/** The audit id of an occurrence, or of its not being admitted. */
export const occurrenceAuditId = (runId: string, now: number): string => uuidv7Of(now, 'occurrence', runId)

/** The names templates may use. */
export const templateNames = ['execution_time', 'execution_count'] as const

/** `count` is that of this execution, from 1. */
export function occurrenceAction(def: Recurring, at: number, count: number): Action {
  const variables = { execution_time: isoTime(at), execution_count: count }
  const text = (s: string): string => {
    const v = compileTemplate(s).render(variables)
    return typeof v === 'string' ? v : JSON.stringify(v)
  }
  const payload: Json = compileTemplate(def.payload).render(variables)
  return {
    id: occurrenceRunId(def, at),
    namespace: def.namespace,
    tenant: def.tenant,
    ...(def.provider !== undefined && { provider: def.provider }),
    action_type: def.actionType,
    payload: isObject(payload) ? payload : {},
    metadata: Object.fromEntries(Object.entries(def.metadata).map(([k, v]) => [k, text(v)])),
    ...(def.dedupKey !== undefined && { dedup_key: text(def.dedupKey) }),
    created_at: isoTime(at),
  }
}

/** A dispatch like any other: all rules, from the top, and all limits apply to it. */
export function occurrenceHold(def: Recurring, at: number, now: number): Hold {
  const action = occurrenceAction(def, at, def.executionCount + 1)
  return {
    kind: 'occurrence',
    runId: action.id,
    auditId: occurrenceAuditId(action.id, now),
    action,
    heldAt: now,
    firstDueAt: now,
    counted: false,
  }
}

/** The definition once an occurrence has been admitted or skipped. */
export function advanced(def: Recurring, at: number, fired: boolean): Recurring {
  const { nextAt: _, ...rest } = def
  const after: Recurring = fired
    ? { ...rest, executionCount: def.executionCount + 1, lastAt: at, lastRunId: occurrenceRunId(def, at) }
    : { ...rest, skippedCount: def.skippedCount + 1 }
  const nextAt = nextOf(after, at)
  return nextAt === undefined ? after : { ...after, nextAt }
}

export function recurringView(def: Recurring): JsonObject {
  const status = !def.enabled ? 'paused' : def.nextAt === undefined ? 'completed' : 'active'
  return {
    name: def.name,
    namespace: def.namespace,
    tenant: def.tenant,
    status,
    enabled: def.enabled,
    ...(def.provider !== undefined && { provider: def.provider }),
    action_type: def.actionType,
    payload: def.payload,
    metadata: def.metadata,
    ...(def.dedupKey !== undefined && { dedup_key: def.dedupKey }),
    cron_expression: def.cron,
    timezone: def.timezone,
    ...(def.description !== undefined && { description: def.description }),
    ...(def.endDate !== undefined && { end_date: isoTime(def.endDate) }),
    ...(def.maxExecutions !== undefined && { max_executions: def.maxExecutions }),
    overlap_policy: def.overlap,
    missed: def.missed,
    execution_count: def.executionCount,
    skipped_count: def.skippedCount,
    ...(def.nextAt !== undefined && { next_execution_at: isoTime(def.nextAt) }),
    ...(def.lastAt !== undefined && { last_execution_at: isoTime(def.lastAt) }),
    ...(def.lastRunId !== undefined && { last_run_id: def.lastRunId }),
    created_at: isoTime(def.createdAt),
    updated_at: isoTime(def.updatedAt),
  }
}
