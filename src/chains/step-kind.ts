import type { z } from 'zod'
import type { Action, Scope } from '../core/action.ts'
import type { Clock } from '../core/clock.ts'
import type { Json } from '../core/json.ts'
import type { Lineage } from '../core/lineage.ts'
import type { Op } from '../core/state.ts'
import type { Template } from '../core/template.ts'
import type { Deliver, DeliveryHooks } from '../delivery/delivery.ts'
import type { StepDefinition } from './definition.ts'
import type { ChildEnd, Run, StepRecord, StepResult } from './run.ts'

/** A step ready to run: its templates parsed and its branches compiled once. */
export interface ChainStep {
  readonly name: string
  readonly definition: StepDefinition
  readonly kind: StepKind
  readonly payload: Template | undefined
  readonly branches: readonly {
    readonly path: readonly string[]
    readonly test: (field: Json) => boolean
    readonly target: string
  }[]
  /** `default_next`, else the next step of the file; undefined ends the execution. */
  readonly next: string | undefined
  /** Its author said where to go: a failure is for the branches to judge. Without, it fails the execution. */
  readonly judgesFailure: boolean
}

/** What a definition may refer to, and where to say that it does not. */
export interface StepCheck {
  readonly providers: ReadonlySet<string>
  readonly chains: ReadonlySet<string>
  error(key: string, message: string): void
}

/** Everything a step may look at. */
export interface StepContext {
  readonly scope: Scope
  readonly run: Run
  readonly step: ChainStep
  readonly origin: Action
  readonly lineage?: Lineage | undefined
  /** The latest result of each step that has ended. */
  readonly results: ReadonlyMap<string, StepResult>
  /** The result of the step before; a sub-chain's first step sees its parent's. */
  readonly prev: StepResult | undefined
  readonly now: number
  readonly deliver: Deliver
  /** The entries of a child execution by its chain's name, born claimed by this node. */
  child(chain: string, timeoutMs: number | undefined): { readonly id: string; readonly ops: readonly Op[] }
}

/** What must be stored before a step acts. */
export interface Entered {
  readonly record: StepRecord
  /** False: acting has no effect outside, so the record may wait for the step's end. */
  readonly store: boolean
  /** Entries born with it. */
  readonly ops?: readonly Op[]
  /** An execution born claimed by those ops: this node drives it. */
  readonly child?: string
  /** Nothing to do until something wakes the execution: it gives its claim back, due at its deadline. */
  readonly waits?: boolean
  /** It failed before anything could be sent. */
  readonly failed?: Failure
  /** This node lacks what the step needs; another may have it, or this one after a reload. */
  readonly lacks?: string
  /** What cannot be sent without it. */
  readonly undelivered?: Undelivered
}
export interface Failure {
  readonly result: StepResult
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

export interface ActContext extends StepContext {
  readonly record: StepRecord
  readonly clock: Clock
  /** The record was stored by an earlier claim, so an attempt may have been made already. */
  readonly resuming: boolean
  /** No attempt begins after this moment. Milliseconds. */
  readonly deadline: number
  readonly hooks: Pick<DeliveryHooks, 'lost' | 'stopping'>
  /** Stores the changed record before what it says is done. False: the claim is lost. */
  readonly store: (record: StepRecord) => Promise<boolean>
  /** The end of the child this step waits for, once its message is there. */
  readonly childEnd: ChildEnd | undefined
}
export type Acted =
  | ({ readonly kind: 'ended'; readonly record: StepRecord } & Failure)
  | { readonly kind: 'waits' }
  | { readonly kind: 'lacks'; readonly what: string }
  | { readonly kind: 'handed_back'; readonly dueAt: number; readonly record: StepRecord }
  | { readonly kind: 'lost' }

/** One kind of step: one file in steps/, one line in its table. */
export interface StepKind<S extends StepDefinition = StepDefinition> {
  readonly kind: string
  /** The key whose presence makes a step one of these. */
  readonly key: string
  /** As a first step it may be entered in the commit that starts the execution: it sends, and starts nothing. */
  readonly startsAtOnce: boolean
  /** The keys it has beside the common ones. */
  readonly shape: z.ZodRawShape
  check(step: S, at: StepCheck): void
  /** What the payload is made of; undefined = the kind sends none. */
  template(step: S): Json | undefined
  /** Pure: renders, and says what must be durable first. */
  enter(step: S, at: StepContext): Entered
  /** Does what was stored. Never throws. */
  act(step: S, at: ActContext): Promise<Acted>
}

/** The roots of templates. */
export const templateRoots = ['origin', 'prev', 'steps', 'step_result', 'chain_id'] as const
/** The roots of branch fields: the step's own result, the origin, and other steps. */
export const fieldRoots = ['success', 'fallback', 'provider', 'status', 'error', 'body', 'origin', 'steps'] as const
