import type { Json } from '../../core/json.ts'

/** What an operator wrote, parsed: plain data, stored with each execution that began with it. Keys as in TOML and JSON. */
export interface ChainDefinition {
  readonly name: string
  readonly description?: string
  /** Left out = true. Disabled, it starts no executions; those under way go on. */
  readonly enabled?: boolean
  readonly timeout_seconds?: number
  readonly priority?: Priority
  /** Executions of one scope at work at once; more wait their turn. */
  readonly max_concurrent?: number
  /** A path of the origin, `payload.device_id`: executions of one value run one after another. */
  readonly lock_by?: string
  /** It may be started by what an execution of it has dispatched. */
  readonly reentrant?: boolean
  /** Found by in `GET /v1/chains?attribute=name:value`: templates over the origin. */
  readonly attributes?: { readonly [name: string]: string }
  readonly steps: readonly StepDefinition[]
}
export const priorities = ['high', 'normal', 'low'] as const
export type Priority = (typeof priorities)[number]

/** What may stand alone or inside `parallel` and `for_each`. */
export type LeafStep = ProviderStep | SubChainStep | WaitStep | SignalStep | SetStep | DispatchStep
export type StepDefinition = LeafStep | ParallelStep | ForEachStep | ConditionStep | EndStep

export interface Common {
  readonly name: string
  /** Steps that must have ended first: makes the chain a graph whose independent branches run at once. */
  readonly needs?: readonly string[]
  /** Asked in order once the step has ended: the first that holds says where to go. */
  readonly branches?: readonly Branch[]
  /** Where to go when no branch holds; left out = the next step of the file. */
  readonly default_next?: string
  /** Of one attempt to get the step done, from when a node takes it up; of a group, from when it was entered. */
  readonly timeout_seconds?: number
  /** Between being entered and the first attempt. */
  readonly delay_seconds?: number
  readonly retry?: RetryPolicy
  /** What a failure for good means where no branch judges it: `abort` (the default), `continue`, `dead_letter`, `goto:<step>`. */
  readonly on_failure?: string
  /** Another way to write `on_failure = "continue"`. */
  readonly allow_failure?: boolean
  /** Undoes the step when the execution fails, times out or is cancelled. */
  readonly compensate?: Compensation
  /** A result under the same key is reused for so long. */
  readonly cache_ttl_seconds?: number
  /** A template; left out = what the step sends. */
  readonly cache_key?: string
}
export interface RetryPolicy {
  /** Attempts in all, the first included. */
  readonly max_attempts: number
  readonly backoff?: 'fixed' | 'linear' | 'exponential'
  readonly initial_ms?: number
  readonly max_ms?: number
}
export interface Compensation {
  readonly provider: string
  readonly action_type: string
  /** May also refer to `result`, the step's own. Left out = the origin's payload. */
  readonly payload_template?: Json
  /** Left out: 5 attempts, exponential from 1 s to 60 s. */
  readonly retry?: RetryPolicy
}
export interface Branch {
  readonly field: string
  readonly operator: string
  readonly value?: Json
  readonly target: string
}

