import type { Action, Scope } from '../core/action.ts'
import type { Json, JsonObject } from '../core/json.ts'
import type { Lineage } from '../core/lineage.ts'
import type { ClaimRef, Op } from '../core/state.ts'
import type { ChainDefinition, DefinitionIssue } from './model/definition.ts'

export interface StartChain {
  readonly chain: string
  readonly scope: Scope
  /** The execution's origin. */
  readonly action: Action
  /** Of the admission that starts it. */
  readonly runId: string
  /** Milliseconds: the chain id begins with it. */
  readonly now: number
  /** Name of the rule: one admission may start several executions, each by its own rule. */
  readonly rule: string
  /** What is behind it, this chain included. */
  readonly lineage?: Lineage
}
export interface Started {
  /** For the admitting commit. The first is the execution, born claimed: its result carries the claim's number. */
  readonly ops: readonly Op[]
  readonly claim: { readonly owner: string; readonly until: number }
  readonly chainId: string
  readonly chainName: string
  readonly totalSteps: number
  readonly firstStep: string
}
export type Held = ClaimRef & { readonly until: number }

export interface SearchChains {
  readonly status?: string
  readonly name?: string
  readonly entity?: string
  readonly attribute?: { readonly name: string; readonly value: string }
  /** Started in between, both included. Milliseconds. */
  readonly from?: number
  readonly to?: number
  readonly limit: number
  readonly after?: string
}
export interface ChainsPage {
  readonly chains: readonly JsonObject[]
  readonly next?: string
}

/** A step of an execution that failed for good: what a dead letter keeps to find it again. */
export interface FailedStep {
  readonly scope: Scope
  readonly chainId: string
  readonly step: string
  readonly iteration: number
  /** It is the undoing of the step that failed. */
  readonly undo?: boolean
}

/** Chain executions and their definitions. Views are redacted JSON in wire names. */
export interface Chains {
  /** Undefined: this node knows no such chain (a held action is then handed back). Pure but for ids: nothing happens until the ops are committed. */
  startOps(start: StartChain): Started | undefined
  /** Drives an execution whose start was committed; never awaited by the request, waited for by `stop`. Never rejects. */
  begin(scope: Scope, chainId: string, claim: Held): Promise<void>
  /** Claims what is due, as far as there is room, and drives it; resolves to how many were taken, before they have ended. */
  pull(): Promise<number>
  /** Executions this node may still take from the store. */
  room(): number
  /** Executions in this node's memory. */
  driven(): number
  /** Ends back-off at once, lets attempts under way finish, hands the rest back. */
  stop(): Promise<void>

  /** With every step. */
  get(scope: Scope, id: string): Promise<JsonObject | undefined>
  /** Newest first, without steps; `after` is the last page's `next`. */
  list(scope: Scope, search: SearchChains): Promise<ChainsPage>
  /** What has happened to an execution, commit by commit, oldest first; undefined where there is none. */
  history(
    scope: Scope,
    id: string,
    page: { readonly limit: number; readonly after?: string },
  ): Promise<{ readonly entries: readonly JsonObject[]; readonly next?: string } | undefined>
  /** The definition an execution began with. */
  definitionOf(scope: Scope, id: string): Promise<ChainDefinition | undefined>
  /** The executions an action started, sub-chains included. */
  byAction(scope: Scope, actionId: string): Promise<readonly JsonObject[]>
  /** One of those has not ended. */
  isUnderWay(scope: Scope, actionId: string): Promise<boolean>
  /** Those that notifications of a group have started (the last hundred), where `isIt` says so of the notification. */
  byGroup(scope: Scope, groupId: string, isIt: (notification: Action) => boolean): Promise<readonly JsonObject[]>
  /** Leaves a message; the execution's owner ends it. Problem 404, or 409 `chain_ended`. */
  cancel(scope: Scope, id: string, by: string): Promise<JsonObject>
  /** Nothing more is begun until `resume`; what is under way is let finish, and its time stands still. Problem 404, 409. */
  pause(scope: Scope, id: string, by: string): Promise<JsonObject>
  resume(scope: Scope, id: string, by: string): Promise<JsonObject>
  /**
   * For a step that waits for it, now or later. Under a `key` it is sent once (24 h); `repeated`: it had been. Problem 404, 409
   * `chain_ended`, `inbox_full`, 422 `idempotency_mismatch`.
   */
  signal(
    scope: Scope,
    id: string,
    signal: {
      readonly name: string
      readonly payload: Json
      readonly by: string
      readonly key?: { readonly text: string; readonly hash: string }
    },
  ): Promise<{ readonly answer: JsonObject; readonly repeated: boolean }>
  /** From the failed step on; of a group only what failed runs again. Problem 404, 409 where there is nothing to retry. */
  retry(scope: Scope, id: string, by: string): Promise<JsonObject>
  /** From a step on that was taken before, under new iterations and so new tokens. Problem 404, 409, 422 `unknown_step`. */
  reset(scope: Scope, id: string, to: { readonly step: string; readonly by: string }): Promise<JsonObject>
  /**
   * Continues an execution that ended `failed` at this step, under a new iteration and so a new token; its failed parents go on
   * waiting for it. `ops` (the letter's end) are part of the same commit. Problem 404, or 409 `chain_moved_on`.
   */
  resumeFromDeadLetter(failed: FailedStep, ops: readonly Op[]): Promise<void>
  /** Deletes up to `limit` executions that ended before `endedBefore` (ms), with their steps; answers how many. */
  purge(scope: Scope, endedBefore: number, limit: number): Promise<number>

