import type { z } from 'zod'
import type { Action } from '../core/action.ts'
import type { Json } from '../core/json.ts'
import type { Effect, End, Guard, Holder, RunLimit } from '../core/plan.ts'
import type { Redact } from '../core/redact.ts'
import type { Field } from './fields.ts'
import type { ScopeState } from './scope-state.ts'
import type { Zone } from './time.ts'

/** One evaluation under way. Lives for one call; what it gathers becomes the plan. */
export interface Draft {
  action: Action
  readonly now: number
  readonly matched: string[]
  readonly guards: Guard[]
  readonly limits: RunLimit[]
  readonly effects: Effect[]
  readonly warnings: string[]
  /** The action came from the gateway itself. */
  readonly internal: boolean
  /** By rule: what has been said in the action's scope alone. */
  readonly here: ReadonlyMap<string, ScopeState> | undefined
  /** Set when a trace is asked for: conditions then say why, in passing. */
  readonly notes: Notes | undefined
  /** A CEL expression failed: the rule does not match, whatever stands around the expression. */
  failure: string | undefined
}
export interface Notes {
  why: string
  mismatch: boolean
}

/** What a matching rule does with the draft: undefined passes it on, an end stops or holds it. Pure, and never throws. */
export type Stage = (draft: Draft, holder: () => Holder) => End | undefined

/** What a rule action may ask while it is compiled. Everything wrong is reported at its place; compiling goes on. */
export interface Compiling {
  readonly rule: string
  readonly zone: Zone
  readonly defaultProvider: string | undefined
  /** What texts made of values may show. */
  readonly redact: Redact
  isProvider(name: string): boolean
  provider(name: string | undefined, path: readonly PropertyKey[]): void
  chain(name: string, path: readonly PropertyKey[]): void
  timezone(name: string | undefined, path: readonly PropertyKey[]): Zone
  field(text: string, path: readonly PropertyKey[]): Field
  /** Checks the roots and action fields a template names. */
  template(source: Json, path: readonly PropertyKey[]): void
  error(path: readonly PropertyKey[], message: string): void
  warn(path: readonly PropertyKey[], message: string): void
  readonly loops: { readonly groupFlush: boolean; readonly scheduled: boolean }
  /** Bytes of a group that the state store keeps. */
  readonly mostGroupBytes: number
}

/** A rule action: one file, one line in actions/index.ts. It adds to the plan and can neither write nor deliver. */
export interface RuleAction<S extends z.ZodObject = z.ZodObject> {
  readonly type: string
  /** What a match does with the action, for the documentation. */
  readonly kind: 'passes' | 'stops' | 'holds'
  /**
   * When a match is a run of the rule: always, where it decides or sets something off; where it only asks or changes, for a limit of
   * the rule's own; never, where it turns away.
   */
  readonly runs: 'always' | 'own_limit' | 'never'
  readonly summary: string
  /** Strict: the keys beside `type`. */
  readonly params: S
  compile(params: z.output<S>, compiling: Compiling): Stage
}
export const defineRuleAction = <S extends z.ZodObject>(a: RuleAction<S>): RuleAction<S> => a

/** A rule action whose parameters' type is its own affair: what the table holds. */
export interface AnyRuleAction extends Omit<RuleAction, 'compile'> {
  /** `params` are the output of the schema beside it. */
  compile(params: never, compiling: Compiling): Stage
}
