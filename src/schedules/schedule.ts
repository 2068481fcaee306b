import { isoTime } from '../core/clock.ts'
import { actionTag, type Hold, kinds, kinTags } from '../core/hold.ts'
import type { End } from '../core/plan.ts'
import type { Entry, Op } from '../core/state.ts'

/**
 * A schedule key is an entry that points at the holds under it. Every commit that changes what a key points at is guarded
 * by the key entry's version, and every hold it ends by that hold's, so that of two nodes one is refused, reads again and
 * decides again (`movedOn`).
 */

export type ScheduleEnd = Extract<End, { kind: 'schedule' }>

/** So many may stand under one key: each of them is read when the key is asked for, and one commit of any store can end them all. */
export const MOST_UNDER_KEY = 40

/** A key as read: its entry, and those of its holds that are still there. */
export interface KeyState {
  readonly id: string
  readonly entry: Entry | undefined
  readonly holds: readonly Entry[]
}
export const emptyKey = (id: string): KeyState => ({ id, entry: undefined, holds: [] })

/** A hold that ended without an effect: to be audited under `hold.auditId` in the same commit. */
export interface EndedHold {
  readonly hold: Hold
  readonly outcome: 'cancelled' | 'replaced'
}

export interface ScheduleOps {
  readonly ops: readonly Op[]
  readonly ended: readonly EndedHold[]
  /** What the caller is told. */
  readonly holdId: string
  readonly scheduledFor: string
  /** `keep` found a hold: nothing was added, and this action is audited `deduplicated`. */
  readonly kept: boolean
  readonly warnings: readonly string[]
  /** The key as it is after these ops, for the next part of the same plan; undefined without a key. */
  readonly key: KeyState | undefined
}

/**
 * Puts a hold, and minds its key. `hold.firstDueAt` is the due time; `version` is a new id. `key` is as `Schedules.keys` read it.
 */
export function scheduleOps(input: {
  readonly hold: Hold
  readonly onRepeat: ScheduleEnd['onRepeat']
  readonly key: KeyState | undefined
  readonly version: string
}): ScheduleOps {
  const { hold, onRepeat, version } = input
  const key = input.key && without(input.key, hold.runId)
  const kept = onRepeat === 'keep' ? key?.holds[0] : undefined
  if (kept) {
    const first = readHold(kept)
    return {
      // One whose claim is in force is on its way out already, and is answered for by that.
      ops: [...(key?.entry ? [unchanged(key.entry)] : []), ...(kept.claim ? [] : [unchanged(kept)])],
      ended: [],
      holdId: first.runId,
      scheduledFor: isoTime(kept.claim ? first.firstDueAt : (kept.dueAt ?? first.firstDueAt)),
      kept: true,
      warnings: [],
      key,
    }
  }
  const put = putHold(hold, version)
  const told = { holdId: hold.runId, scheduledFor: isoTime(hold.firstDueAt), kept: false }
  if (!key) return { ...told, ops: [put], ended: [], warnings: [], key }
  const ended = onRepeat === 'restart' ? endAll(key, 'replaced') : { ops: [], ended: [], warnings: [] }
  const others = onRepeat === 'add' ? key.holds.map((h) => h.key.id) : []
  const pointer = putKey(key, [...others, hold.runId], version)
  return {
    ...told,
    ops: [...ended.ops, put, pointer.op],
    ended: ended.ended,
    warnings: ended.warnings,
    key: { id: key.id, entry: pointer.entry(hold), holds: [...(onRepeat === 'add' ? key.holds : []), born(put, hold)] },
  }
}

/**
 * Ends the holds under a key, except those already claimed (warning `too_late`). `self`: the run that is being released, when
 * its own hold is under the key: it is neither ended nor too late.
 */
export function cancelOps(
  all: KeyState,
  self?: string,
): {
  readonly ops: readonly Op[]
  readonly ended: readonly EndedHold[]
  readonly warnings: readonly string[]
  readonly key: KeyState
} {
  const key = without(all, self)
  const ending = endAll(key, 'cancelled')
  const pointer: Op[] = key.entry
    ? [{ op: 'delete', kind: kinds.scheduleKey, id: key.id, ifVersion: key.entry.version }]
    : []
  return { ...ending, ops: [...ending.ops, ...pointer], key: emptyKey(key.id) }
}

