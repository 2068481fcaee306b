import type { Action } from '../core/action.ts'
import type { AuditKind, Received } from '../core/audit.ts'
import type { Redact } from '../core/redact.ts'

/** What rules have changed of an action, as it came. Undefined: nothing, or only where it goes, which a record says by itself. */
export function cameAs(came: Action, now: Action): Came | undefined {
  if (came === now) return undefined
  const { action_type, payload, metadata, dedup_key, fingerprint, status } = came
  const same =
    action_type === now.action_type &&
    payload === now.payload &&
    metadata === now.metadata &&
    dedup_key === now.dedup_key &&
    fingerprint === now.fingerprint &&
    status === now.status
  if (same) return undefined
  return {
    ...(action_type !== now.action_type && { action_type }),
    ...(payload !== now.payload && { payload }),
    ...(metadata !== now.metadata && { metadata }),
    dedup_key,
    fingerprint,
    status,
  }
}
/** Type, payload and metadata only if they are others now; of the rest a record says nothing else. */
export interface Came {
  readonly action_type?: string
  readonly payload?: Action['payload']
  readonly metadata?: Action['metadata']
  readonly dedup_key?: string | undefined
  readonly fingerprint?: string | undefined
  readonly status?: string | undefined
}

/** Records of what enters the gateway, from which it may be dispatched again; the others are of what it has made of that. */
const ENTERS: ReadonlySet<AuditKind> = new Set(['dispatch', 'occurrence', 'copy'])

/** What a record needs to say of the action as it was received, beside what it says of it as it was decided upon. */
export function receivedView(
  policy: { readonly storePayload: boolean; readonly redact: Redact },
  kind: AuditKind,
  action: Action,
  came?: Came,
): Received | undefined {
  const { dedup_key, fingerprint, status } = came ?? action
  const { starts_at, ends_at } = action
  // Few actions have any of them.
  if (!came && (dedup_key ?? fingerprint ?? status ?? starts_at ?? ends_at) === undefined) return undefined
  if (!ENTERS.has(kind)) return undefined
  const received: Received = {
    ...(came?.action_type !== undefined && { action_type: came.action_type }),
    ...(came?.payload && policy.storePayload && { payload: came.payload }),
    ...(came?.metadata && { metadata: came.metadata }),
    ...(dedup_key !== undefined && { dedup_key }),
    ...(fingerprint !== undefined && { fingerprint }),
    ...(status !== undefined && { status }),
    ...(starts_at !== undefined && { starts_at }),
    ...(ends_at !== undefined && { ends_at }),
  }
  return Object.keys(received).length > 0 ? policy.redact(received) : undefined
}
