import { isDeepStrictEqual } from 'node:util'
import type { Action, Scope } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { groupTag, kinds } from '../core/hold.ts'
import { isObject, type Json, type JsonObject, own } from '../core/json.ts'
import { type EndedWork, eachEntry, firstEntries } from '../core/pages.ts'
import type { Redact } from '../core/redact.ts'
import { type Entry, type Op, PAGE_CHARS, type Peeked, type StateStore } from '../core/state.ts'
import { peekBuffers } from './buffers.ts'
import { flushAction, readItem, readValue, sealInto, shownItem } from './group.ts'

/** The kind under which open buffers are listed and claimed. */
export const BUFFER = 'buffer'

/** By then what was sealed to be dropped has been. */
const DROPPED_MS = 30_000

export interface GroupsDeps {
  readonly state: StateStore
  readonly now: () => number
  readonly redact: Redact
  /** The audit record of a discard: redacted, and none where audit is off. */
  readonly record: (r: Discarded) => readonly Op[]
}
export interface Discarded {
  readonly id: string
  readonly kind: 'flush'
  readonly action: Action
  readonly runId: string
  readonly outcome: 'discarded' | 'cancelled'
  readonly rule: string
  readonly receivedAt: number
  readonly completedAt: number
  readonly caller: string
  readonly details: Json
}

/** Open groups as people see and steer them. */
export interface Groups {
  list(scope: Scope, page: { readonly limit: number; readonly after?: string }): Promise<GroupPage>
  /** With the sealed flushes that are still on their way out. */
  get(scope: Scope, id: string): Promise<JsonObject | undefined>
  /** Seals the group now; undefined when nothing is open. */
  flushNow(scope: Scope, id: string): Promise<{ readonly flushIds: readonly string[] } | undefined>
  /** Drops the open events, naming them in the audit. `being_released`: they were sealed and are on their way out. */
  discard(scope: Scope, id: string, by: string): Promise<'discarded' | 'being_released' | 'not_found'>
  /** Ends every event that a rule has gathered in a scope and that is not on its way out yet, audited `cancelled`. */
  cancelOf(scope: Scope, rule: string, by: string): Promise<EndedWork>
}
export interface GroupPage {
  readonly groups: readonly JsonObject[]
  readonly next?: string
}

