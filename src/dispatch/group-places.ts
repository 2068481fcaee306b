import type { Chains } from '../chains/chains.ts'
import type { Action, Scope } from '../core/action.ts'
import type { AuditRecord } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import { groupTag, kinds } from '../core/hold.ts'
import { isObject, type JsonObject, own } from '../core/json.ts'
import { firstEntries } from '../core/pages.ts'
import type { Entry, StateStore } from '../core/state.ts'
import { type DeadLetter, readDeadLetter } from '../delivery/dead-letters.ts'
import { peekBuffers } from '../groups/buffers.ts'
import { readItem } from '../groups/group.ts'
import { BUFFER } from '../groups/groups.ts'
import { readHold } from '../schedules/schedule.ts'
import { readIntent } from './intent.ts'

/** What a grouped event is part of: its open buffer, its sealed flush, and whatever has become of that. */
export interface GroupPlaces {
  /** Open, or sealed and not taken up. */
  readonly waiting: readonly JsonObject[]
  readonly intents: readonly Entry[]
  readonly holds: readonly Entry[]
  readonly letters: readonly DeadLetter[]
  /** That its notification has started, ended or not. */
  readonly executions: readonly JsonObject[]
}
export interface GroupPlacesDeps {
  readonly state: StateStore
  readonly chains: Pick<Chains, 'byGroup'>
}

const MOST = 100

export const NO_GROUP: GroupPlaces = { waiting: [], intents: [], holds: [], letters: [], executions: [] }

/** By the groups its records name. */
export async function groupPlaces(
  deps: GroupPlacesDeps,
  scope: Scope,
  actionId: string,
  records: readonly AuditRecord[],
): Promise<GroupPlaces> {
  const grouped = records.filter((r) => r.outcome === 'grouped')
  const ids = new Set(grouped.map((r) => (r.details as { group_id?: string } | undefined)?.group_id))
  const runs = new Set(grouped.map((r) => r.run_id))
  const found = await Promise.all(
    [...ids].filter((id) => id !== undefined).map((id) => inGroup(deps, scope, id, actionId, runs)),
  )
  return {
    waiting: found.flatMap((f) => f.waiting),
    intents: found.flatMap((f) => f.intents),
    holds: found.flatMap((f) => f.holds),
    letters: found.flatMap((f) => f.letters),
    executions: found.flatMap((f) => f.executions),
  }
}

async function inGroup(
  { state, chains }: GroupPlacesDeps,
  scope: Scope,
  groupId: string,
  actionId: string,
  runs: ReadonlySet<string>,
): Promise<GroupPlaces> {
  const tagged = (kind: string) =>
    firstEntries(state, kind, scope, { tag: groupTag(groupId), limit: MOST, descending: true })
  const [[buffer], flushes, intents, holds, letters, executions] = await Promise.all([
    state.peek('buffer', scope, [groupId]),
    tagged(kinds.flush),
    tagged(kinds.intent),
    tagged(kinds.scheduled),
    tagged(kinds.deadLetter),
    chains.byGroup(scope, groupId, (notification) => tellsOf(notification, actionId)),
  ])
  const isOpen = buffer?.items?.some((item) => runs.has(item.itemId))
  return {
    waiting: [
      ...(buffer && isOpen ? [openPlace(groupId, buffer)] : []),
      ...flushes.filter((f) => sealed(f).items.some((item) => runs.has(item.itemId))).map(sealedPlace),
    ],
    intents: intents.filter((e) => tellsOf(readIntent(e.value).action, actionId)),
    holds: holds.filter((e) => tellsOf(readHold(e).action, actionId)),
    letters: letters.map(readDeadLetter).filter((l) => tellsOf(l.action, actionId)),
    executions,
  }
}

/** Where no record names a group: a look into the first that wait in the scope, and the last that could not be delivered. */
export async function seekGroup(state: StateStore, scope: Scope, actionId: string): Promise<GroupPlaces> {
  const first = (kind: string, descending = false) => firstEntries(state, kind, scope, { limit: MOST, descending })
  const [buffers, flushes, letters] = await Promise.all([
    first(BUFFER),
    first(kinds.flush),
    first(kinds.deadLetter, true),
  ])
  const waiting = flushes
    .filter((f) => sealed(f).items.some((i) => readItem(i.item).action_id === actionId))
    .map(sealedPlace)
  const ids = buffers.map((b) => b.key.id)
  for await (const { buffers: some } of peekBuffers(state, scope, ids))
    for (const [id, b] of some)
      if (b.items?.some((item) => readItem(item.item).action_id === actionId)) waiting.push(openPlace(id, b))
  return { ...NO_GROUP, waiting, letters: letters.map(readDeadLetter).filter((l) => tellsOf(l.action, actionId)) }
}

interface Sealed {
  readonly buffer: string
  readonly items: readonly { readonly itemId: string; readonly item: string }[]
}
const sealed = (flush: Entry): Sealed => JSON.parse(flush.value) as Sealed

const openPlace = (groupId: string, { dueAt }: { readonly dueAt?: number }): JsonObject => ({
  place: 'group',
  group_id: groupId,
  ...(dueAt !== undefined && { due_at: isoTime(dueAt) }),
})
const sealedPlace = (flush: Entry): JsonObject => ({
  ...openPlace(sealed(flush).buffer, flush),
  flush_id: flush.key.id,
})

/** A notification names the events it is of. */
function tellsOf({ payload }: Action, actionId: string): boolean {
  const events = own(payload, 'events')
  return Array.isArray(events) && events.some((e) => isObject(e) && own(e, 'action_id') === actionId)
}
