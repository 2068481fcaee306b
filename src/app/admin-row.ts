import { type AuditRow, auditRow } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import type { JsonObject } from '../core/json.ts'
import type { AuditPolicy } from '../dispatch/record.ts'

/** The audit row of an administrative change; undefined where audit is off. */
export type AdminRow = (what: string, details: JsonObject, caller: string) => AuditRow | undefined

/** Administrative records live in the empty scope, which no action can name. */
export function adminRows(policy: () => AuditPolicy, env: Env): AdminRow {
  return (what, details, caller) => {
    const { enabled, redact } = policy()
    if (!enabled) return undefined
    const id = env.newId()
    const at = isoTime(env.clock.now())
    return auditRow({
      id,
      kind: 'admin',
      namespace: '',
      tenant: '',
      action_id: id,
      run_id: id,
      action_type: what,
      outcome: 'changed',
      details: redact(details),
      caller,
      received_at: at,
      completed_at: at,
      duration_ms: 0,
    })
  }
}