export function groups(deps: GroupsDeps): Groups {
  const { state, now, redact } = deps

  const flushesOf = (scope: Scope, id: string): Promise<readonly Entry[]> =>
    firstEntries(state, kinds.flush, scope, { tag: groupTag(id), limit: 100 })

  async function seal(scope: Scope, id: string, dueAt?: number): Promise<readonly string[]> {
    const op: Op = { op: 'seal', id, into: sealInto(id), ...(dueAt !== undefined && { dueAt }) }
    const done = await state.commit(scope, [op])
    return done.ok ? (done.results[0]?.sealed ?? []) : []
  }

  /**
   * What is to be dropped is sealed first, so that the record names exactly what goes. Whoever sends flushes takes it only when that must
   * have been done: a crash in between leaves a flush, which is then sent.
   */
  const sealToDrop = (scope: Scope, id: string) => seal(scope, id, now() + DROPPED_MS)

  /** Drops a sealed flush, unless it is on its way out; answers how many events went with it. */
  async function drop(
    { key, value, version }: Entry,
    outcome: Discarded['outcome'],
    by: string,
  ): Promise<number | undefined> {
    const flush = flushAction(value)
    const record = deps.record({
      id: flush.auditId,
      kind: 'flush',
      action: flush.action,
      runId: flush.runId,
      outcome,
      rule: flush.resume.rule,
      receivedAt: flush.sealedAt,
      completedAt: now(),
      caller: by,
      details: {
        group_id: own(flush.action.payload, 'group_id') ?? null,
        flush_id: key.id,
        action_ids: flush.events.map((e) => e.action_id),
      },
    })
    const done = await state.commit(key.scope, [
      { op: 'delete', kind: kinds.flush, id: key.id, ifVersion: version, ifUnclaimed: true },
      ...record,
    ])
    return done.ok ? flush.events.length : undefined
  }

  return {
    async list(scope, page) {
      const found = await state.list(BUFFER, scope, page)
      const ids = found.entries.map((e) => e.key.id)
      const shown: JsonObject[] = []
      let bytes = 0
      for await (const { last, buffers } of peekBuffers(state, scope, ids)) {
        for (const [id, b] of buffers) {
          shown.push(groupView(id, b, redact))
          bytes += b.bytes ?? 0
        }
        // Their events are no part of their entries: here the page ends by its size, too.
        if (bytes >= PAGE_CHARS && last !== ids.at(-1)) return { groups: shown, next: last }
      }
      return { groups: shown, ...(found.next !== undefined && { next: found.next }) }
    },
    async get(scope, id) {
      const [[buffer], flushes] = await Promise.all([state.peek('buffer', scope, [id]), flushesOf(scope, id)])
      const pending = flushes.map(flushView)
      if (buffer && buffer.n > 0) return { ...groupView(id, buffer, redact), pending_flushes: pending }
      const sealed = flushes[0]
      if (!sealed) return undefined
      const { action } = flushAction(sealed.value)
      const { group_key, labels } = action.payload
      const head = shownKey(String(group_key), isObject(labels) ? labels : {}, redact)
      return { group_id: id, ...head, size: 0, bytes: 0, events: [], pending_flushes: pending }
    },
    async flushNow(scope, id) {
      const flushIds = await seal(scope, id)
      return flushIds.length === 0 ? undefined : { flushIds }
    },
    async discard(scope, id, by) {
      const [sealed] = await sealToDrop(scope, id)
      if (sealed === undefined) return (await flushesOf(scope, id)).length > 0 ? 'being_released' : 'not_found'
      const [entry] = await state.get([{ kind: kinds.flush, scope, id: sealed }])
      const gone = entry && (await drop(entry, 'discarded', by))
      return gone === undefined ? 'being_released' : 'discarded'
    },
    async cancelOf(scope, rule, by) {
      let cancelled = 0
      let beingReleased = 0
      const open = await eachEntry(state, BUFFER, scope, (entries) =>
        Promise.all(entries.filter((e) => readValue(e.value).rule === rule).map((e) => sealToDrop(scope, e.key.id))),
      )
      const sealed = await eachEntry(state, kinds.flush, scope, (entries) =>
        Promise.all(
          entries
            .filter((e) => flushAction(e.value).resume.rule === rule)
            .map(async (e) => {
              const gone = await drop(e, 'cancelled', by)
              if (gone === undefined) beingReleased += flushAction(e.value).events.length
              else cancelled += gone
            }),
        ),
      )
      return { cancelled, beingReleased, all: open && sealed }
    },
  }
}

function groupView(id: string, buffer: Peeked, redact: Redact): JsonObject {
  const value = buffer.value === undefined ? undefined : readValue(buffer.value)
  const events = (buffer.items ?? []).map((i) => shownItem(readItem(i.item)))
  return {
    group_id: id,
    ...shownKey(value?.group_key ?? '', value?.labels ?? {}, redact),
    rule: value?.rule ?? null,
    size: buffer.n,
    bytes: buffer.bytes ?? 0,
    ...(buffer.dueAt !== undefined && { notify_at: isoTime(buffer.dueAt) }),
    events: redact<readonly Json[]>(events),
  }
}

function flushView(entry: Entry): JsonObject {
  const flush = flushAction(entry.value)
  return {
    flush_id: entry.key.id,
    sealed_at: isoTime(flush.sealedAt),
    event_count: flush.events.length,
    attempts: entry.attempts,
    ...(entry.dueAt !== undefined && { due: isoTime(entry.dueAt) }),
    ...(entry.claim && { claimed_until: isoTime(entry.claim.until) }),
  }
}

/** Labels are values of the payload and the metadata: what is hidden there is hidden here, and in the key made of them. */
function shownKey(key: string, labels: JsonObject, redact: Redact): JsonObject {
  // Beside a group_key they are known for what they are.
  const { labels: shown } = redact({ group_key: null, labels })
  return { group_key: isDeepStrictEqual(shown, labels) ? key : null, labels: shown }
}
