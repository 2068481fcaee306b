import { GLOBAL } from '../../core/action.ts'
import { type AuditRow, auditRow } from '../../core/audit.ts'
import { isoTime } from '../../core/clock.ts'
import type { Env } from '../../core/env.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Redact } from '../../core/redact.ts'

/** The audit record of a change of definitions. */
export function changedRow(env: Env, redact: Redact, by: string, details: JsonObject): AuditRow {
  const at = isoTime(env.clock.now())
  const id = env.newId()
  return auditRow({
    id,
    kind: 'admin',
    namespace: GLOBAL[0],
    tenant: GLOBAL[1],
    action_id: id,
    run_id: id,
    action_type: 'chain_definition',
    outcome: 'changed',
    details: redact(details),
    caller: by,
    received_at: at,
    completed_at: at,
    duration_ms: 0,
  })
}