/** A released hold that meets its own key again is not there any more: kept, it would answer for itself and be gone. */
const without = (key: KeyState, runId: string | undefined): KeyState => ({
  ...key,
  holds: key.holds.filter((h) => h.key.id !== runId),
})

/**
 * Takes an ended hold off its key: the last ops of the commit that ends it, after those of a plan that may change the same
 * key. `key` is the key's entry as it stood; if it has moved on meanwhile, in this commit or another, the op is skipped:
 * `tidyKeys` then looks what is left. A stale pointer is passed over when the key is read.
 */
export function unlinkOps(hold: Hold, key: Entry | undefined, version: string): readonly Op[] {
  if (!key) return []
  const left = readKey(key).filter((id) => id !== hold.runId)
  return [{ ...linkTo(left, key, version), orSkip: true }]
}

/** The key, as it stands, points at these alone. */
export function linkTo(holds: readonly string[], key: Entry, version: string): Extract<Op, { op: 'put' | 'delete' }> {
  const guard = { kind: kinds.scheduleKey, id: key.key.id, ifVersion: key.version } as const
  return holds.length === 0 ? { op: 'delete', ...guard } : { op: 'put', ...guard, value: keyValue(holds), version }
}

/** Asks that an entry is still what was read, and free: the same is put again under the same version, so that others who ask are in no way. */
const unchanged = ({ key, value, version, tags, dueAt, expiresAt }: Entry): Op => ({
  op: 'put',
  kind: key.kind,
  id: key.id,
  value,
  version,
  tags,
  ifVersion: version,
  ifUnclaimed: true,
  ...(dueAt !== undefined && { dueAt }),
  ...(expiresAt !== undefined && { expiresAt }),
})

/** Whether a refused op means that a key or its holds have moved on: read the keys and plan again. */
export const movedOn = (op: Op): boolean =>
  'kind' in op &&
  (op.kind === kinds.scheduleKey ||
    (op.kind === kinds.scheduled && (op.op === 'delete' || (op.op === 'put' && op.ifVersion != null))))

export function putHold(hold: Hold, version: string): Extract<Op, { op: 'put' }> {
  return {
    op: 'put',
    kind: hold.kind,
    id: hold.runId,
    value: JSON.stringify(hold),
    version,
    ifVersion: null,
    tags: [actionTag(hold.action.id), ...kinTags(hold.kind, hold.action, hold.parentId)],
    dueAt: hold.firstDueAt,
  }
}

export const readHold = (entry: Entry): Hold => JSON.parse(entry.value) as Hold
export const readKey = (entry: Entry): readonly string[] => (JSON.parse(entry.value) as { holds: string[] }).holds
const keyValue = (holds: readonly string[]): string => JSON.stringify({ holds })

function endAll(key: KeyState, outcome: EndedHold['outcome']) {
  const open = key.holds.filter((h) => !h.claim)
  const late = key.holds.filter((h) => h.claim)
  return {
    ops: open.map(
      (h): Op => ({ op: 'delete', kind: kinds.scheduled, id: h.key.id, ifVersion: h.version, ifUnclaimed: true }),
    ),
    ended: open.map((h): EndedHold => ({ hold: readHold(h), outcome })),
    warnings: late.map((h) => `too_late: hold ${h.key.id} is already being released`),
  }
}

function putKey(key: KeyState, holds: readonly string[], version: string) {
  const value = keyValue(holds)
  const op: Op = {
    op: 'put',
    kind: kinds.scheduleKey,
    id: key.id,
    value,
    version,
    ifVersion: key.entry?.version ?? null,
  }
  const entry = (hold: Hold): Entry => ({
    key: { kind: kinds.scheduleKey, scope: [hold.action.namespace, hold.action.tenant], id: key.id },
    value,
    version,
    tags: [],
    attempts: 0,
  })
  return { op, entry }
}

/** The entry a put will make, as a later part of the same plan sees it. */
const born = (put: Extract<Op, { op: 'put' }>, hold: Hold): Entry => ({
  key: { kind: put.kind, scope: [hold.action.namespace, hold.action.tenant], id: put.id },
  value: put.value,
  version: put.version,
  tags: put.tags ?? [],
  dueAt: hold.firstDueAt,
  attempts: 0,
})
