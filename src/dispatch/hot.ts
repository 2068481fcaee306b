import type { AuditRow } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import type { JsonObject } from '../core/json.ts'
import type { DisableDetails, LimitName, Outcome } from '../core/outcome.ts'
import type { RunLimit } from '../core/plan.ts'
import type { Op } from '../core/state.ts'
import type { Rules } from '../rules/rules.ts'
import type { Run } from './run.ts'

/** An action that was one too many, or that met a rule which is off for such a one. */
export type Hot = Outcome & { readonly outcome: 'hot' }

const OF: { readonly [L in LimitName]: string } = {
  max_executions: '',
  rule_limit: '',
  entity_limit: ' for one entity',
  internal_limit: ' for actions that came from the gateway itself',
}
export const overText = ({ rule, limit, count, window }: RunLimit): string =>
  `rule "${rule}" has had more than ${count} ${count === 1 ? 'run' : 'runs'} in ${window}${OF[limit]}`

export function hotOutcome(run: Run, limit: RunLimit, now: number): Hot {
  const details: DisableDetails = limit.disabled ?? {
    at: isoTime(now),
    why: overText(limit),
    limit: limit.limit,
    count: limit.count,
    window: limit.window,
    action_id: run.action.id,
    run_id: run.runId,
  }
  return hot(run, limit.rule, details)
}
const hot = (run: Run, rule: string, details: DisableDetails): Hot => ({
  action_id: run.action.id,
  run_id: run.runId,
  rule,
  outcome: 'hot',
  disable_details: details,
})

export interface TripTools {
  readonly rules: Pick<Rules, 'trip'>
  /** The audit row of an administrative change; undefined where audit is off. */
  readonly adminRow: (what: string, details: JsonObject, caller: string) => AuditRow | undefined
}

/**
 * Switches the rule off in the scope of the run that was one too many. `recordOf`: the run's own record, stored in the same commit;
 * what is left of it to be written is answered.
 */
export async function trip(
  env: Env,
  tools: TripTools,
  run: Run,
  limit: RunLimit,
  outcome: Hot,
  recordOf: (told: Hot) => readonly Op[],
): Promise<{ readonly outcome: Hot; readonly record: readonly Op[] }> {
  const { rule, since } = limit
  const details = outcome.disable_details
  const [namespace, tenant] = run.scope
  const about = { rule, namespace, tenant, ...details }
  const change = tools.adminRow('rule disabled', { ...about, enabled: false }, 'system')
  const own = recordOf(outcome).flatMap((op) => (op.op === 'record' ? [op.row] : []))
  const records = change ? [...own, change] : own
  const done = await tools.rules.trip({ rule, scope: run.scope, since, details, records })
  // A hand was quicker to switch it on again: this run is refused all the same, under the rules it began with.
  const told = done.is === 'already' ? hot(run, rule, done.details) : outcome
  if (done.is !== 'stored') return { outcome: told, record: recordOf(told) }
  env.log.error(about, 'a rule ran too often and is switched off in this scope until somebody switches it on')
  return { outcome, record: [] }
}