  /** Of executions that began in between (milliseconds, both included), by chain. Left out: the last day, until now. */
  summary(scope: Scope, asked: { readonly from?: number; readonly to?: number }): Promise<ChainsSummary>

  /** Every chain that is defined here, sorted. */
  names(): readonly string[]
  has(name: string): boolean
  /** Switched off: there it is, and `startOps` starts nothing of it. */
  disabled(name: string): boolean
  /** What the file's definitions would change, with the providers there will be then: errors mean that `setDefinitions` refuses them all. */
  checkDefinitions(raw: readonly unknown[], providers: Iterable<string>): readonly DefinitionIssue[]
  /** The file's definitions, whole or not at all; errors mean nothing changed. Executions under way keep theirs. */
  setDefinitions(raw: readonly unknown[]): readonly DefinitionIssue[]
  definitions(): readonly DefinitionView[]
  definition(name: string): DefinitionView | undefined
  /** Problem 422 with pointers, 409 `chain_in_file`, 412 where `ifVersion` does not hold (null: there must be none). */
  putDefinition(
    name: string,
    body: Json,
    by: string,
    ifVersion?: string | null,
  ): Promise<{
    readonly view: DefinitionView
    readonly created: boolean
    readonly warnings: readonly DefinitionIssue[]
  }>
  /** With the versions it has had. Problem 404, 409 `chain_in_file` or `chain_in_use` (another chain has it as a sub-chain, or a rule starts it), 412. */
  deleteDefinition(name: string, by: string, ifVersion?: string | null): Promise<void>
  /** Those it has had since it was made through the API, newest first; the file's is the only one of its name. Problem 404. */
  versions(name: string, page: { readonly limit: number; readonly after?: string }): Promise<DefinitionVersions>
  /** With its definition. Problem 404. */
  version(name: string, version: string): Promise<DefinitionVersion & { readonly definition: ChainDefinition }>
  /** A version of before is put in force again, checked against what there is today. Problem 404, 409 `chain_in_file`, 412, 422. */
  rollback(
    name: string,
    version: string,
    by: string,
    ifVersion?: string | null,
  ): Promise<{ readonly view: DefinitionView; readonly warnings: readonly DefinitionIssue[] }>
  /** Lasts until the definition itself says otherwise. Problem 404. */
  setEnabled(
    name: string,
    enabled: boolean,
    how: { readonly by: string; readonly why?: string },
  ): Promise<DefinitionView>
}

export interface ChainsSummary {
  readonly from: string
  readonly to: string
  /** Those looked at, newest first. */
  readonly runs: number
  /** There were more, older than `reached`. */
  readonly truncated: boolean
  readonly reached?: string
  /** By name. */
  readonly chains: readonly DefinitionSummary[]
}
export interface DefinitionSummary {
  readonly chain_name: string
  readonly runs: number
  readonly by_status: { readonly [status: string]: number }
  readonly ended: number
  /** Completed of ended; this and the times are null where none has ended. */
  readonly success_rate: number | null
  /** From start to end. */
  readonly mean_ms: number | null
  readonly p95_ms: number | null
}

export interface DefinitionVersion {
  readonly version: string
  /** It is the one in force. */
  readonly current: boolean
  readonly updated_at?: string
  readonly updated_by?: string
  readonly rolled_back_from?: string
}
export interface DefinitionVersions {
  readonly versions: readonly DefinitionVersion[]
  readonly next?: string
}

export interface DefinitionView {
  readonly name: string
  /** Of the content: equal definitions have equal versions. */
  readonly version: string
  readonly source: 'file' | 'api'
  readonly enabled: boolean
  /** Who switched it off; absent where the definition itself did. */
  readonly disabled_by?: string
  readonly disable_details?: { readonly at: string; readonly why?: string }
  readonly definition: ChainDefinition
  readonly updated_at?: string
  readonly updated_by?: string
}
