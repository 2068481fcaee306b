import type { Action } from '../core/action.ts'
import type { Hold } from '../core/hold.ts'
import type { Op } from '../core/state.ts'
import { type DeadLetter, deadLetterView } from '../delivery/dead-letters.ts'
import { putHold } from '../schedules/schedule.ts'
import type { Parts } from './parts.ts'

/** Named in the audit as the rule of a forwarded dead letter, and what keeps one that fails from being forwarded again. */
export const FORWARD_RULE = '[dead_letters].forward_to'

/** A copy hold for `[dead_letters].forward_to`, in the commit that writes the letter. */
export function forwardOps(parts: Pick<Parts, 'env' | 'settings'>, letter: DeadLetter, now: number): readonly Op[] {
  const { deadLetterForwardTo: target, redact } = parts.settings()
  if (target === undefined || letter.context?.['rule'] === FORWARD_RULE) return []
  const { env } = parts
  const action: Action = {
    id: env.newId(),
    namespace: letter.action.namespace,
    tenant: letter.action.tenant,
    provider: target,
    action_type: 'dead_letter',
    payload: deadLetterView(letter, redact),
    metadata: {},
    created_at: letter.created_at,
  }
  const hold: Hold = {
    kind: 'copy',
    runId: env.newId(),
    auditId: env.newId(),
    action,
    heldAt: now,
    firstDueAt: now,
    parentId: letter.action.id,
    ...(letter.lineage && { lineage: letter.lineage }),
    rule: FORWARD_RULE,
    counted: true,
  }
  return [putHold(hold, env.newId())]
}
