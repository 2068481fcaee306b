import type { Scope } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { kinds } from '../core/hold.ts'
import type { JsonObject } from '../core/json.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Entry, Op } from '../core/state.ts'
import type { Cancelled } from '../schedules/schedules.ts'
import { settleDedup } from './dedup.ts'
import { readIdempotency, settleIdempotency } from './idempotency.ts'
import { common, type Intent, readIntent, refusalView } from './intent.ts'
import type { Parts } from './parts.ts'
import { recordOps } from './record.ts'
import { doneFor, endedVersion } from './settle.ts'

/** Deliveries that somebody was told will happen: under way, put back, or handed back by a process that stopped. */
export interface Deliveries {
  /** A page may be short, even empty, and have a `next`: those that a caller waits for are passed over. */
  list(
    scope: Scope,
    page: { readonly limit: number; readonly after?: string },
  ): Promise<{ readonly deliveries: readonly JsonObject[]; readonly next?: string }>
  get(scope: Scope, id: string): Promise<JsonObject | undefined>
  /** Ends one that nobody is sending at the moment, audited. */
  cancel(scope: Scope, id: string, by: string): Promise<Cancelled>
}

export function createDeliveries(parts: Parts): Deliveries {
  const { env, state } = parts
  async function find(scope: Scope, id: string): Promise<[Entry, Intent] | undefined> {
    const [entry] = await state.get([{ kind: kinds.intent, scope, id }])
    const intent = entry && readIntent(entry.value)
    return intent?.accepted ? [entry!, intent] : undefined
  }
  /** Requests that wait for the run's end, as those that took it over do, hear of it; one that was told of its acceptance was answered. */
  async function requestsOf(scope: Scope, intent: Intent, attempts: number, now: number): Promise<readonly Op[]> {
    const { idempotency, keysVersion, provider, unknown } = intent
    if (idempotency.length === 0) return []
    const found = await state.get(idempotency.map(({ id }) => ({ kind: kinds.idempotency, scope, id })))
    const message = 'it was cancelled while it waited to be sent again; an attempt before may have arrived'
    const end = { outcome: 'failed', provider, code: 'cancelled', message, retryable: false, unknown: true } as const
    const answer: Outcome = { ...common(intent), ...end, attempts }
    return idempotency.flatMap((request, i) => {
      const key = found[i]
      const next = unknown ? doneFor(request, intent, answer) : undefined
      const waits = key?.version === keysVersion && readIdempotency(key).state === 'pending'
      return waits ? [settleIdempotency(request, keysVersion, next, endedVersion(keysVersion), now)] : []
    })
  }
  const view = (entry: Entry, intent: Intent): JsonObject => {
    const { redact } = parts.settings()
    return {
      hold_id: intent.runId,
      action_id: intent.action.id,
      scheduled_for: isoTime(entry.claim ? intent.firstDueAt : (entry.dueAt ?? intent.firstDueAt)),
      held_at: isoTime(intent.receivedAt),
      ...(entry.claim && { claimed_until: isoTime(entry.claim.until) }),
      attempts: entry.attempts,
      provider: intent.provider,
      ...(intent.rule !== undefined && { rule: intent.rule }),
      ...(intent.parentId !== undefined && { parent_id: intent.parentId }),
      ...refusalView(intent, redact),
      action: redact(JSON.parse(JSON.stringify(intent.action)) as JsonObject),
    }
  }

  return {
    async list(scope, page) {
      const found = await state.list(kinds.intent, scope, page)
      const deliveries = found.entries.flatMap((entry) => {
        const intent = readIntent(entry.value)
        return intent.accepted ? [view(entry, intent)] : []
      })
      return { deliveries, ...(found.next !== undefined && { next: found.next }) }
    },
    async get(scope, id) {
      const found = await find(scope, id)
      return found && view(...found)
    },
    async cancel(scope, id, by) {
      for (;;) {
        const found = await find(scope, id)
        if (!found) return 'not_found'
        const [entry, intent] = found
        if (entry.claim) return 'being_released'
        const now = env.clock.now()
        const { runId, keysVersion } = intent
        const keys = intent.dedup.map((key) => {
          // One that may have arrived has had its effect, as far as anybody knows.
          const value = { actionId: intent.action.id, runId, shown: key.shown, until: key.until }
          const next = intent.unknown ? ({ state: 'final', ...value, outcome: 'cancelled' } as const) : undefined
          return settleDedup(key, keysVersion, next, endedVersion(keysVersion), now)
        })
        const done = await state.commit(scope, [
          { op: 'delete', kind: kinds.intent, id, ifVersion: entry.version, ifUnclaimed: true },
          ...keys,
          ...(await requestsOf(scope, intent, entry.attempts, now)),
          ...recordOps(parts.audit(), {
            id: intent.auditId,
            kind: intent.kind,
            action: intent.action,
            came: intent.came,
            runId,
            parentId: intent.parentId,
            outcome: 'cancelled',
            receivedAt: intent.receivedAt,
            completedAt: now,
            caller: by,
            provider: intent.provider,
            requestedProvider: intent.requestedProvider,
            rule: intent.rule,
            rulesVersion: intent.rulesVersion,
            matched: intent.matched,
            details: { attempts: entry.attempts, ...(intent.unknown && { unknown: true }) },
          }),
        ])
        if (done.ok) return 'cancelled'
      }
    },
  }
}
