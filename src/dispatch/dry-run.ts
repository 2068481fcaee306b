import type { Json, JsonObject } from '../core/json.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Plan, TraceEntry } from '../core/plan.ts'
import type { Redact } from '../core/redact.ts'
import type { Admission } from './admission.ts'
import type { Verdict } from './refused.ts'
import type { Run } from './run.ts'

/** What a dispatch would have come to: the plan, and what the same commit, asked but not made, answered. */
export function dryOutcome(
  run: Run,
  plan: Plan,
  admission: Admission,
  verdict: Verdict | undefined,
  trace: readonly TraceEntry[] | undefined,
  redact: Redact,
): Outcome {
  const { end } = plan
  const delivers = end.kind === 'deliver' ? (end.rerouted ? 'rerouted' : 'executed') : undefined
  const would =
    verdict === undefined
      ? (admission.outcome?.outcome ?? delivers ?? 'executed')
      : verdict.is === 'outcome'
        ? verdict.outcome.outcome
        : (delivers ?? 'executed')
  const rule = verdict?.is === 'outcome' ? verdict.outcome.rule : 'rule' in end ? end.rule : undefined
  const provider = end.kind === 'deliver' ? end.provider : plan.action.provider
  const { matched, guards, effects, action } = plan
  const shown = JSON.parse(JSON.stringify({ matched, guards, effects, end, action })) as JsonObject
  return {
    action_id: run.action.id,
    run_id: run.runId,
    ...(rule !== undefined && { rule }),
    outcome: 'dry_run',
    verdict: would,
    ...(provider !== undefined && { provider }),
    plan: redact(shown),
    ...(plan.warnings.length > 0 && { warnings: plan.warnings }),
    ...(trace && { trace: trace as unknown as Json }),
  }
}
