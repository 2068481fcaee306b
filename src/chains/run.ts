import type { Action } from '../core/action.ts'
import { actionTag } from '../core/hold.ts'
import { joinParts } from '../core/ids.ts'
import type { Json } from '../core/json.ts'
import type { Lineage } from '../core/lineage.ts'
import type { ChainDefinition } from './definition.ts'

export const endedStatuses = ['completed', 'failed', 'cancelled', 'timed_out'] as const
export const runStatuses = ['running', 'waiting', ...endedStatuses] as const
export type RunStatus = (typeof runStatuses)[number]

/**
 * An execution as stored: position, counters and status, small enough to write with every step. What it began with and what its
 * steps took and gave are entries of their own. Times are milliseconds.
 */
export interface Run {
  readonly v: 1
  readonly id: string
  readonly chain: string
  /** Of the definition it began with. */
  readonly version: string
  readonly totalSteps: number
  readonly actionId: string
  /** Of the admission that started the root. */
  readonly runId: string
  readonly rule?: string
  readonly parent?: { readonly id: string; readonly step: string; readonly iteration: number }
  readonly startedAt: number
  readonly timeoutMs: number
  /** When it ends `timed_out`, whoever is alive by then. */
  readonly deadline: number
  readonly status: RunStatus
  /** The step it is at; once ended, the step it ended with. */
  readonly at: Position
  /** How often each step was entered. */
  readonly entered: { readonly [step: string]: number }
  /** Steps that have ended: the length of its history. */
  readonly taken: number
  /** How often a dead letter has brought it back. */
  readonly resumed: number
  readonly endedAt?: number
  readonly error?: StepError
  readonly endedBy?: string
}
export interface Position {
  readonly step: string
  /** From 0; raised each time the step is entered, so that every entry has a token of its own. */
  readonly iteration: number
  readonly since: number
  /** Whose result is its `prev`; absent at the first step. */
  readonly prev?: { readonly step: string; readonly iteration: number }
  /** Back-off that was asked for: a stray wake-up before it does nothing. */
  readonly notBefore?: number
  /** The execution this step waits for. */
  readonly child?: string
}

/** What a step gives to branches, templates and the view; its names are theirs. A type, so that it is JSON. */
export type StepResult = {
  readonly success: boolean
  /** True when another provider answered because a breaker refused. */
  readonly fallback: boolean
  readonly provider?: string
  readonly status: number | null
  readonly body: Json
  readonly error?: StepError
}
export type StepError = { readonly code: string; readonly message: string }

/** One entry into one step: first what will be sent, then what came of it. */
export interface StepRecord {
  readonly step: string
  readonly iteration: number
  /** Its place in the execution's history. */
  readonly seq: number
  readonly enteredAt: number
  /** The payload as rendered. */
  readonly input?: Json
  /** References that led nowhere. */
  readonly missing?: readonly string[]
  /** While it is under way: what goes out, the same bytes each time. */
  readonly sending?: Sending
  readonly child?: { readonly id: string; readonly chain: string }
  readonly attempts?: number
  readonly endedAt?: number
  readonly result?: StepResult
  readonly deadLetterId?: string
}
export interface Sending {
  readonly action: Action
  readonly provider: string
  readonly token: string
  readonly request: Json
  /** When an attempt may first have begun. */
  readonly firstAttemptAt: number
  readonly unknownElsewhere: boolean
}

/** What an execution began with; never changed, so an edit of a definition reaches no execution under way. */
export interface Beginning {
  readonly origin: Action
  /** A sub-chain's first `prev`. */
  readonly prev?: StepResult
  /** The definition and every sub-chain it can reach. */
  readonly definitions: readonly ChainDefinition[]
  /** What is behind it, its own chain included: what its steps send carries it signed. */
  readonly lineage?: Lineage
}

/** What a child leaves in its parent's inbox. */
export interface ChildEnd {
  readonly result: StepResult
}
/** What asks an execution to end. */
export interface CancelRequest {
  readonly by: string
  readonly at: number
  /** From the parent, which has ended and must not be woken. */
  readonly fromParent?: true
}

export const hasEnded = (r: Run): boolean => r.status !== 'running' && r.status !== 'waiting'

// Ids of entries; the execution's own id has a fixed length, so none can be mistaken for another.
export const beginningId = (runId: string): string => `${runId}/begin`
export const stepId = (runId: string, step: string, iteration: number): string => `${runId}/step/${iteration}/${step}`
export const cancelId = (runId: string): string => `${runId}/cancel`
export const childEndId = (runId: string, step: string, iteration: number): string =>
  `${runId}/child/${iteration}/${step}`

export const chainTag = (name: string): string => `chain:${name}`
export const statusTag = (status: string): string => `status:${status}`
export const chainStatusTag = (name: string, status: string): string => `both:${joinParts([name, status])}`
export const runTags = (r: Run): readonly string[] => [
  actionTag(r.actionId),
  chainTag(r.chain),
  statusTag(r.status),
  chainStatusTag(r.chain, r.status),
]

/** The last ended iteration of each step: whose results templates and branches see. */
export function endedIterations(r: Run): readonly { readonly step: string; readonly iteration: number }[] {
  const out: { step: string; iteration: number }[] = []
  for (const [step, count] of Object.entries(r.entered)) {
    const open = !hasEnded(r) && r.at.step === step
    const iteration = count - (open ? 2 : 1)
    if (iteration >= 0) out.push({ step, iteration })
  }
  return out
}
