import { type Clock, isoTime } from '../core/clock.ts'
import type { ProviderError } from '../core/errors.ts'

const RING = 256

/** What this process has seen of one provider. */
export interface Health {
  /** An attempt has ended; `error` absent: it succeeded. */
  seen(durationMs: number, error?: ProviderError): void
  /** In wire names. */
  view(): {
    readonly attempts: number
    readonly failures: number
    readonly last_success_at?: string
    readonly last_failure_at?: string
    /** Code of the last failure. */
    readonly last_error?: string
    /** Of the last 256 attempts that succeeded; 0 before there is one. */
    readonly latency_p50_ms: number
    readonly latency_p99_ms: number
  }
}

export function createHealth(clock: Clock): Health {
  const ring: number[] = []
  let attempts = 0
  let failures = 0
  let successAt: number | undefined
  let failureAt: number | undefined
  let lastError: string | undefined
  return {
    seen(durationMs, error) {
      attempts++
      if (error) {
        failures++
        failureAt = clock.now()
        lastError = error.code
        return
      }
      ring[(attempts - failures - 1) % RING] = durationMs
      successAt = clock.now()
    },
    view() {
      const sorted = ring.toSorted((a, b) => a - b)
      const rank = (p: number) => sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? 0
      return {
        attempts,
        failures,
        ...(successAt === undefined ? {} : { last_success_at: isoTime(successAt) }),
        ...(failureAt === undefined ? {} : { last_failure_at: isoTime(failureAt) }),
        ...(lastError === undefined ? {} : { last_error: lastError }),
        latency_p50_ms: rank(0.5),
        latency_p99_ms: rank(0.99),
      }
    },
  }
}
