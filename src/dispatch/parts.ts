import type { Action } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import type { LimitName, Outcome } from '../core/outcome.ts'
import type { Redact } from '../core/redact.ts'
import type { StateStore } from '../core/state.ts'
import type { Deliver } from '../delivery/delivery.ts'
import type { AuditPolicy } from './record.ts'

/** What the dispatch files share. Built once in app/; `settings` and `audit` are read at use, so that a reload takes effect. */
export interface Parts {
  readonly env: Env
  readonly state: StateStore
  readonly deliver: Deliver
  /** This process, as the owner of claims. */
  readonly node: string
  readonly settings: () => DispatchSettings
  readonly audit: () => AuditPolicy
  /** Aborts when the process begins to stop. */
  readonly stopping: AbortSignal
  readonly observe: Observe
}

export interface DispatchSettings {
  readonly defaultProvider: string | undefined
  /** All attempts, waits and fallbacks of one delivery, milliseconds. */
  readonly deadlineMs: number
  readonly holdMaxAttempts: number
  /** From the first due time, milliseconds. */
  readonly holdMaxAgeMs: number
  readonly deadLetterTtlMs: number | undefined
  /** A provider that also gets each new dead letter. */
  readonly deadLetterForwardTo: string | undefined
  readonly redact: Redact
}

/** Called once per ended run: for the log line, counters and durations. Times in milliseconds. */
export interface Observe {
  outcome(o: Outcome, about: Ran): void
  /** A run over a limit that only warns. */
  overLimit(rule: string, limit: LimitName): void
}
export interface Ran {
  readonly kind: string
  readonly action: Action
  readonly receivedAt: number
  readonly completedAt: number
  readonly provider?: string | undefined
}
