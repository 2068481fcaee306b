import type { Action } from './action.ts'
import type { JsonObject } from './json.ts'
import type { DisableDetails, LimitName } from './outcome.ts'

/**
 * What evaluation yields: guards in rule order, side effects in rule order, one end. Evaluation is pure; the gateway makes the
 * plan one commit.
 */
export interface Plan {
  /** The action as rules changed it. */
  readonly action: Action
  /** Names of the rules that matched, in order. */
  readonly matched: readonly string[]
  readonly guards: readonly Guard[]
  /** What the runs of this plan's rules are counted against. */
  readonly limits: readonly RunLimit[]
  readonly effects: readonly Effect[]
  readonly end: End
  readonly warnings: readonly string[]
}

export type Guard =
  | {
      readonly kind: 'dedup'
      readonly rule: string
      /** State id: rule and the marked key values, length-prefixed. */
      readonly id: string
      /** What the caller is shown as `dedup_key`. */
      readonly shown: string
      readonly ttlMs: number
    }
  | {
      readonly kind: 'throttle'
      readonly rule: string
      /** State id: rule, window and key values, length-prefixed. */
      readonly id: string
      readonly maxCount: number
      readonly windowMs: number
      readonly message?: string
    }

/** A limit on the runs of one rule in a scope, of which this plan is one more. */
export interface RunLimit {
  readonly rule: string
  readonly limit: LimitName
  /** State id of its window. */
  readonly id: string
  readonly count: number
  readonly windowMs: number
  /** As it was written: `PT30S`. */
  readonly window: string
  /** Over it: `warn` lets the run pass, `disable` refuses it and switches the rule off in the scope. */
  readonly mode: 'warn' | 'disable'
  /** Which of the times the rule was switched on in this scope the run belongs to. */
  readonly since: string
  /** The gateway has switched the rule off here: nothing that meets it is let through. */
  readonly disabled?: DisableDetails
}

export type Effect =
  | {
      readonly kind: 'copy'
      readonly rule: string
      readonly targetProvider: string
      /** The action as it stood at the copy rule, `changes` applied; the gateway gives it its own id. */
      readonly action: Action
    }
  | { readonly kind: 'chain'; readonly rule: string; readonly chain: string; readonly action: Action }
  | { readonly kind: 'cancel_scheduled'; readonly rule: string; readonly id: string }

export type End =
  | {
      readonly kind: 'deliver'
      /** The rule that stopped; absent when none was left. */
      readonly rule?: string
      /** Undefined: nobody named one (422 provider_required). */
      readonly provider: string | undefined
      readonly rerouted: boolean
      /** The rule's own fallback, before the provider's. */
      readonly fallback?: string
    }
  | { readonly kind: 'suppress' | 'deny'; readonly rule: string; readonly reason?: string }
  | { readonly kind: 'chain'; readonly rule: string; readonly chain: string }
  /** It has come round, or too far: nothing else of the plan happens. */
  | { readonly kind: 'loop'; readonly rule?: string; readonly reason: string; readonly cycle: readonly string[] }
  | ({
      readonly kind: 'group'
      readonly rule: string
      /** Stable hash of scope, rule and values. */
      readonly groupId: string
      /** The values as people read them, `floor=3`. */
      readonly groupKey: string
      /** The group_by values by field; a missing one is null. */
      readonly labels: JsonObject
      readonly waitMs: number
      readonly intervalMs: number
      readonly maxSize: number
      readonly maxBytes: number
      readonly targetProvider?: string
    } & Holder)
  | ({
      readonly kind: 'schedule'
      readonly rule: string
      readonly dueAt: number
      /** State id of the schedule key. */
      readonly keyId?: string
      readonly onRepeat: 'restart' | 'keep' | 'add'
    } & Holder)

/** Nothing comes of an action that ends so, but for the plan's side effects. */
export const turnsAway = (end: End): boolean => end.kind === 'suppress' || end.kind === 'deny' || end.kind === 'loop'

/** What a held action keeps of the rule that holds it, by name, so that deleting, renaming or moving rules changes nothing. */
export interface Holder {
  readonly priority: number
  /** Rules of the holder's priority that stood before it. */
  readonly before: readonly string[]
  /** By which the holder is known under another name: what it asks and does. Absent: held by a version that kept none. */
  readonly content?: string
}
/** Where a released action continues: after its holder, never from the top. */
export interface Resume extends Holder {
  readonly rule: string
  /** Rules that had matched before it was held. */
  readonly matched: readonly string[]
}
/** Behind the rule that holds it. */
export const resumeBehind = (
  { rule, priority, before, content }: Holder & { readonly rule: string },
  matched: readonly string[],
): Resume => ({ rule, priority, before, matched, ...(content !== undefined && { content }) })

export interface TraceEntry {
  readonly rule: string
  readonly priority: number
  readonly matched: boolean
  /** Why, in the words of the condition: the first part that decided, with the values seen. */
  readonly why?: string
  readonly type_mismatch?: boolean
  readonly error?: string
  readonly effect?: string
}

export interface Evaluate {
  readonly action: Action
  /** Milliseconds: `time.*` and due times come from it. */
  readonly now: number
  readonly resume?: Resume
  /** The action came from the gateway itself: something it did led back to it. */
  readonly internal?: boolean
  readonly trace?: TraceEntry[]
}

/** An immutable set of compiled rules: work in hand finishes on the one it began with. */
export interface Ruleset {
  readonly version: string
  readonly loadedAt: number
  evaluate(input: Evaluate): Plan
  /** May this rule be passed twice in one lineage? */
  isReentrant(rule: string): boolean
}
