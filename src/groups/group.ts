import type { Action } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { GROUP_NOTIFICATION, groupTag, kinds } from '../core/hold.ts'
import { uuidv5, uuidv7Of } from '../core/ids.ts'
import type { JsonObject } from '../core/json.ts'
import { type Lineage, longer, newLineage, passing } from '../core/lineage.ts'
import { type End, type Resume, resumeBehind } from '../core/plan.ts'
import type { Op, SealInto } from '../core/state.ts'

/**
 * 1 An event is in exactly one of: the open buffer, one sealed flush, the dead letters.
 * 2 A sealed flush never changes: its action, run id and audit id are functions of the sealed entry alone.
 */

export type GroupEnd = Extract<End, { kind: 'group' }>

/** What a buffer keeps of the plan of its first event, as JSON text. */
export interface GroupValue {
  readonly group_id: string
  readonly group_key: string
  readonly labels: JsonObject
  readonly rule: string
  readonly resume: Resume
  readonly namespace: string
  readonly tenant: string
  /** The first event's. */
  readonly provider?: string
  /** The rule's own, before the event's. */
  readonly target_provider?: string
}
/** One event of a buffer, as JSON text; its item id is the run id. */
export interface GroupItem {
  readonly action_id: string
  readonly run_id: string
  readonly received_at: string
  readonly payload: JsonObject
  readonly metadata: { readonly [key: string]: string }
  /** Kept for the flush, and shown to nobody. Absent: the event is its own first. */
  readonly lineage?: Lineage
}
/** The value of a `flush` entry, as the `seal` op writes it. */
interface Sealed {
  readonly buffer: string
  readonly value: string
  readonly seal: number
  readonly sealed_at: number
  readonly items: readonly { readonly itemId: string; readonly item: string; readonly at: number }[]
}

/** Where a group's buffer is sealed to. */
export const sealInto = (groupId: string): SealInto => ({
  kind: kinds.flush,
  idPrefix: `${groupId}.`,
  tags: [groupTag(groupId)],
})

/** The op that takes an event into its group. `receivedAt` in milliseconds. The result's n and dueAt are `group_size` and `notify_at`. */
export function appendOps(
  end: GroupEnd,
  event: {
    readonly action: Action
    readonly runId: string
    readonly receivedAt: number
    readonly matched: readonly string[]
    readonly lineage?: Lineage
  },
): readonly Op[] {
  const { action, runId } = event
  const value: GroupValue = {
    group_id: end.groupId,
    group_key: end.groupKey,
    labels: end.labels,
    rule: end.rule,
    resume: resumeBehind(end, event.matched),
    namespace: action.namespace,
    tenant: action.tenant,
    ...(action.provider !== undefined && { provider: action.provider }),
    ...(end.targetProvider !== undefined && { target_provider: end.targetProvider }),
  }
  const item: GroupItem = {
    action_id: action.id,
    run_id: runId,
    received_at: isoTime(event.receivedAt),
    payload: action.payload,
    metadata: action.metadata,
    ...(event.lineage && { lineage: event.lineage }),
  }
  return [
    {
      op: 'append',
      id: end.groupId,
      itemId: runId,
      item: JSON.stringify(item),
      value: JSON.stringify(value),
      maxItems: end.maxSize,
      maxBytes: end.maxBytes,
      waitMs: end.waitMs,
      intervalMs: end.intervalMs,
      into: sealInto(end.groupId),
    },
  ]
}

export interface Flush {
  /** `group_notification`, to the target provider or the first event's. */
  readonly action: Action
  readonly resume: Resume
  readonly runId: string
  /** Of the record its end will write. */
  readonly auditId: string
  readonly targetProvider?: string
  /** The longest of its events', and the group's rule. */
  readonly lineage: Lineage
  readonly sealedAt: number
  readonly events: readonly GroupItem[]
}

/** The one action of a sealed buffer: the same entry gives the same bytes each time, so that a re-send is the same. */
export function flushAction(sealedValue: string): Flush {
  const sealed = JSON.parse(sealedValue) as Sealed
  const value = readValue(sealed.value)
  const events = sealed.items.map((i) => readItem(i.item))
  // The moment too: a buffer long forgotten counts its seals from 1 again.
  const seal = [sealed.buffer, String(sealed.seal), String(sealed.sealed_at)]
  const runId = uuidv5('flush', value.namespace, value.tenant, ...seal)
  const provider = value.target_provider ?? value.provider
  return {
    action: {
      id: runId,
      namespace: value.namespace,
      tenant: value.tenant,
      ...(provider !== undefined && { provider }),
      action_type: GROUP_NOTIFICATION,
      payload: {
        group_id: value.group_id,
        group_key: value.group_key,
        labels: value.labels,
        event_count: events.length,
        events: events.map(shownItem),
      },
      metadata: {},
      created_at: isoTime(sealed.sealed_at),
    },
    resume: value.resume,
    runId,
    auditId: uuidv7Of(sealed.sealed_at, 'flush', runId),
    ...(value.target_provider !== undefined && { targetProvider: value.target_provider }),
    lineage: passing(longest(events) ?? newLineage(runId), `rule:${value.rule}`),
    sealedAt: sealed.sealed_at,
    events,
  }
}

const longest = (events: readonly GroupItem[]): Lineage | undefined =>
  events.map((e) => e.lineage ?? newLineage(e.run_id)).reduce<Lineage | undefined>(longer, undefined)

/** An event as the notification and the API have it: without what only the gateway needs. */
export const shownItem = ({ run_id: _run, lineage: _lineage, ...event }: GroupItem) => event

export const readValue = (text: string): GroupValue => JSON.parse(text) as GroupValue
export const readItem = (text: string): GroupItem => JSON.parse(text) as GroupItem
