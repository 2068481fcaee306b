import type { Action } from '../core/action.ts'
import type { Json } from '../core/json.ts'
import type { Lineage } from '../core/lineage.ts'
import type { Guarantee } from '../core/outcome.ts'
import type { Receipt } from '../core/provider.ts'

/**
 * What goes out, and how it ended. The caller has stored `request` under `token` before handing this over; what is
 * rendered here, for a fallback, is stored through `store` before its first byte.
 */
export interface Delivery {
  readonly action: Action
  readonly provider: string
  /** A rule's own fallback: taken before the provider's configured one. */
  readonly fallback?: string
  readonly token: string
  /** For what is rendered on the way; `request` carries it already. */
  readonly lineage?: Lineage
  /** Rendered for `provider`, and stored. */
  readonly request: Json
  /** When the first attempt under this token began, if one did before a crash or a hand-back. Milliseconds. */
  readonly firstAttemptAt?: number
  /** An earlier attempt at another provider ended unknown, so nothing after it can be exactly once. */
  readonly unknownElsewhere?: boolean
  /** An earlier attempt under this token ended unknown, or a crash may have cut one short. */
  readonly unknown?: boolean
  /** No attempt begins after this moment, and none outlives it. Milliseconds. */
  readonly deadline: number
  /** Instead of the provider's own: the caller has a policy of its own. */
  readonly maxRetries?: number
}

export interface DeliveryHooks {
  /** Stores that `request` goes to `provider` next. False: the claim is lost, nothing may be sent. */
  readonly store: (to: {
    readonly provider: string
    readonly request: Json
    /** An attempt elsewhere ended unknown before: to be given back as `Delivery.unknownElsewhere`. */
    readonly unknownElsewhere: boolean
  }) => Promise<boolean>
  /** Aborts when the claim is lost or the process stops: an attempt under way is let finish on a stop, back-off ends at once. */
  readonly lost: AbortSignal
  readonly stopping: AbortSignal
}

export type DeliveryEnd =
  | {
      readonly kind: 'executed'
      readonly provider: string
      readonly attempts: number
      readonly guarantee: Guarantee
      readonly response: { readonly status: number; readonly body: Json }
      /** True when a fallback answered because a breaker refused. */
      readonly fallback: boolean
    }
  | {
      readonly kind: 'failed'
      readonly provider: string
      readonly code: string
      readonly message: string
      readonly retryable: boolean
      /** Some attempt may have been acted on. */
      readonly unknown: boolean
      readonly timeout: boolean
      readonly attempts: number
      /** When the first attempt at `provider` began. */
      readonly firstAttemptAt?: number
      readonly retryAfterMs?: number
      readonly response?: { readonly status: number; readonly body: Json }
    }
  | {
      readonly kind: 'circuit_open'
      readonly provider: string
      readonly tried: readonly string[]
      readonly retryAfterMs: number
      readonly unknown: boolean
      readonly attempts: number
    }
  /** Stopped while waiting: nothing is under way; go on at `dueAt`, at the provider last stored. */
  | {
      readonly kind: 'handed_back'
      readonly dueAt: number
      readonly provider: string
      readonly attempts: number
      readonly unknown: boolean
      readonly unknownElsewhere: boolean
      readonly firstAttemptAt?: number
    }
  /** The claim is lost, or the store did not confirm a fallback's request: write nothing, whoever claims it next goes on. */
  | { readonly kind: 'lost' }

/** The one way out: breaker → bulkhead → rate limit → attempt with timeout → retry → fallback. */
export interface Deliver {
  /** Never throws. */
  deliver(delivery: Delivery, hooks: DeliveryHooks): Promise<DeliveryEnd>
  /**
   * One attempt at a provider that was `certain` when the commit was made, which holds its outcome: breaker, bulkhead and rate limit
   * have no say any more. Never throws. Undefined: it failed all the same, and the log says how.
   */
  deliverCertain(provider: string, request: Json): Receipt | undefined | Promise<Receipt | undefined>
  /** Renders for a provider, the lineage signed; throws ProviderError `invalid_payload`, or `provider_unknown` for a name that is not configured. */
  render(action: Action, provider: string, token: string, lineage?: Lineage): Json
  has(provider: string): boolean
  /** False for providers that need no intent. */
  hasEffect(provider: string): boolean
  /**
   * Sending to this provider now cannot fail or wait: it has no effect outside, no rate limit, and its breaker is closed. The
   * gateway may then record `executed` in the admitting commit itself.
   */
  certain(provider: string): boolean
  /** The window in which a re-send of this request under its token is deduplicated; 0 = none. */
  dedupWindowMs(provider: string, request: Json): number
}
