import { isoTime } from '../core/clock.ts'
import { type Breaker, type BreakerConfig, shownState } from './breaker.ts'
import type { CircuitStats } from './circuit.ts'

export interface BreakerSettings extends BreakerConfig {
  /** Shown only; the route decides. */
  readonly fallback?: string
}
/** A provider without settings has no breaker: always admitted. */
export type BreakerTable = ReadonlyMap<string, BreakerSettings>

/** One row of `GET /v1/circuit-breakers`, in wire names. */
export interface BreakerView {
  readonly provider: string
  readonly state: Breaker['is']
  /** Consecutive, on this node; once open, those that opened it. */
  readonly failures: number
  readonly opened_at?: string
  readonly retry_at?: string
  readonly failure_threshold: number
  readonly success_threshold: number
  readonly recovery_timeout_seconds: number
  readonly fallback_provider?: string
  /** Who tripped or reset it last, and why; absent when it moved by itself. */
  readonly by?: string
  readonly why?: string
  readonly stats: CircuitStats
}

/** `retry_at` of a half-open breaker is when its probe's slot ends, at the latest, or now. */
export function breakerView(
  provider: string,
  config: BreakerSettings,
  held: { readonly breaker: Breaker; readonly by?: string | undefined; readonly why?: string | undefined },
  now: number,
  stats: CircuitStats,
): BreakerView {
  const { breaker, by, why } = held
  return {
    provider,
    state: shownState(breaker, now, config),
    failures: breaker.failures,
    ...(breaker.is === 'closed' ? {} : { opened_at: isoTime(breaker.since) }),
    ...(breaker.is === 'open' ? { retry_at: isoTime(breaker.since + config.recoveryMs) } : {}),
    ...(breaker.is === 'half_open' ? { retry_at: isoTime(Math.max(breaker.probe?.until ?? now, now)) } : {}),
    failure_threshold: config.failureThreshold,
    success_threshold: config.successThreshold,
    recovery_timeout_seconds: config.recoveryMs / 1000,
    ...(config.fallback === undefined ? {} : { fallback_provider: config.fallback }),
    ...(by === undefined ? {} : { by }),
    ...(why === undefined ? {} : { why }),
    stats,
  }
}
