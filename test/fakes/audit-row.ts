import type { Scope } from '../../src/core/action.ts'
import { type AuditRow, auditRow } from '../../src/core/audit.ts'
import { isoTime } from '../../src/core/clock.ts'

/** A record that says no more than its id, which is its action's too. */
export const plainRow = (id: string, scope: Scope): AuditRow =>
  auditRow({
    id,
    kind: 'dispatch',
    namespace: scope[0],
    tenant: scope[1],
    action_id: id,
    run_id: id,
    provider: 'p',
    action_type: 't',
    outcome: 'executed',
    received_at: isoTime(0),
    completed_at: isoTime(0),
    duration_ms: 0,
  })
