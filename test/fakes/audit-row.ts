import type { Scope } from '../../src/core/action.ts'
import type { AuditRow } from '../../src/core/audit.ts'

/** A record that says no more than its id, which is its action's too. */
export const plainRow = (id: string, scope: Scope): AuditRow => ({
  id,
  scope,
  actionId: id,
  chainId: undefined,
  kind: 'dispatch',
  outcome: 'executed',
  provider: 'p',
  requestedProvider: undefined,
  actionType: 't',
  rule: undefined,
  caller: undefined,
  json: '{}',
})
