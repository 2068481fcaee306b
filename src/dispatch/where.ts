import type { Chains } from '../chains/chains.ts'
import { openStatuses } from '../chains/model/run.ts'
import type { Scope } from '../core/action.ts'
import type { AuditRecord, AuditStore } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import { notFound } from '../core/errors.ts'
import { actionTag, kinds } from '../core/hold.ts'
import type { JsonObject } from '../core/json.ts'
import { firstEntries } from '../core/pages.ts'
import type { Redact } from '../core/redact.ts'
import type { Entry, StateStore } from '../core/state.ts'
import { deadLettersOf, deadLetterView } from '../delivery/dead-letters.ts'
import { readHold } from '../schedules/schedule.ts'
import { readIntent } from './intent.ts'

/** Where an action is now, and what has been recorded of it. */
export interface Whereabouts {
  readonly action_id: string
  /** The nearest to the truth of: `delivering`, `held`, `in_chain`, `dead_letter`, and `ended`. */
  readonly status: 'delivering' | 'held' | 'in_chain' | 'dead_letter' | 'ended'
  readonly places: readonly JsonObject[]
  readonly records: readonly AuditRecord[]
}

export interface WhereDeps {
  readonly state: StateStore
  readonly audit: AuditStore
  readonly chains: Pick<Chains, 'byAction'>
  readonly redact: () => Redact
}

const MOST = 100

/** Throws Problem 404 when neither the store nor the audit knows the action in this scope. */
export async function whereIs(deps: WhereDeps, scope: Scope, actionId: string): Promise<Whereabouts> {
  const { state, audit, chains } = deps
  const redact = deps.redact()
  const tagged = (kind: string) => firstEntries(state, kind, scope, { tag: actionTag(actionId), limit: MOST })
  const [intents, scheduled, copies, occurrences, executions, letters, page] = await Promise.all([
    tagged(kinds.intent),
    tagged(kinds.scheduled),
    tagged(kinds.copy),
    tagged(kinds.occurrence),
    chains.byAction(scope, actionId),
    deadLettersOf(state, scope, actionId),
    audit.query(scope, { actionId }, { limit: MOST }),
  ])
  const holds = [...scheduled, ...copies, ...occurrences]
  const running = executions.filter((e) => openStatuses.some((s) => s === e['status']))
  const places: JsonObject[] = [
    ...intents.map(intentPlace),
    ...holds.map(holdPlace),
    ...(await groupPlaces(state, scope, page.records)),
    ...executions.map((e): JsonObject => ({ place: 'chain', ...e })),
    ...letters.map((l): JsonObject => ({ place: 'dead_letter', ...deadLetterView(l, redact) })),
  ]
  if (places.length === 0 && page.records.length === 0) throw notFound('action with this id')
  const held = holds.length > 0 || places.some((p) => p['place'] === 'group')
  const status =
    intents.length > 0
      ? 'delivering'
      : held
        ? 'held'
        : running.length > 0
          ? 'in_chain'
          : letters.length > 0
            ? 'dead_letter'
            : 'ended'
  return { action_id: actionId, status, places, records: page.records }
}

function intentPlace(entry: Entry): JsonObject {
  const intent = readIntent(entry.value)
  return {
    place: 'delivery',
    run_id: intent.runId,
    provider: intent.provider,
    attempts: entry.attempts,
    ...(entry.claim
      ? { claimed_until: isoTime(entry.claim.until) }
      : entry.dueAt !== undefined && { due_at: isoTime(entry.dueAt) }),
  }
}

function holdPlace(entry: Entry): JsonObject {
  const hold = readHold(entry)
  return {
    place: hold.kind,
    hold_id: hold.runId,
    ...(entry.dueAt !== undefined && { due_at: isoTime(entry.claim ? hold.firstDueAt : entry.dueAt) }),
    attempts: entry.attempts,
    ...(hold.rule !== undefined && { rule: hold.rule }),
    ...(hold.lastRefusal !== undefined && { last_refusal: hold.lastRefusal }),
  }
}

/** An event that was grouped is still held while its open buffer, or a sealed flush on its way out, has it. */
async function groupPlaces(
  state: StateStore,
  scope: Scope,
  records: readonly AuditRecord[],
): Promise<readonly JsonObject[]> {
  const grouped = records.filter((r) => r.outcome === 'grouped')
  const groupIds = [...new Set(grouped.map((r) => (r.details as { group_id?: string } | undefined)?.group_id))].filter(
    (g) => g !== undefined,
  )
  const runs = new Set(grouped.map((r) => r.run_id))
  const places: JsonObject[] = []
  const buffers = groupIds.length > 0 ? await state.peek('buffer', scope, groupIds) : []
  for (const [i, groupId] of groupIds.entries()) {
    const buffer = buffers[i]
    if (buffer?.items?.some((item) => runs.has(item.itemId)))
      places.push({
        place: 'group',
        group_id: groupId,
        ...(buffer.dueAt !== undefined && { due_at: isoTime(buffer.dueAt) }),
      })
    const flushes = await firstEntries(state, kinds.flush, scope, { tag: `group:${groupId}`, limit: MOST })
    for (const f of flushes) {
      const items = (JSON.parse(f.value) as { items: readonly { itemId: string }[] }).items
      if (items.some((item) => runs.has(item.itemId)))
        places.push({
          place: 'group',
          group_id: groupId,
          flush_id: f.key.id,
          ...(f.dueAt !== undefined && { due_at: isoTime(f.dueAt) }),
        })
    }
  }
  return places
}
