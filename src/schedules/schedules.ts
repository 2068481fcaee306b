import type { Action, Scope } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { type Hold, kinds } from '../core/hold.ts'
import type { Json, JsonObject } from '../core/json.ts'
import { type EndedWork, eachEntry } from '../core/pages.ts'
import type { Redact } from '../core/redact.ts'
import type { Entry, Key, Op, StateStore } from '../core/state.ts'
import { type EndedHold, type KeyState, readHold, readKey, unlinkOps } from './schedule.ts'
import { tidyKeys } from './stale-keys.ts'

/** The audit record of a hold that ended without an effect. */
export interface HoldRecord {
  readonly id: string
  readonly kind: 'hold'
  readonly action: Action
  readonly runId: string
  readonly outcome: 'cancelled' | 'replaced'
  readonly receivedAt: number
  readonly completedAt: number
  readonly caller: string
  readonly rule?: string | undefined
  readonly parentId?: string | undefined
  readonly details: Json
}

export interface SchedulesDeps {
  readonly state: StateStore
  readonly now: () => number
  readonly newId: () => string
  readonly redact: Redact
  /** Redacted, and none where audit is off. */
  readonly record: (r: HoldRecord) => readonly Op[]
}

export interface Schedules {
  /** Reads schedule keys and those of their holds that are still there: one round trip, two when a key exists. */
  keys(scope: Scope, ids: readonly string[]): Promise<ReadonlyMap<string, KeyState>>
  /** The key entry a hold's end needs for `unlinkOps`; undefined when it has no key. */
  keyOf(hold: Hold): Promise<Entry | undefined>
  /** Scheduled actions, or holds of another kind. */
  list(
    scope: Scope,
    page: { readonly limit: number; readonly after?: string },
    kind?: Hold['kind'],
  ): Promise<SchedulePage>
  get(scope: Scope, id: string, kind?: Hold['kind']): Promise<JsonObject | undefined>
  cancel(scope: Scope, id: string, by: string, kind?: Hold['kind']): Promise<Cancelled>
  /** Ends every scheduled action, or copy, that a rule holds in a scope. */
  cancelOf(kind: 'scheduled' | 'copy', scope: Scope, rule: string, by: string): Promise<EndedWork>
}
export type Cancelled = 'cancelled' | 'being_released' | 'not_found'
export interface SchedulePage {
  readonly scheduled: readonly JsonObject[]
  readonly next?: string
}

/** `by`: who ended it: a caller, and for a rule the rule and the action that met it. */
export function endedRecord(
  ended: EndedHold,
  now: number,
  by: { readonly caller: string; readonly rule?: string; readonly actionId?: string },
): HoldRecord {
  const { hold, outcome } = ended
  return {
    id: hold.auditId,
    kind: 'hold',
    action: hold.action,
    runId: hold.runId,
    outcome,
    receivedAt: hold.heldAt,
    completedAt: now,
    caller: by.caller,
    rule: hold.rule,
    parentId: hold.parentId,
    details: {
      scheduled_for: isoTime(hold.firstDueAt),
      ...(by.rule !== undefined && { by_rule: by.rule }),
      ...(by.actionId !== undefined && { by_action_id: by.actionId }),
    },
  }
}

export function schedules(deps: SchedulesDeps): Schedules {
  const { state, now, newId, redact } = deps
  const keyOf = async (hold: Hold): Promise<Entry | undefined> => {
    if (hold.keyId === undefined) return undefined
    const scope: Scope = [hold.action.namespace, hold.action.tenant]
    return (await state.get([{ kind: kinds.scheduleKey, scope, id: hold.keyId }]))[0]
  }
  async function cancel(kind: Hold['kind'], scope: Scope, id: string, by: string): Promise<Cancelled> {
    for (;;) {
      const [entry] = await state.get([{ kind: kinds[kind], scope, id }])
      if (!entry) return 'not_found'
      if (entry.claim) return 'being_released'
      const hold = readHold(entry)
      const ops: readonly Op[] = [
        { op: 'delete', kind: kinds[kind], id, ifVersion: entry.version, ifUnclaimed: true },
        ...unlinkOps(hold, await keyOf(hold), newId()),
        ...deps.record(endedRecord({ hold, outcome: 'cancelled' }, now(), { caller: by })),
      ]
      const done = await state.commit(scope, ops)
      if (!done.ok) continue
      await tidyKeys(deps, scope, ops, done)
      return 'cancelled'
    }
  }

  return {
    keyOf,
    async keys(scope, ids) {
      const entries = await state.get(ids.map((id): Key => ({ kind: kinds.scheduleKey, scope, id })))
      const pointers = ids.flatMap((id, i) => {
        const entry = entries[i]
        return entry ? readKey(entry).map((hold) => ({ id, hold })) : []
      })
      const found =
        pointers.length === 0
          ? []
          : await state.get(pointers.map((p): Key => ({ kind: kinds.scheduled, scope, id: p.hold })))
      return new Map(
        ids.map((id, i): [string, KeyState] => {
          const holds = found.filter((h, n): h is Entry => h !== undefined && pointers[n]?.id === id)
          return [id, { id, entry: entries[i], holds }]
        }),
      )
    },
    async list(scope, page, kind = 'scheduled') {
      const found = await state.list(kinds[kind], scope, page)
      const scheduled = found.entries.map((e) => holdView(e, redact))
      return { scheduled, ...(found.next !== undefined && { next: found.next }) }
    },
    async get(scope, id, kind = 'scheduled') {
      const [entry] = await state.get([{ kind: kinds[kind], scope, id }])
      return entry && holdView(entry, redact)
    },
    cancel: (scope, id, by, kind = 'scheduled') => cancel(kind, scope, id, by),
    async cancelOf(kind, scope, rule, by) {
      const ended = { cancelled: 0, being_released: 0, not_found: 0 }
      const all = await eachEntry(state, kinds[kind], scope, (entries) =>
        Promise.all(
          entries
            .filter((e) => readHold(e).rule === rule)
            .map(async (e) => {
              ended[await cancel(kind, scope, e.key.id, by)]++
            }),
        ),
      )
      return { cancelled: ended.cancelled, beingReleased: ended.being_released, all }
    },
  }
}

/** A hold as people see it: redacted, with the time it is for and, once a worker has it, until when. */
export function holdView(entry: Entry, redact: Redact): JsonObject {
  const hold = readHold(entry)
  const due = entry.claim ? hold.firstDueAt : (entry.dueAt ?? hold.firstDueAt)
  return {
    hold_id: hold.runId,
    action_id: hold.action.id,
    scheduled_for: isoTime(due),
    held_at: isoTime(hold.heldAt),
    ...(entry.claim && { claimed_until: isoTime(entry.claim.until) }),
    attempts: entry.attempts,
    ...(hold.rule !== undefined && { rule: hold.rule }),
    ...(hold.parentId !== undefined && { parent_id: hold.parentId }),
    ...(hold.lastRefusal !== undefined && { last_refusal: redact<Json>(hold.lastRefusal) }),
    action: redact(JSON.parse(JSON.stringify(hold.action)) as JsonObject),
  }
}
