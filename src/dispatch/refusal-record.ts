import type { Outcome } from '../core/outcome.ts'
import type { Plan } from '../core/plan.ts'
import type { Op } from '../core/state.ts'
import type { Parts } from './parts.ts'
import { cameAs } from './received.ts'
import { detailsOf, recordOps } from './record.ts'
import type { Run } from './run.ts'

/** The record of a run that ended without anything being sent. */
export function refusalRecord(parts: Parts, run: Run, plan: Plan, outcome: Outcome, now: number): readonly Op[] {
  return recordOps(parts.audit(), {
    id: run.auditId,
    kind: run.kind,
    action: plan.action,
    came: cameAs(run.action, plan.action),
    runId: run.runId,
    parentId: run.parentId,
    outcome: outcome.outcome,
    receivedAt: run.receivedAt,
    completedAt: now,
    caller: run.caller,
    requestedProvider: run.action.provider,
    rule: outcome.rule,
    rulesVersion: run.rulesVersion,
    matched: plan.matched,
    details: detailsOf(outcome),
  })
}
