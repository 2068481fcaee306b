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
import { groupPlaces, seekGroup } from './group-places.ts'
import { readIntent, refusalView } from './intent.ts'

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
  readonly chains: Pick<Chains, 'byAction' | 'byGroup'>
  readonly redact: () => Redact
}

const MOST = 100

/** Throws Problem 404 when neither the store nor the audit knows the action in this scope. */
export async function whereIs(deps: WhereDeps, scope: Scope, actionId: string): Promise<Whereabouts> {
  const { state, audit, chains } = deps
  const redact = deps.redact()
  const tagged = (kind: string) => firstEntries(state, kind, scope, { tag: actionTag(actionId), limit: MOST })
  const [ownIntents, scheduled, copies, occurrences, ownExecutions, ownLetters, page] = await Promise.all([
    tagged(kinds.intent),
    tagged(kinds.scheduled),
    tagged(kinds.copy),
    tagged(kinds.occurrence),
    chains.byAction(scope, actionId),
    deadLettersOf(state, scope, actionId),
    audit.query(scope, { actionId }, { limit: MOST }),
  ])
  const ownHolds = [...scheduled, ...copies, ...occurrences]
  const known = [ownIntents, ownHolds, ownExecutions, ownLetters, page.records].some((found) => found.length > 0)
  // An event has no entry of its own in the state: its record says which group to look at.
  const group = known ? await groupPlaces(deps, scope, actionId, page.records) : await seekGroup(state, scope, actionId)
  const intents = [...ownIntents, ...group.intents]
  const holds = [...ownHolds, ...group.holds]
  const letters = [...ownLetters, ...group.letters]
  const executions = [...ownExecutions, ...group.executions]
  const running = executions.filter((e) => openStatuses.some((s) => s === e['status']))
  const places: JsonObject[] = [
    ...intents.map((e) => intentPlace(e, actionId, redact)),
    ...holds.map((e) => holdPlace(e, actionId)),
    ...group.waiting,
    ...executions.map((e): JsonObject => ({ place: 'chain', ...e })),
    ...letters.map((l): JsonObject => ({ place: 'dead_letter', ...deadLetterView(l, redact) })),
  ]
  if (places.length === 0 && page.records.length === 0) throw notFound('action with this id')
  const held = holds.length > 0 || group.waiting.length > 0
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

/** It stands for the action asked about: a copy of it, or the notification it is an event of. */
const ofAnother = (id: string, asked: string): JsonObject => (id === asked ? {} : { action_id: id })

function intentPlace(entry: Entry, asked: string, redact: Redact): JsonObject {
  const intent = readIntent(entry.value)
  return {
    place: 'delivery',
    ...ofAnother(intent.action.id, asked),
    run_id: intent.runId,
    provider: intent.provider,
    attempts: entry.attempts,
    ...(entry.claim
      ? { claimed_until: isoTime(entry.claim.until) }
      : entry.dueAt !== undefined && { due_at: isoTime(entry.dueAt) }),
    ...refusalView(intent, redact),
  }
}

function holdPlace(entry: Entry, asked: string): JsonObject {
  const hold = readHold(entry)
  return {
    place: hold.kind,
    ...ofAnother(hold.action.id, asked),
    hold_id: hold.runId,
    ...(entry.dueAt !== undefined && { due_at: isoTime(entry.claim ? hold.firstDueAt : entry.dueAt) }),
    attempts: entry.attempts,
    ...(hold.rule !== undefined && { rule: hold.rule }),
    ...(hold.lastRefusal !== undefined && { last_refusal: hold.lastRefusal }),
  }
}
