import type { Action, Scope } from '../core/action.ts'
import type { AuditKind } from '../core/audit.ts'
import { type Lineage, newLineage } from '../core/lineage.ts'
import type { Resume } from '../core/plan.ts'
import type { Op } from '../core/state.ts'
import type { IdempotencyRequest } from './idempotency.ts'

/** One admission, on its way through rules and commit: a caller's dispatch, or held work that has come due. */
export interface Run {
  /** The gateway's own id of this admission; never the caller's. */
  readonly runId: string
  /** The record it writes: fixed now, so that writing it twice is once. */
  readonly auditId: string
  readonly kind: AuditKind
  readonly action: Action
  readonly scope: Scope
  readonly receivedAt: number
  readonly caller: string
  readonly parentId?: string
  /** What it has behind it. Absent: nothing, it is the first. */
  readonly lineage?: Lineage
  readonly rulesVersion: string
  /** New for each admission: the version of the keys it takes. */
  readonly keysVersion: string
  readonly idempotency?: IdempotencyRequest
  /** Its quota was counted in an earlier commit. */
  readonly counted: boolean
  /** Nobody waits for the end: somebody was told that it will happen, or asked to be. */
  readonly accepted: boolean
  /** Held work: what leaves the store when the run is admitted (needs the claim), and since when it is due. */
  readonly held?: {
    /** Where it went on among the rules. Absent: from the top. */
    readonly resume?: Resume
    readonly remove: readonly Op[]
    /** Takes it off its schedule key: last, since a later rule of the same plan may move that key. */
    readonly unlink: readonly Op[]
    readonly firstDueAt: number
    readonly attempts: number
  }
}

/** What is handed on to whatever comes of a run. */
export const lineageOf = (run: Pick<Run, 'runId' | 'lineage'>): Lineage => run.lineage ?? newLineage(run.runId)
