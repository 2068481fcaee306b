import type { Cause, EndedStatus, Ref, Run, StepError } from './run.ts'

/**
 * What happens to an execution, as it is stored: the history whose fold is the record, and of which `GET /v1/chains/{id}/history` shows
 * what a reader needs (views/events.ts). Everything the fold needs is in the events: neither definition nor results are looked at. `at` in milliseconds.
 */
export type ChainEvent = { readonly at: number } & Happening
/** What an attempt waits for, or opens. */
export interface Begins {
  readonly child?: string
  readonly until?: number
  /** `until` is a moment of the calendar: a pause does not move it. */
  readonly fixed?: true
  /** `until` is the end of the step's own time: then it has failed. */
  readonly limited?: true
  readonly signal?: string
  /** Members of the group; with `redo` those that run again. */
  readonly members?: number
  readonly redo?: readonly number[]
  /** Of its input. */
  readonly bytes?: number
}
export type Happening =
  /** The first of all. */
  | { readonly type: 'started'; readonly run: Omit<Run, 'seq'> }
  /** It has what it must have (lock, semaphores): its time runs from here. */
  | { readonly type: 'began'; readonly deadline: number }
  | {
      readonly type: 'step_entered'
      readonly step: string
      readonly iteration: number
      readonly prev?: Ref
      readonly not_before?: number
      readonly undo?: true
      /** Of undoing it: by when. */
      readonly deadline?: number
      /** Brought back by itself: what comes after it is done. */
      readonly alone?: true
      /** Entered anew after it failed: the entry whose result is still its last, -1 for none. */
      readonly own?: number
      /** A group that failed and is tried again: attempts begun before. */
      readonly attempt?: number
    }
  /** An attempt is about to be made: counted first. */
  | ({ readonly type: 'step_attempted'; readonly step: string; readonly attempt: number } & Begins)
  | {
      readonly type: 'step_backed_off'
      readonly step: string
      readonly not_before: number
      readonly code?: string
      /** The attempt that was counted has not been made. */
      readonly unmade?: true
    }
  | {
      readonly type: 'step_ended'
      readonly step: string
      readonly iteration: number
      readonly success: boolean
      readonly code?: string
      readonly bytes: number
      /** It failed, nothing judged that, and the execution goes on. */
      readonly tolerated?: true
      /** By a `goto`, branch or condition: where to; null: nowhere, it is the last. */
      readonly next?: string | null
      readonly undo?: true
    }
  /** Nothing more of a group is begun: its join is decided, or its time is over. */
  | { readonly type: 'group_stopped'; readonly step: string; readonly why: 'join' | 'timeout' }
  /** The execution it waits for is told to end. That is waited for: what was done last is undone first. */
  | {
      readonly type: 'step_stopping'
      readonly step: string
      /** How it ends is not asked: it goes back to another step, or to this one anew. */
      readonly dropped?: true
    }
  /** It was not begun, or waited, when it was no longer wanted. */
  | { readonly type: 'step_dropped'; readonly step: string }
  | { readonly type: 'signalled'; readonly signal: string; readonly by: string; readonly step: string }
  | { readonly type: 'paused'; readonly by: string }
  | { readonly type: 'unpaused'; readonly by: string; readonly deadline: number }
  /** It is to end so; what is under way is let finish first. */
  | { readonly type: 'stopping'; readonly cause: Cause }
  | { readonly type: 'compensating'; readonly deadline: number }
  | { readonly type: 'ended'; readonly status: EndedStatus; readonly error?: StepError; readonly by?: string }
  | {
      readonly type: 'reopened'
      readonly how: 'redriven' | 'retried' | 'reset'
      readonly by: string
      readonly deadline: number
      /** Steps that are no longer done; their entries stay counted, so they come back under new iterations. */
      readonly undone: readonly string[]
      /** It must wait for its lock again, in this place. */
      readonly lock?: NonNullable<Run['lock']>
      /** Its root must have its lock again first. */
      readonly under?: NonNullable<Run['under']>
      /** How far the time of those above it goes by now. */
      readonly latest?: number
      /** It stays at its end, but for what could not be undone. */
      readonly undo?: true
    }
