import type { Action, Scope } from '../core/action.ts'
import type { AuditStore } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import { notFound, Problem } from '../core/errors.ts'
import { canonicalJson } from '../core/json.ts'
import type { AuditPolicy } from './record.ts'

/**
 * The action of an audit record as a new one, with a new id and `replayed_from` in its metadata. Throws Problem 404, and 409
 * `payload_redacted` where the record does not have the payload as it was sent.
 */
export async function replayAction(
  deps: { readonly audit: AuditStore; readonly policy: () => AuditPolicy; readonly env: Env },
  scope: Scope,
  actionId: string,
): Promise<Action> {
  const { records } = await deps.audit.query(scope, { actionId }, { limit: 100 })
  const record = records.findLast((r) => r.kind === 'dispatch') ?? records.at(-1)
  if (!record) throw notFound('action with this id')
  const { payload } = record
  // A placeholder, and a payload that really says so, look alike: both are refused.
  if (payload === undefined || wasRedacted(canonicalJson([payload, { ...record.metadata }]), deps.policy()))
    throw new Problem(409, 'payload_redacted', 'the audit does not hold the payload as it was sent')
  return {
    id: deps.env.newId(),
    namespace: record.namespace,
    tenant: record.tenant,
    ...(record.requested_provider !== undefined && { provider: record.requested_provider }),
    action_type: record.action_type,
    payload,
    metadata: { ...record.metadata, replayed_from: actionId },
    created_at: isoTime(deps.env.clock.now()),
  }
}

const wasRedacted = (payload: string, policy: AuditPolicy): boolean =>
  payload.includes(JSON.stringify(policy.placeholder))
