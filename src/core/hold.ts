import type { Action } from './action.ts'
import type { Lineage } from './lineage.ts'
import type { Resume } from './plan.ts'

/** The kinds of entries in the state store, so that no two parts use one name for two things. */
export const kinds = {
  /** Holds, by what holds them: each kind has its own loop, none waits for another. */
  scheduled: 'scheduled',
  copy: 'copy',
  occurrence: 'occurrence',
  /** A sealed group buffer, as the `seal` op writes it. */
  flush: 'flush',
  /** An admitted action on its way out: what must be sent, and under which token. */
  intent: 'intent',
  /** Points from a schedule key to its holds. */
  scheduleKey: 'schedule_key',
  /** A recurring definition; due at its next occurrence. */
  recurring: 'recurring',
  /** An occurrence that was made: outlives the hold by 24 h, so that none is made twice. */
  occurred: 'occurred',
  dedup: 'dedup',
  idempotency: 'idempotency',
  deadLetter: 'dead_letter',
  /** Chain executions, their stored step results, and messages to them. */
  run: 'run',
  step: 'step',
  inbox: 'inbox',
  /** Idempotency-Keys under which signals were sent. */
  signalKey: 'signal_key',
  /** Changed by whoever sends an execution a signal, so that who gives up waiting for one sees it. */
  signalCame: 'signal_came',
  /** What has happened to an execution, a commit an entry. */
  history: 'history',
  /** Results that later steps may reuse. */
  stepCache: 'step_cache',
  /** Who holds an entity's lock, and who waits for it. */
  chainLock: 'chain_lock',
  chainLockWait: 'chain_lock_wait',
  /** Changed by whoever comes to a lock's line, so that who leaves sees it. */
  chainLockCame: 'chain_lock_came',
  /** Definitions as they came into force through the API. */
  chainVersion: 'chain_version',
  /** A gateway that is alive, in the global scope. */
  node: 'node',
  /** Audit records on their way to an audit that lives elsewhere, as `outboxText` (audit.ts) has them. */
  auditOutbox: 'record_outbox',
  /** The same as gateways of before wrote it: rows, one or a list of them. */
  rowOutbox: 'audit_outbox',
  /** Those it does not take, whatever was tried: nothing more becomes of them. */
  auditRefused: 'audit_refused',
} as const

/**
 * Kinds whose entries are asked for by their ids, never listed and never due: a store may keep them out of its lists. They are most of
 * what a busy gateway writes, and a list costs as much as the entry.
 */
export const keptById: ReadonlySet<string> = new Set([kinds.dedup, kinds.idempotency, kinds.occurred, kinds.stepCache])

/** An action the gateway keeps for later: the value of `scheduled`, `copy` and `occurrence` entries, whose id is the run id. */
export interface Hold {
  readonly kind: 'scheduled' | 'copy' | 'occurrence'
  readonly runId: string
  /** The audit record its end will write: fixed now, so that writing it twice is once. */
  readonly auditId: string
  readonly action: Action
  readonly heldAt: number
  /** The due time it began with; the entry's own moves when it is put back. */
  readonly firstDueAt: number
  /** Where it continues in the rules. Absent: a copy (asks none), an occurrence (from the top). */
  readonly resume?: Resume
  readonly parentId?: string
  /** What it has behind it: a scheduled one its holder too. Absent: nothing, it is the first. */
  readonly lineage?: Lineage
  readonly rule?: string
  /** State id of the schedule key that points here. */
  readonly keyId?: string
  /** Its quota was counted already (a copy's counts when it is first released). */
  readonly counted: boolean
  /** Why it was last put back. */
  readonly lastRefusal?: string
}

export const actionTag = (actionId: string): string => `action:${actionId}`
export const groupTag = (groupId: string): string => `group:${groupId}`

/** What a flush is as an action. */
export const GROUP_NOTIFICATION = 'group_notification'
const NO_TAGS: readonly string[] = []

/** Beside its own: the group whose notification it is, by which the events in it find it; and of a copy, the action it is a copy of. */
export function kinTags(kind: string, action: Action, parentId: string | undefined): readonly string[] {
  if (kind === kinds.copy && parentId !== undefined) return [actionTag(parentId)]
  const groupId = groupNotified(action)
  return groupId === undefined ? NO_TAGS : [groupTag(groupId)]
}
/** The group whose notification an action is. */
export function groupNotified(action: Action): string | undefined {
  if (action.action_type !== GROUP_NOTIFICATION) return undefined
  const { group_id: groupId } = action.payload
  return typeof groupId === 'string' && groupId.length <= MOST_GROUP_ID ? groupId : undefined
}
/** Ours are hashes; a caller may send an action of that type, too. */
const MOST_GROUP_ID = 100
