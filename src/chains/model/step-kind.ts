import type { z } from 'zod'
import type { Action, Scope } from '../../core/action.ts'
import type { Clock } from '../../core/clock.ts'
import type { Json } from '../../core/json.ts'
import type { Lineage } from '../../core/lineage.ts'
import type { Op } from '../../core/state.ts'
import type { Deliver, DeliveryHooks } from '../../delivery/delivery.ts'
import type { BranchTests, Path, StepDefinition } from './definition.ts'
import type { Run, StepRecord, StepResult, Task } from './run.ts'

/** What a definition may refer to, and where to say that it does not. `path` begins at the step. */
export interface StepCheck {
  readonly providers: ReadonlySet<string>
  readonly chains: ReadonlySet<string>
  readonly tests: BranchTests
  /** Inside a group there is nowhere to go to. */
  readonly inGroup: boolean
  error(path: Path, message: string): void
}

/** Everything a step may look at. */
export interface StepContext {
  readonly scope: Scope
  readonly run: Run
  readonly task: Task
  readonly origin: Action
  /** The latest result of each step that has ended. */
  readonly results: ReadonlyMap<string, StepResult>
  /** The result of the step before; a sub-chain's first step sees its parent's. */
  readonly prev: StepResult | undefined
  /** Inside a `for_each`. */
  readonly item?: { readonly item: Json; readonly index: number }
  readonly now: number
  readonly deliver: Deliver
  /** What set the execution off; for what leaves, and for what is dispatched. */
  readonly lineage: Lineage | undefined
  /** The oldest signal of this name that nobody has had yet. */
  signal(name: string): Signal | undefined
  /** The entries of a child execution by its chain's name, born claimed by this node; or the way round that leads to it again. `timeoutMs`: the step's own. */
  child(chain: string, timeoutMs: number | undefined): { readonly id: string; readonly ops: readonly Op[] } | Loop
}
export interface Loop {
  readonly cycle: readonly string[]
}
export interface Signal {
  /** Of its message in the inbox. */
  readonly id: string
  readonly name: string
  readonly payload: Json
  readonly by: string
  readonly at: number
}

export interface Failure {
  readonly result: StepResult
  /** Another attempt may succeed. Left out = no. */
  readonly retryable?: boolean
  /** What it asked for before another try. */
  readonly retryAfterMs?: number
  /** It may have been done all the same. Where there is something undelivered, that says it. */
  readonly unknown?: boolean
  /** What should have gone out: a dead letter is made of it. */
  readonly undelivered?: Undelivered
}
export interface Undelivered {
  readonly action: Action
  readonly provider: string
  readonly requested: string
  readonly fallback?: string
  readonly token: string
  readonly lineage?: Lineage | undefined
  /** Null where rendering it was what failed. */
  readonly request: Json
  readonly unknown: boolean
  readonly firstAttemptAt?: number
}
/** The step is over without more ado. */
export interface Over extends Failure {
  /** Where to go, if the step itself says so. */
  readonly next?: string | undefined
  /** The message it has taken out of the inbox. */
  readonly took?: Signal
}

/** What a step needs to be stored before anything comes of it. Pure. */
export type Entered =
  /** `store` false: acting has no effect outside, so the record may wait for the step's end. */
  | { readonly to: 'act'; readonly record: StepRecord; readonly store: boolean }
  | {
      readonly to: 'child'
      readonly record: StepRecord
      readonly child: string
      readonly ops: readonly Op[]
    }
  | {
      readonly to: 'wait'
      readonly record: StepRecord
      readonly until: number | undefined
      /** `until` is a moment of the calendar. */
      readonly fixed?: boolean
      readonly signal?: string
    }
  | { readonly to: 'members'; readonly record: StepRecord; readonly total: number }
  | { readonly to: 'end'; readonly record: StepRecord; readonly over: Over }
  /** This node lacks what the step needs; another may have it, or this one after a reload. */
  | { readonly to: 'lack'; readonly record: StepRecord; readonly what: string; readonly undelivered?: Undelivered }

