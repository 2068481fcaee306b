import { isoTime } from '../core/clock.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Guard, RunLimit } from '../core/plan.ts'
import type { Refused } from '../core/state.ts'
import type { CountedQuota } from '../quotas/quotas.ts'
import type { DedupValue } from './dedup.ts'

/** What an op of the admitting commit stands for, so that its refusal can be told. */
export type About =
  | { readonly is: 'idempotency' }
  | { readonly is: 'dedup'; readonly guard: Extract<Guard, { kind: 'dedup' }> }
  | { readonly is: 'throttle'; readonly guard: Extract<Guard, { kind: 'throttle' }> }
  | { readonly is: 'quota'; readonly quota: CountedQuota }
  | { readonly is: 'limit'; readonly limit: RunLimit }
  /** Something read before the commit has moved on: read again and try once more. */
  | { readonly is: 'moved' }
  /** The claim on the held entry is gone. */
  | { readonly is: 'claim' }

type Base = { readonly action_id: string; readonly run_id: string }

export function throttledOutcome(
  base: Base,
  guard: Extract<Guard, { kind: 'throttle' }>,
  refused: Refused,
  now: number,
): Outcome {
  return {
    ...base,
    rule: guard.rule,
    outcome: 'throttled',
    retry_after_ms: Math.max(1, (refused.retryAt ?? now + guard.windowMs) - now),
    limit: guard.maxCount,
    window_seconds: guard.windowMs / 1000,
    ...(guard.message !== undefined && { message: guard.message }),
  }
}

export function quotaOutcome(base: Base, quota: CountedQuota, refused: Refused, now: number): Outcome {
  return {
    ...base,
    outcome: 'quota_exceeded',
    retry_after_ms: Math.max(1, quota.resetsAt - now),
    quota: quota.name,
    limit: quota.limit,
    used: refused.n ?? quota.limit,
    resets_at: isoTime(quota.resetsAt),
  }
}

export function duplicateOutcome(
  base: Base,
  rule: string,
  seen: DedupValue,
): Extract<Outcome, { readonly outcome: 'deduplicated' }> {
  return {
    ...base,
    rule,
    outcome: 'deduplicated',
    dedup_key: seen.shown,
    first_action_id: seen.actionId,
    first_outcome: seen.outcome,
    expires_at: isoTime(seen.until),
  }
}
