import type { Json, JsonObject } from './json.ts'

/** What became of an action: a closed list. Fields are the wire's, so an outcome is stored and answered as it is. */
export type Outcome = Common & End
interface Common {
  readonly action_id: string
  readonly run_id: string
  readonly rule?: string
  readonly reason?: string
  /** Ids of the actions that copy rules added. */
  readonly copies?: readonly string[]
  /** Executions started by `then: continue` rules on the way. */
  readonly chains?: readonly { readonly chain_id: string; readonly chain_name: string }[]
  readonly warnings?: readonly string[]
  readonly trace?: Json
}
/** The limits on how often a rule may run: its own, and the general ones. */
export const limitNames = ['max_executions', 'rule_limit', 'entity_limit', 'internal_limit'] as const
export type LimitName = (typeof limitNames)[number]
/** Why the gateway has switched a rule off in a scope. A type, so that it is JSON. */
export type DisableDetails = {
  /** RFC 3339. */
  readonly at: string
  readonly why: string
  readonly limit: LimitName
  readonly count: number
  /** ISO 8601. */
  readonly window: string
  /** The action that was one too many, and its run. */
  readonly action_id: string
  readonly run_id: string
}
export type Guarantee = 'exactly_once' | 'at_least_once'
interface Answered {
  readonly provider: string
  readonly attempts: number
  readonly guarantee: Guarantee
  readonly response: { readonly status: number; readonly body: Json }
  /** Set when this run was first admitted for another action with the same dedup key. */
  readonly first_action_id?: string
}
export type End =
  | ({ readonly outcome: 'executed' } & Answered)
  | ({ readonly outcome: 'rerouted'; readonly original_provider?: string } & Answered)
  | { readonly outcome: 'suppressed' | 'denied' }
  | {
      readonly outcome: 'deduplicated'
      readonly dedup_key: string
      readonly first_action_id: string
      readonly first_outcome: string
      readonly expires_at: string
    }
  | {
      readonly outcome: 'throttled'
      readonly retry_after_ms: number
      readonly limit: number
      readonly window_seconds: number
      readonly message?: string
    }
  | {
      readonly outcome: 'quota_exceeded'
      readonly retry_after_ms: number
      readonly quota: string
      readonly limit: number
      readonly used: number
      readonly resets_at: string
    }
  | {
      readonly outcome: 'grouped'
      readonly group_id: string
      readonly group_size?: number
      readonly notify_at?: string
    }
  | { readonly outcome: 'scheduled'; readonly hold_id: string; readonly scheduled_for: string }
  | {
      readonly outcome: 'chain_started'
      readonly chain_id: string
      readonly chain_name: string
      readonly total_steps: number
      readonly first_step: string
    }
  | { readonly outcome: 'accepted' }
  /** A rule ran too often, and is switched off in this scope. */
  | { readonly outcome: 'hot'; readonly disable_details: DisableDetails }
  /** `rule:<name>` and `chain:<name>`, from the one that was met again to itself; all there are where only the hops were too many. */
  | { readonly outcome: 'loop_detected'; readonly cycle: readonly string[] }
  | {
      readonly outcome: 'circuit_open'
      readonly provider: string
      readonly tried: readonly string[]
      readonly retry_after_ms: number
      /** An attempt before the breaker opened may have been acted on. */
      readonly unknown?: boolean
      readonly dead_letter_id?: string
    }
  | {
      readonly outcome: 'failed'
      readonly provider?: string
      readonly code: string
      readonly message: string
      readonly retryable: boolean
      /** The other side may have acted. */
      readonly unknown?: boolean
      readonly timeout?: boolean
      readonly attempts: number
      readonly retry_after_ms?: number
      readonly response?: { readonly status: number; readonly body: Json }
      readonly dead_letter_id?: string
      readonly first_action_id?: string
    }
  | { readonly outcome: 'dry_run'; readonly verdict: string; readonly provider?: string; readonly plan: JsonObject }

export type OutcomeTag = End['outcome']

const STATUS: { readonly [T in OutcomeTag]: number } = {
  executed: 200,
  rerouted: 200,
  suppressed: 200,
  denied: 403,
  deduplicated: 200,
  throttled: 429,
  quota_exceeded: 429,
  grouped: 202,
  scheduled: 202,
  chain_started: 202,
  accepted: 202,
  circuit_open: 503,
  failed: 502,
  hot: 409,
  loop_detected: 508,
  dry_run: 200,
}
export const outcomeTags = Object.keys(STATUS) as readonly OutcomeTag[]

/**
 * What stands in the audit only: a hold that ended without an effect of its own, a chain's step and end, an administrative
 * change. With the tags above this is all that a record's `outcome` may say, but for `accepted` and `dry_run`, which leave none.
 */
export const auditOnlyTags = [
  'cancelled',
  'replaced',
  'discarded',
  'step_completed',
  'completed',
  'partially_completed',
  'timed_out',
  'compensated',
  'changed',
  'opened',
  'closed',
] as const

export const httpStatus = (o: Outcome): number => (o.outcome === 'failed' && o.timeout ? 504 : STATUS[o.outcome])
