import type { Action } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import type { Json, JsonObject } from '../core/json.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Effect, End, Guard, Plan, RunLimit, TraceEntry } from '../core/plan.ts'
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
  const told = verdict?.is === 'outcome' || verdict?.is === 'hot' ? verdict.outcome : undefined
  const delivers = end.kind === 'deliver' ? (end.rerouted ? 'rerouted' : 'executed') : undefined
  const would =
    verdict === undefined
      ? (admission.outcome?.outcome ?? delivers ?? 'executed')
      : told
        ? told.outcome
        : (delivers ?? 'executed')
  const rule = told ? told.rule : 'rule' in end ? end.rule : undefined
  const provider = end.kind === 'deliver' ? end.provider : plan.action.provider
  return {
    action_id: run.action.id,
    run_id: run.runId,
    ...(rule !== undefined && { rule }),
    outcome: 'dry_run',
    verdict: would,
    ...(provider !== undefined && { provider }),
    plan: redact(planView(plan)),
    ...(plan.warnings.length > 0 && { warnings: plan.warnings }),
    ...(trace && { trace: trace as unknown as Json }),
  }
}

/** A plan in wire names, without the ids the store knows its parts by. */
function planView(plan: Plan): JsonObject {
  return {
    matched: plan.matched,
    guards: plan.guards.map(guardView),
    limits: plan.limits.map(limitView),
    effects: plan.effects.map(effectView),
    end: endView(plan.end),
    action: plain(plan.action),
  }
}

/** An action is plain data; only its type has no index signature. */
const plain = (action: Action): JsonObject => action as unknown as JsonObject

function guardView(g: Guard): JsonObject {
  if (g.kind === 'dedup') return { type: 'deduplicate', rule: g.rule, dedup_key: g.shown, ttl_seconds: g.ttlMs / 1000 }
  return {
    type: 'throttle',
    rule: g.rule,
    max_count: g.maxCount,
    window_seconds: g.windowMs / 1000,
    ...(g.message !== undefined && { message: g.message }),
  }
}

function limitView({ rule, limit, count, window, mode, disabled }: RunLimit): JsonObject {
  return { type: limit, rule, count, window, mode, ...(disabled && { disabled_by: 'system' }) }
}

function effectView(e: Effect): JsonObject {
  if (e.kind === 'copy')
    return { type: 'copy', rule: e.rule, target_provider: e.targetProvider, action: plain(e.action) }
  return e.kind === 'chain' ? { type: 'chain', rule: e.rule, chain: e.chain } : { type: e.kind, rule: e.rule }
}

function endView(end: End): JsonObject {
  const by = { ...('rule' in end && end.rule !== undefined && { rule: end.rule }) }
  switch (end.kind) {
    case 'deliver':
      return {
        type: end.rerouted ? 'reroute' : 'deliver',
        ...by,
        provider: end.provider ?? null,
        ...(end.fallback !== undefined && { fallback_provider: end.fallback }),
      }
    case 'group':
      return {
        type: 'group',
        ...by,
        group_id: end.groupId,
        group_key: end.groupKey,
        labels: end.labels,
        group_wait_seconds: end.waitMs / 1000,
        group_interval_seconds: end.intervalMs / 1000,
        max_group_size: end.maxSize,
        max_group_bytes: end.maxBytes,
        ...(end.targetProvider !== undefined && { target_provider: end.targetProvider }),
      }
    case 'schedule':
      return { type: 'schedule', ...by, scheduled_for: isoTime(end.dueAt), on_repeat: end.onRepeat }
    case 'chain':
      return { type: 'chain', ...by, chain: end.chain }
    case 'loop':
      return { type: 'loop', ...by, reason: end.reason, cycle: end.cycle }
    default:
      return { type: end.kind, ...by, ...(end.reason !== undefined && { reason: end.reason }) }
  }
}