export interface ActContext extends StepContext {
  readonly record: StepRecord
  readonly clock: Clock
  /** The record was stored by an earlier claim, so an attempt may have been made already. */
  readonly resuming: boolean
  /** No attempt begins after this moment. Milliseconds. */
  readonly deadline: number
  /** The step has a retry policy of its own: one attempt each time. */
  readonly once: boolean
  readonly hooks: Pick<DeliveryHooks, 'lost' | 'stopping'>
  /** Stores the changed record before what it says is done. False: the claim is lost. */
  readonly store: (record: StepRecord) => Promise<boolean>
  readonly dispatch: Dispatcher
}
export type Acted =
  | ({ readonly kind: 'ended'; readonly record: StepRecord } & Failure)
  | { readonly kind: 'lacks'; readonly what: string }
  | { readonly kind: 'handed_back'; readonly dueAt: number; readonly record: StepRecord }
  | { readonly kind: 'lost' }

/** The way back to the rules, handed in from above. */
export interface Dispatcher {
  /**
   * Dispatches an action once under its token: asked again, it answers what came of it, and only what was not done for certain is
   * begun anew. Never throws. `retryable`: asked again it may fare better. `unknown`: it may have been done. `askAt`: nobody knows
   * yet; ask again then. No attempt at a provider outlives the `deadline`, milliseconds.
   */
  dispatch(
    action: Action,
    how: {
      readonly token: string
      readonly lineage: Lineage | undefined
      readonly chain: string
      readonly deadline: number
    },
  ): Promise<
    | {
        readonly result: StepResult
        readonly retryable: boolean
        readonly unknown: boolean
        readonly retryAfterMs?: number
      }
    | { readonly askAt: number; readonly unknown: boolean }
  >
}

/** Why a step that waits goes on. */
export type Wake =
  | { readonly by: 'time' }
  | { readonly by: 'signal'; readonly signal: Signal }
  | { readonly by: 'child'; readonly result: StepResult }

/** A step of one definition, its templates parsed once. */
export interface Behaviour {
  enter(at: StepContext): Entered
  /** Does what was stored. Never throws. */
  act?(at: ActContext): Promise<Acted>
  woken?(at: StepContext, by: Wake): Over
  /** Of a group: what its members came to. */
  sum?(members: readonly (StepResult | undefined)[], failure: StepResult['error']): StepResult
}

/** One kind of step: one file in steps/, one line in its table. */
export interface StepKind<S extends StepDefinition = StepDefinition> {
  readonly kind: string
  /** The key whose presence makes a step one of these. */
  readonly key: string
  /** May stand inside a group. */
  readonly leaf: boolean
  /** It chooses the next step itself, so it has no place in a graph. */
  readonly chooses: boolean
  /** Nothing follows it: how the execution ends, in few words. */
  ends?(step: S): string
  /** The keys it has beside the common ones. */
  readonly shape: z.ZodRawShape
  check(step: S, at: StepCheck): void
  /** Where the step itself may send the execution; undefined as a target: simply on. */
  targets?(step: S): readonly StepTarget[]
  /** Values that may hold templates, with where they stand in the step. */
  texts(step: S): readonly { readonly path: Path; readonly source: Json }[]
  /** What else looks things up by path, as conditions and expressions do. */
  lookups?(step: S, tests: BranchTests): readonly Lookup[]
  prepare(step: S, tests: BranchTests): Behaviour
}
export interface StepTarget {
  readonly kind: 'then' | 'else' | 'on_timeout'
  readonly target: string | undefined
  readonly path: Path
}
export interface Lookup {
  /** Where it stands in the step. */
  readonly path: Path
  readonly reads: readonly string[]
}

/** The roots of templates. */
export const templateRoots = ['origin', 'prev', 'steps', 'step_result', 'chain_id'] as const
/** Inside a `for_each` also these. */
export const itemRoots = ['item', 'index'] as const
/** Inside `compensate` also the result of the step it undoes. */
export const undoRoots = ['result'] as const
/** The roots of branch fields: the step's own result, the origin, and other steps. */
export const fieldRoots = ['success', 'fallback', 'provider', 'status', 'error', 'body', 'origin', 'steps'] as const
/** A condition step has no result of its own to look at. */
export const conditionRoots = ['origin', 'prev', 'steps'] as const
