import type { Json } from '../../core/json.ts'
import type { Template } from '../../core/template.ts'
import type { ChainDefinition, Compensation, RetryPolicy, StepDefinition } from './definition.ts'
import type { Behaviour, Entered, StepContext, StepKind } from './step-kind.ts'
import type { Variables } from './variables.ts'

/** A step ready to run: its templates parsed and its branches compiled once. */
export interface ChainStep {
  /** `step`, or of a member of a group `step.branch`; of a `for_each` the number takes the place of the name. */
  readonly name: string
  readonly definition: StepDefinition
  readonly kind: StepKind
  readonly does: Behaviour
  readonly branches: readonly {
    readonly path: readonly string[]
    readonly test: (field: Json) => boolean
    readonly target: string
  }[]
  /** `default_next`, else the next step of the file; undefined ends the execution. Of a graph: undefined. */
  readonly next: string | undefined
  /** Its author said where to go: a failure is for the branches to judge. */
  readonly judgesFailure: boolean
  readonly onFailure: OnFailure
  readonly retry: RetryPolicy | undefined
  readonly undo: Undo | undefined
  readonly cache: { readonly ttlMs: number; readonly key: Template | undefined } | undefined
  readonly group: GroupPlan | undefined
  readonly needs: readonly string[]
}
export type OnFailure =
  | { readonly kind: 'abort' | 'continue' | 'dead_letter' }
  | { readonly kind: 'goto'; readonly target: string }
/** Sends an action: of a step, or of what undoes one. */
export type Sender = Pick<Required<Behaviour>, 'act'> & { enter(at: StepContext, seen: Variables): Entered }
export interface Undo {
  readonly definition: Compensation
  readonly retry: RetryPolicy
  readonly does: Sender
}
export interface GroupPlan {
  /** How many must succeed; undefined = all. */
  readonly join: number | undefined
  readonly bestEffort: boolean
  readonly atOnce: number
  /** The member of a number, and the last part of its key. */
  member(index: number): { readonly step: ChainStep; readonly name: string }
  /** The number of a member, from its key. */
  indexOf(key: string): number
}

/** A definition ready to run. */
export interface Chain {
  readonly name: string
  readonly version: string
  readonly definition: ChainDefinition
  readonly graph: boolean
  /** Some step of it says how it is undone. */
  readonly undoes: boolean
  /** The steps it begins with: of a graph those that need none. */
  readonly first: readonly string[]
  readonly steps: ReadonlyMap<string, ChainStep>
  /** Of a step, or of a member of its group, by key. Throws for a key the chain has not. */
  step(key: string): ChainStep
}
