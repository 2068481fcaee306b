import type { Env } from '../core/env.ts'
import type { Backoff } from './backoff.ts'
import type { Breakers } from './breakers.ts'
import type { Deliver } from './delivery.ts'
import type { Routes } from './route.ts'

/** An attempt that has ended, for metrics. */
export interface AttemptSeen {
  readonly provider: string
  readonly result: 'success' | 'retryable' | 'permanent'
  readonly code?: string
  readonly durationMs: number
}

/** One row of `GET /v1/providers/health`, in wire names. */
export interface ProviderHealth {
  readonly provider: string
  readonly type: string
  readonly in_flight: number
  readonly waiting: number
  readonly attempts: number
  readonly failures: number
  readonly last_success_at?: string
  readonly last_failure_at?: string
  readonly last_error?: string
  readonly latency_p50_ms: number
  readonly latency_p99_ms: number
}
export interface ProviderTest {
  readonly ok: boolean
  readonly duration_ms: number
  readonly code?: string
  readonly message?: string
}

export interface Delivering extends Deliver {
  /** Routes after a reload. Deliveries in flight finish on the old ones; resolves when they have, so that old providers can be closed. */
  update(routes: Routes): Promise<void>
  health(): readonly ProviderHealth[]
  /** Can it be reached? Undefined: no such provider. */
  test(provider: string): Promise<ProviderTest | undefined>
}

export interface DeliverDeps {
  readonly providers: Routes
  readonly breakers: Breakers
  readonly env: Env
  /** 200 and 10,000 ms if left out. */
  readonly backoff?: Backoff
  readonly onAttempt?: (attempt: AttemptSeen) => void
}
export declare function createDeliver(deps: DeliverDeps): Delivering
