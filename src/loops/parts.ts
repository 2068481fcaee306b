import type { Env } from '../core/env.ts'
import type { Claimed, StateStore } from '../core/state.ts'
import type { BackgroundConfig } from './background.ts'

/** What the loops set in motion: each ends the entry it is handed, or puts it back, with its claim. One that throws is put back for it. */
export interface Handlers {
  /** A due `scheduled`, `copy` or `occurrence` hold. */
  release(entry: Claimed, lost: AbortSignal): Promise<void>
  /** A sealed group. */
  flush(entry: Claimed, lost: AbortSignal): Promise<void>
  /** What was on its way out when its node died. */
  resumeIntent(entry: Claimed, lost: AbortSignal): Promise<void>
  /** Claims and drives the executions that are due, as far as there is room; resolves to how many were taken. */
  pullChains(): Promise<number>
  /** Makes the occurrence of a due recurring definition. */
  occur(entry: Claimed): Promise<void>
  /** A hold, flush or intent whose handler has thrown `hold_max_attempts` times: it becomes a dead letter. */
  exhausted(entry: Claimed, error: unknown): Promise<void>
  /** Finished executions past their configured time: one round of all scopes, answering how many are gone. */
  cleanUp(signal: AbortSignal): Promise<number>
  /** The same by retention policy. */
  reap(signal: AbortSignal): Promise<number>
  /** Carries audit records over to where they are kept, if that is not the state; answers how many. */
  carryAudit(enough: AbortSignal): Promise<number>
  /** Says that this node is alive. */
  announce(): Promise<void>
}
export interface LoopParts {
  readonly env: Env
  readonly state: StateStore
  /** This process, as the owner of claims. */
  readonly owner: string
  readonly config: BackgroundConfig
  readonly handlers: Handlers
  /** Runs another loop's next tick now: what one has made due. */
  readonly nudge: (name: string) => void
}
