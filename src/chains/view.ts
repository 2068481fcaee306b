import type { Scope } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import type { JsonObject } from '../core/json.ts'
import type { ChainDefinition, StepDefinition } from './definition.ts'
import { hasEnded, type Run, type StepRecord } from './run.ts'
import { kindOf } from './steps/index.ts'

/** An execution in wire names, without its steps. Not yet redacted. */
export const runView = ([namespace, tenant]: Scope, run: Run): JsonObject => ({
  chain_id: run.id,
  chain_name: run.chain,
  definition_version: run.version,
  status: run.status,
  namespace,
  tenant,
  action_id: run.actionId,
  run_id: run.runId,
  ...(run.rule !== undefined && { rule: run.rule }),
  ...(run.parent && { parent_chain_id: run.parent.id, parent_step: run.parent.step }),
  total_steps: run.totalSteps,
  steps_taken: run.taken,
  ...(hasEnded(run) ? { last_step: run.at.step } : { current_step: run.at.step }),
  ...(run.at.child !== undefined && !hasEnded(run) && { waiting_for: run.at.child }),
  ...(run.at.notBefore !== undefined && { not_before: isoTime(run.at.notBefore) }),
  started_at: isoTime(run.startedAt),
  expires_at: isoTime(run.deadline),
  ...(run.endedAt !== undefined && { ended_at: isoTime(run.endedAt), duration_ms: run.endedAt - run.startedAt }),
  ...(run.error && { error: run.error }),
  ...(run.endedBy !== undefined && { cancelled_by: run.endedBy }),
  ...(run.resumed > 0 && { resumed: run.resumed }),
})

/** Each entry into a step in the order taken, then the steps not (yet) taken. Not yet redacted. */
export function stepViews(
  run: Run,
  definition: ChainDefinition | undefined,
  records: readonly StepRecord[],
): readonly JsonObject[] {
  const byName = new Map((definition?.steps ?? []).map((s) => [s.name, s]))
  const here = `${run.at.iteration}/${run.at.step}`
  const seen = [...records].sort((a, b) => a.seq - b.seq || a.iteration - b.iteration)
  const views = seen.map((r) => recordView(run, byName.get(r.step), r))
  const taken = new Set(seen.map((r) => r.step))
  if (!hasEnded(run) && !seen.some((r) => `${r.iteration}/${r.step}` === here)) {
    // Nothing is stored of a step that needs no store, until it has ended.
    views.push({ ...about(run.at.step, byName.get(run.at.step)), iteration: run.at.iteration, status: 'running' })
    taken.add(run.at.step)
  }
  const rest = hasEnded(run) ? 'skipped' : 'pending'
  for (const s of byName.values()) if (!taken.has(s.name)) views.push({ ...about(s.name, s), status: rest })
  return views
}

const about = (name: string, step: StepDefinition | undefined): JsonObject => ({
  name,
  ...(step && { kind: kindOf(step).kind }),
  ...(step && 'provider' in step && { provider: step.provider, action_type: step.action_type }),
  ...(step && 'sub_chain' in step && { sub_chain: step.sub_chain }),
})

function recordView(run: Run, step: StepDefinition | undefined, r: StepRecord): JsonObject {
  const { result } = r
  const open = hasEnded(run) ? run.status : run.status === 'waiting' ? 'waiting' : 'running'
  return {
    ...about(r.step, step),
    iteration: r.iteration,
    status: result ? (result.success ? 'completed' : 'failed') : open,
    started_at: isoTime(r.enteredAt),
    ...(r.endedAt !== undefined && { ended_at: isoTime(r.endedAt), duration_ms: r.endedAt - r.enteredAt }),
    ...(r.attempts !== undefined && { attempts: r.attempts }),
    ...(r.input !== undefined && { input: r.input }),
    ...(r.missing && { missing: r.missing }),
    ...(result && { output: result }),
    ...(r.child && { child_chain_id: r.child.id }),
    ...(r.deadLetterId !== undefined && { dead_letter_id: r.deadLetterId }),
  }
}
