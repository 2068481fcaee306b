import { type AuditRecord, type AuditRow, auditRow } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import type { JsonObject } from '../core/json.ts'
import type { BreakerRow } from '../delivery/breakers.ts'
import type { AuditPolicy } from '../dispatch/record.ts'

/** The audit row of an administrative change; undefined where audit is off. */
export type AdminRow = (what: string, details: JsonObject, caller: string) => AuditRow | undefined

/** Administrative records live in the empty scope, which no action can name. */
export const adminRows =
  (policy: () => AuditPolicy, env: Env): AdminRow =>
  (what, details, caller) =>
    row(policy(), env, { kind: 'admin', action_type: what, outcome: 'changed', caller }, details)

/** So do those of breakers, which are no scope's: providers are global. */
export const breakerRows =
  (policy: () => AuditPolicy, env: Env): BreakerRow =>
  ({ provider, from, to, by, why, code }) => {
    const what = { kind: 'breaker', action_type: 'circuit_breaker', provider } as const
    const outcome = to === 'open' ? 'opened' : 'closed'
    return row(
      policy(),
      env,
      { ...what, outcome, caller: by ?? 'gateway' },
      { from, to, ...(why !== undefined && { why }), ...(code !== undefined && { code }) },
    )
  }

function row(
  { enabled, redact }: AuditPolicy,
  env: Env,
  what: Pick<AuditRecord, 'kind' | 'action_type' | 'outcome' | 'caller' | 'provider'>,
  details: JsonObject,
): AuditRow | undefined {
  if (!enabled) return undefined
  const id = env.newId()
  const at = isoTime(env.clock.now())
  return auditRow({
    ...what,
    id,
    namespace: '',
    tenant: '',
    action_id: id,
    run_id: id,
    details: redact(details),
    received_at: at,
    completed_at: at,
    duration_ms: 0,
  })
}
