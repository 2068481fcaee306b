import type { Action, Scope } from '../core/action.ts'
import type { AuditRecord, AuditStore } from '../core/audit.ts'
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
  const record = await entered(deps.audit, scope, actionId)
  if (!record) throw notFound('action with this id')
  // Rules are asked again, so they are given what they were given.
  const { received = {} } = record
  const payload = received.payload ?? record.payload
  const metadata = received.metadata ?? record.metadata
  // A placeholder, and a payload that really says so, look alike: both are refused.
  if (payload === undefined || wasRedacted(canonicalJson([payload, { ...metadata }, { ...received }]), deps.policy()))
    throw new Problem(409, 'payload_redacted', 'the audit does not hold the payload as it was sent')
  return {
    id: deps.env.newId(),
    namespace: record.namespace,
    tenant: record.tenant,
    ...(record.requested_provider !== undefined && { provider: record.requested_provider }),
    ...received,
    action_type: received.action_type ?? record.action_type,
    payload,
    metadata: { ...metadata, replayed_from: actionId },
    created_at: isoTime(deps.env.clock.now()),
  }
}

/** Records of one action looked at: its id is its sender's, who may have used it often. */
const PAGE = 1000
const MOST_PAGES = 100

/** The record of an action's first entry; where that is gone, the oldest there is. Records come newest first. */
async function entered(
  audit: Pick<AuditStore, 'query'>,
  scope: Scope,
  actionId: string,
): Promise<AuditRecord | undefined> {
  let found: AuditRecord | undefined
  let cursor: string | undefined
  for (let n = 0; n < MOST_PAGES; n++) {
    const page = await audit.query(scope, { actionId }, { limit: PAGE, ...(cursor !== undefined && { cursor }) })
    const dispatched = page.records.findLast((r) => r.kind === 'dispatch')
    if (dispatched) found = dispatched
    else if (found?.kind !== 'dispatch') found = page.records.at(-1) ?? found
    cursor = page.nextCursor
    if (cursor === undefined) break
  }
  return found
}

const wasRedacted = (payload: string, policy: AuditPolicy): boolean =>
  payload.includes(JSON.stringify(policy.placeholder))
