export interface Backoff {
  readonly initialMs: number
  readonly maxMs: number
}

/**
 * Exponential back-off with full jitter: anywhere in [0, min(max, initial · 2^retry)), retries counted from 0. Milliseconds.
 * "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. `chance` in [0, 1) comes from Env, never from the attempt number.
 */
export const backoffMs = (retry: number, b: Backoff, chance: number): number =>
  Math.floor(chance * Math.min(b.maxMs, b.initialMs * 2 ** Math.min(retry, 40)))