export interface ProviderStep extends Common {
  readonly provider: string
  readonly action_type: string
  /** Left out = the origin's payload as it is. */
  readonly payload_template?: Json
  /** Before the provider's own fallback. */
  readonly fallback_provider?: string
}
export interface SubChainStep extends Common {
  readonly sub_chain: string
}
export interface WaitStep extends Common {
  /** One of the two; text is a template. `until`: RFC 3339. */
  readonly wait: { readonly seconds?: number | string; readonly until?: string }
}
export interface SignalStep extends Common {
  readonly wait_for_signal: {
    /** Its name; a template. */
    readonly signal: string
    readonly timeout_seconds?: number
    /** `fail` (the default, code `signal_timeout`), `continue`, `goto:<step>`. */
    readonly on_timeout?: string
  }
}
export interface SetStep extends Common {
  /** Templates by name; a value `{cel: "…"}` is computed. The result's body. */
  readonly set: { readonly [name: string]: Json }
}
export interface DispatchStep extends Common {
  /** An action for the rules, as a caller's would be. */
  readonly dispatch: {
    readonly action_type: string
    readonly payload?: Json
    readonly provider?: string
    readonly metadata?: { readonly [name: string]: string }
    readonly dedup_key?: string
  }
}
export interface ConditionStep extends Common {
  readonly condition: ConditionNode
  /** Left out = the next step of the file. */
  readonly then?: string
  readonly else?: string
}
export interface EndStep extends Common {
  readonly end: {
    readonly status: 'completed' | 'failed'
    /** Of the error, where it is to fail. */
    readonly code?: string
    /** A template. */
    readonly message?: string
  }
}
/** A rule's condition, over the fields of branches and templates. */
export type ConditionNode = { readonly [key: string]: Json }

export type Join = 'all' | 'any' | number
export interface Group {
  /** How many must succeed; `all` is the default. */
  readonly join?: Join
  /** `fail_fast` (the default): once the join cannot be met, nothing more is begun. `best_effort`: all are let run. */
  readonly on_failure?: 'fail_fast' | 'best_effort'
  /** At once; left out = all (of a `for_each`: 10). */
  readonly max_concurrency?: number
}
export interface ParallelStep extends Common {
  readonly parallel: Group & { readonly branches: readonly LeafStep[] }
}
export interface ForEachStep extends Common {
  readonly for_each: Group & {
    /** A list, or a template that gives one. */
    readonly items: Json
    /** At most; more fail the step. Left out = 1000. */
    readonly max_items?: number
    /** Done for each: its templates also see `item` and `index`. It needs no name. */
    readonly step: LeafStep
  }
}

const GOTO = 'goto:'
/** The step that `goto:<step>` names; undefined where another word stands. */
export const gotoTarget = (said: string | undefined): string | undefined =>
  said?.startsWith(GOTO) ? said.slice(GOTO.length) : undefined

export type Path = readonly (string | number)[]
export type Say = (path: Path, message: string, severity?: 'error' | 'warning') => void

/**
 * What is wrong with definitions as written, and where: `path` begins at the array of definitions, so that a file reader
 * can make it a line and column and a request reader a JSON pointer.
 */
export interface DefinitionIssue {
  readonly path: Path
  readonly message: string
  readonly severity: 'error' | 'warning'
}

/** The language of rule conditions, handed in because chains may not import rules. */
export interface BranchTests {
  /** Every name, aliases included. */
  readonly operators: readonly string[]
  /** A test of a field's value (a missing field is null), or what is wrong with `value`. The test never throws. */
  compile(operator: string, value: Json | undefined): ((field: Json) => boolean) | string
  /** A CEL expression over the named roots, or what is wrong with it. What goes wrong in evaluating is an `error`, never thrown. */
  expression(source: string, roots: readonly string[]): Expression | { readonly refused: string }
}
export interface Expression {
  /** The type of its answer, `bool` among others; `dyn` where only the data tells. */
  readonly gives: string
  /** Where it looks, as far as that is written out: each path from its root. */
  readonly reads: readonly (readonly string[])[]
  evaluate(at: { readonly [root: string]: Json | undefined }): { readonly value: Json } | { readonly error: string }
}

/** A chain is a graph once any of its steps says what it needs; else one step follows another. */
export const isGraph = (d: ChainDefinition): boolean => d.steps.some((s) => s.needs !== undefined)

/** The steps inside a group, with where they stand in it. */
export function innerSteps(step: StepDefinition): readonly { readonly step: LeafStep; readonly path: Path }[] {
  if ('parallel' in step)
    return step.parallel.branches.map((s, i) => ({ step: s, path: ['parallel', 'branches', i] as const }))
  if ('for_each' in step) return [{ step: step.for_each.step, path: ['for_each', 'step'] }]
  return []
}
