import type { Action } from '../core/action.ts'
import { type AuditKind, type AuditRecord, auditRow, type Loose } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import { groupNotified } from '../core/hold.ts'
import { isObject, type Json, own } from '../core/json.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Redact } from '../core/redact.ts'
import type { Op } from '../core/state.ts'
import { type Came, receivedView } from './received.ts'

export interface AuditPolicy {
  readonly enabled: boolean
  readonly storePayload: boolean
  readonly redact: Redact
  readonly placeholder: string
}

export interface Recorded {
  readonly id: string
  readonly kind: AuditKind
  readonly action: Action
  /** Where rules have changed it. */
  readonly came?: Came | undefined
  readonly runId: string
  readonly outcome: string
  readonly receivedAt: number
  readonly completedAt: number
  readonly caller: string
  readonly parentId?: string | undefined
  readonly chainId?: string | undefined
  readonly provider?: string | undefined
  readonly requestedProvider?: string | undefined
  readonly rule?: string | undefined
  readonly rulesVersion?: string | undefined
  readonly matched?: readonly string[] | undefined
  readonly details?: Json | undefined
}

/** The `record` op of one decision, redacted; no op where audit is off. */
export function recordOps(policy: AuditPolicy, r: Recorded): readonly Op[] {
  if (!policy.enabled) return []
  const { action } = r
  // Not with spreads: what is undefined is left out of the JSON anyway, and an object of one fixed shape is written twice as fast.
  const record: Loose<AuditRecord> = {
    id: r.id,
    kind: r.kind,
    namespace: action.namespace,
    tenant: action.tenant,
    action_id: action.id,
    run_id: r.runId,
    parent_id: r.parentId,
    chain_id: r.chainId,
    group_id: groupOf(r, policy.redact),
    provider: r.provider,
    requested_provider: r.requestedProvider,
    action_type: action.action_type,
    outcome: r.outcome,
    rule: r.rule,
    rules_version: r.rulesVersion,
    matched: r.matched,
    payload: policy.storePayload ? policy.redact({ payload: action.payload }).payload : undefined,
    metadata: policy.redact({ metadata: action.metadata }).metadata,
    received: receivedView(policy, r.kind, action, r.came),
    details: r.details === undefined ? undefined : policy.redact(r.details),
    caller: r.caller,
    received_at: isoTime(r.receivedAt),
    completed_at: isoTime(r.completedAt),
    duration_ms: r.completedAt - r.receivedAt,
  }
  return [{ op: 'record', row: auditRow(record) }]
}

/** Nothing that is hidden elsewhere. */
function groupOf({ outcome, details, action }: Recorded, redact: Redact): string | undefined {
  const id = outcome === 'grouped' && isObject(details) ? own(details, 'group_id') : groupNotified(action)
  if (typeof id !== 'string') return undefined
  const shown = redact({ group_id: id, payload: { group_id: id } })
  return shown.group_id === id && shown.payload.group_id === id ? id : undefined
}

/** Fields every record has of its own; what an outcome says beside them is its details. */
const NOT_DETAILS = new Set(['outcome', 'action_id', 'run_id', 'rule', 'provider', 'trace'])

export function detailsOf(o: Outcome): Json | undefined {
  const out: Record<string, Json> = {}
  let any = false
  for (const k in o) {
    const v = o[k as keyof Outcome] as Json | undefined
    if (v === undefined || NOT_DETAILS.has(k)) continue
    out[k] = v
    any = true
  }
  return any ? out : undefined
}
