import type { RetryPolicy } from '../model/definition.ts'

/**
 * How long to wait before the attempt after `made` attempts, milliseconds: full jitter ("Exponential Backoff and Jitter", AWS
 * Architecture Blog, 2015), so anything up to the policy's wait. `chance` in [0, 1).
 */
export function backoffOf(policy: RetryPolicy, made: number, chance: number): number {
  const { backoff = 'exponential', initial_ms: first = 1000, max_ms: most = 60_000 } = policy
  const n = Math.max(1, made)
  const span = backoff === 'fixed' ? first : backoff === 'linear' ? first * n : first * 2 ** Math.min(n - 1, 30)
  return Math.ceil(Math.min(span, Math.max(most, first)) * chance)
}
