import type { Outcome } from '../core/outcome.ts'

/** Counts of this process since it started, for /v1/stats and /metrics. */
export interface Stats {
  /** By outcome tag. */
  readonly outcomes: ReadonlyMap<string, number>
  /** One ended run. Durations in milliseconds. */
  outcome(o: Outcome, about: { readonly kind: string; readonly receivedAt: number; readonly completedAt: number; readonly provider?: string | undefined }): void
  /** Prometheus text. */
  metrics(): Promise<string>
  readonly contentType: string
}
