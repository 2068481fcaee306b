import type { Action, Scope } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { kinds } from '../core/hold.ts'
import type { Json } from '../core/json.ts'
import type { Claimed, Op, StateStore } from '../core/state.ts'
import {
  advanced,
  occurrenceAction,
  occurrenceAuditId,
  occurrenceHold,
  occurrenceOf,
  occurrenceRunId,
  type Recurring,
} from './recurring.ts'
import { putRecurring, readRecurring } from './recurrings.ts'
import { putHold } from './schedule.ts'

/** The audit record of an occurrence that was not admitted. */
export interface SkippedRecord {
  readonly id: string
  readonly kind: 'occurrence'
  readonly action: Action
  readonly runId: string
  readonly outcome: 'suppressed'
  readonly receivedAt: number
  readonly completedAt: number
  readonly caller: string
  readonly details: Json
}
export interface OccurrencesDeps {
  readonly state: StateStore
  readonly now: () => number
  readonly newId: () => string
  /** An occurrence found later than this, and than a minute, was missed. Milliseconds; more than the loop's own interval. */
  readonly lateMs: () => number
  /** An execution which that action has started has not ended. */
  readonly isUnderWay: (scope: Scope, actionId: string) => Promise<boolean>
  /** Redacted, and none where audit is off. */
  readonly record: (r: SkippedRecord) => readonly Op[]
}

/** How long an occurrence is remembered, so that none is admitted twice: longer than any pause of a node that still believes it holds the claim. */
const REMEMBERED_MS = 86_400_000

/** A restart, or a stall of the store, is no downtime. */
const LATE_MS = 60_000

export type Occurred = 'fired' | 'skipped' | 'waiting' | 'lost'

/**
 * Makes the occurrence of a claimed definition, in one commit: its hold, the mark that it was made, the definition with its
 * next due time. A definition that has no more to do is left without one.
 */
export async function occur(deps: OccurrencesDeps, claimed: Claimed): Promise<Occurred> {
  const { state, newId } = deps
  const scope = claimed.key.scope
  const now = deps.now()
  const def = readRecurring(claimed)
  const due = occurrenceOf(def, now, Math.max(LATE_MS, deps.lateMs()))
  if (due.kind === 'wait') {
    const dueAt = def.nextAt
    await state.commit(scope, [
      dueAt === undefined
        ? { ...putRecurring(def, newId()), ifClaim: claimed.claim }
        : { op: 'touch', kind: kinds.recurring, id: def.name, ifClaim: claimed.claim, dueAt },
    ])
    return 'waiting'
  }
  const runId = occurrenceRunId(def, due.at)
  const skip = due.kind === 'skip' ? 'missed' : (await overlaps(deps, def)) ? 'overlap' : undefined
  const next = { ...putRecurring(advanced(def, due.at, skip === undefined), newId()), ifClaim: claimed.claim }
  const mark: Op = {
    op: 'put',
    kind: kinds.occurred,
    id: runId,
    value: JSON.stringify({ name: def.name, at: isoTime(due.at) }),
    version: newId(),
    ifVersion: null,
    expiresAt: now + REMEMBERED_MS,
  }
  const effect =
    skip === undefined
      ? [putHold(occurrenceHold(def, due.at, now), newId())]
      : deps.record(skippedRecord(def, due.at, now, skip))
  const done = await state.commit(scope, [mark, next, ...effect])
  if (done.ok) return skip === undefined ? 'fired' : 'skipped'
  if (done.at !== 0) return 'lost'
  // Made before: by a node whose clock is ahead, or in a commit whose answer was lost. Only the time goes on.
  const { executionCount: _c, ...rest } = advanced(def, due.at, true)
  const passed = putRecurring({ ...rest, executionCount: def.executionCount }, newId())
  return (await state.commit(scope, [{ ...passed, ifClaim: claimed.claim }])).ok ? 'skipped' : 'lost'
}

/**
 * The one before is still held, by a schedule rule perhaps, or on its way out, or a chain it has started goes on: under its own id,
 * wherever it is. What a group has taken is the group's.
 */
async function overlaps({ state, isUnderWay }: OccurrencesDeps, def: Recurring): Promise<boolean> {
  if (def.overlap !== 'skip' || def.lastRunId === undefined) return false
  const scope = [def.namespace, def.tenant] as const
  const id = def.lastRunId
  const seen = await state.get([
    { kind: kinds.occurrence, scope, id },
    { kind: kinds.scheduled, scope, id },
    { kind: kinds.intent, scope, id },
  ])
  // In this order: the commit that starts the chain ends the hold.
  return seen.some((e) => e !== undefined) || (await isUnderWay(scope, id))
}

function skippedRecord(def: Recurring, at: number, now: number, reason: 'missed' | 'overlap'): SkippedRecord {
  const runId = occurrenceRunId(def, at)
  return {
    id: occurrenceAuditId(runId, now),
    kind: 'occurrence',
    action: occurrenceAction(def, at, def.executionCount + 1),
    runId,
    outcome: 'suppressed',
    receivedAt: now,
    completedAt: now,
    caller: `recurring:${def.name}`,
    details: { reason, recurring: def.name, occurrence: isoTime(at) },
  }
}
