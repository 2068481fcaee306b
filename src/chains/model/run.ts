import type { Action } from '../../core/action.ts'
import { actionTag, groupTag } from '../../core/hold.ts'
import { joinParts } from '../../core/ids.ts'
import type { Json } from '../../core/json.ts'
import type { Lineage } from '../../core/lineage.ts'
import type { ChainDefinition, Priority } from './definition.ts'

export const endedStatuses = [
  'completed',
  'partially_completed',
  'failed',
  'cancelled',
  'timed_out',
  'compensated',
] as const
export const openStatuses = ['pending', 'running', 'waiting', 'compensating'] as const
export const runStatuses = [...openStatuses, ...endedStatuses] as const
export type RunStatus = (typeof runStatuses)[number]
export type EndedStatus = (typeof endedStatuses)[number]

/**
 * An execution as stored: what is open, counters and status, small enough to write with every step. It is the fold of its history
 * (history.ts). What it began with and what its steps took and gave are entries of their own. Times are milliseconds.
 */
export interface Run {
  readonly v: 2
  readonly id: string
  readonly chain: string
  /** Of the definition it began with. */
  readonly version: string
  readonly totalSteps: number
  readonly actionId: string
  /** The group whose notification that is: by it the events find the execution. */
  readonly notifies?: string
  /** Of the admission that started the root. */
  readonly runId: string
  readonly rule?: string
  readonly parent?: Parent
  readonly priority: Priority
  /** What it must hold before it may begin, and its place among those who wait for it. */
  readonly lock?: { readonly id: string; readonly place: string }
  /** Below a root that has a lock: it begins only while that has it. */
  readonly under?: { readonly lock: string; readonly root: string }
  readonly entity?: string
  /** Of its chain: what it must be inside of while it is at work. */
  readonly limits?: readonly Limit[]
  readonly attributes?: { readonly [name: string]: string }
  readonly startedAt: number
  readonly timeoutMs: number
  /**
   * How far the time of those above it went when it began; a pause there moves it. It is theirs to end what is below them: only an
   * attempt that would go beyond is kept inside of it, after another look.
   */
  readonly latest?: number
  /** When it ends `timed_out`, whoever is alive by then. Counted from when it may begin. */
  readonly deadline: number
  readonly status: RunStatus
  /** Everything under way: one step, several of a graph, a group and its members. */
  readonly open: readonly Task[]
  /** How often each step was entered, members of groups excluded. */
  readonly entered: { readonly [step: string]: number }
  /** Steps that have ended and let others go on, each once, in the order they last ended. */
  readonly done: readonly string[]
  /** Steps that failed without anything having judged it, yet the execution went on. */
  readonly failures: readonly string[]
  /** Steps that have ended, members of groups included. */
  readonly taken: number
  /** Commits: the number of entries in its history. */
  readonly seq: number
  /** Inputs and results, bytes. */
  readonly bytes: number
  /** How often it was brought back after its end. */
  readonly resumed: number
  readonly paused?: { readonly at: number; readonly by: string }
  /** Why nothing more is begun: what is under way is let finish, then what is to be undone is undone. */
  readonly cause?: Cause
  /** While what it did is undone: how that goes. */
  readonly undone?: { readonly ok: number; readonly failed: number }
  readonly endedAt?: number
  readonly error?: StepError
  readonly endedBy?: string
}
export interface Limit {
  readonly id: string
  readonly max: number
}
export interface Parent {
  readonly id: string
  /** The key of the step that waits for it. */
  readonly step: string
  readonly iteration: number
  readonly attempt: number
}
export interface Cause {
  readonly status: 'failed' | 'cancelled' | 'timed_out'
  readonly error?: StepError
  readonly by?: string
  /** The parent has ended, and is not to be told. */
  readonly fromParent?: true
  /** The step that failed it, for whoever brings it back there. */
  readonly step?: string
  /** That was to be entered next, after this one. */
  readonly after?: Ref
}

/** One thing under way. */
export interface Task {
  /** `step`, or of a member of a group `step.branch`, `step.0`. */
  readonly key: string
  /** From 0; raised each time the step is entered, so that every entry has a token of its own. */
  readonly iteration: number
  readonly since: number
  /** Whose result is its `prev`; absent at the first step. */
  readonly prev?: Ref
  /** Delay or back-off that was asked for: a stray wake-up before it does nothing. */
  readonly notBefore?: number
  /** Attempts begun; counted before they are made. */
  readonly attempt: number
  /** The execution it waits for. */
  readonly child?: string
  /** That one has been told to end. Where no attempt has begun it is an earlier entry's, and the first comes after its end. */
  readonly stopping?: true
  /** Its end is waited for, and how it went is not asked. */
  readonly dropped?: true
  /** When what it waits for is there by itself, or is given up. */
  readonly until?: number
  /** That is a moment of the calendar: a pause does not move it. */
  readonly fixed?: true
  /** When that comes, its time is over, and not what it waits for there. */
  readonly limited?: true
  readonly signal?: string
  readonly group?: GroupState
  /** It undoes the step. */
  readonly undo?: true
  /** Brought back by itself: nothing follows it. */
  readonly alone?: true
  /** The entry whose result is the step's last, where that is not the one before: what failed and is made good is no result. */
  readonly own?: number
}
export interface Ref {
  readonly step: string
  readonly iteration: number
}
/** How far a group is. Members are begun in order; those open are tasks of their own. */
export interface GroupState {
  readonly total: number
  /** The next member to begin, or the next of `redo`. */
  readonly next: number
  readonly ok: number
  readonly failed: number
  /** Brought back: only these run again, under this group's iteration; what the others gave is kept under the one they ran in. */
  readonly redo?: readonly number[]
  /** Nothing more is begun. */
  readonly stopped?: 'join' | 'timeout'
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
  readonly key: string
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
  /** What a `for_each` goes over, decided when it was entered. */
  readonly items?: readonly Json[]
  /** Of a member of one that says how it is undone: by then the list is no longer at hand. */
  readonly item?: Json
  /** Of a group brought back or tried again: the iteration each member's standing result is of; left out = the group's own. */
  readonly ranIn?: readonly number[]
  /** Attempts made, those of delivery included. */
  readonly attempts?: number
  readonly endedAt?: number
  readonly result?: StepResult
  readonly deadLetterId?: string
  /** The result is another execution's, or an earlier one's of this. */
  readonly cached?: true
  /** Of one that says how it is undone: whose result was its `prev`. */
  readonly prev?: Ref
  /** To be undone if the execution fails: what it has done, or may have done. */
  readonly undo?: 'due' | 'done' | 'failed'
}
export interface Sending {
  readonly action: Action
  readonly provider: string
  readonly token: string
  readonly request: Json
  /** When an attempt may first have begun. */
  readonly firstAttemptAt: number
  readonly unknownElsewhere: boolean
  /** An attempt under this token may have been acted on. */
  readonly unknown?: boolean
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

/** Steps may be called like what every object has: `constructor` is a name like any other. */
export const timesEntered = (r: Pick<Run, 'entered'>, step: string): number =>
  Object.hasOwn(r.entered, step) ? r.entered[step]! : 0

export const hasEnded = (r: Run): boolean => r.endedAt !== undefined

/** The member's number in its group, from its key; undefined for a step itself. */
export const groupOf = (key: string): string | undefined => {
  const dot = key.indexOf('.')
  return dot < 0 ? undefined : key.slice(0, dot)
}
/** Once ended, the step it ended with; else the one it is at. */
export const stepAt = (r: Run): string | undefined =>
  r.cause?.step ?? (r.open.find((t) => !isStraggler(r, t)) ?? r.open[0])?.key ?? r.done.at(-1)
export const taskOf = (r: Run, key: string): Task | undefined => r.open.find((t) => t.key === key)
export const membersOf = (r: Run, group: Pick<Task, 'key' | 'iteration'>): readonly Task[] =>
  r.open.filter((t) => groupOf(t.key) === group.key && t.iteration === group.iteration && !t.undo)
/** The group that a member is one of, while that is under way. */
export function groupTask(r: Run, t: Pick<Task, 'key' | 'iteration'>): Task | undefined {
  const group = groupOf(t.key)
  const task = group === undefined ? undefined : taskOf(r, group)
  return task?.group && task.iteration === t.iteration ? task : undefined
}
/** Nothing of what it comes to is asked for any more: it was dropped, or its group has what it needs and has gone on. */
export const isStraggler = (r: Run, t: Task): boolean =>
  t.dropped === true || (groupOf(t.key) !== undefined && !t.undo && groupTask(r, t) === undefined)

// Ids of entries; the execution's own id has a fixed length, so none can be mistaken for another.
export const beginningId = (runId: string): string => `${runId}/begin`
export const stepId = (runId: string, key: string, iteration: number): string => `${runId}/step/${iteration}/${key}`
export const undoId = (runId: string, key: string, iteration: number): string => `${runId}/undo/${iteration}/${key}`
/** In the order they were written. */
export const historyId = (runId: string, seq: number): string => `${runId}/${String(seq).padStart(7, '0')}`

export const chainTag = (name: string): string => `chain:${name}`
export const statusTag = (status: string): string => `status:${status}`
export const chainStatusTag = (name: string, status: string): string => `both:${joinParts([name, status])}`
export const entityTag = (entity: string): string => `entity:${entity}`
export const attributeTag = (name: string, value: string): string => `attr:${joinParts([name, value])}`
/** Records of steps that are undone should it come to that. */
export const undoTag = (runId: string): string => `undo:${runId}`
/** Who waits for a place inside a limit, all of them or those of one priority, oldest first. */
export const PARKED = 'parked:'
export const parkedTag = (limit: string, priority: Priority | '' = ''): string => `${PARKED}${priority}:${limit}`
export const runTags = (r: Run): readonly string[] => [
  actionTag(r.actionId),
  chainTag(r.chain),
  statusTag(r.status),
  chainStatusTag(r.chain, r.status),
  ...(r.entity !== undefined ? [entityTag(r.entity)] : []),
  ...(r.notifies !== undefined ? [groupTag(r.notifies)] : []),
  ...Object.entries(r.attributes ?? {}).map(([k, v]) => attributeTag(k, v)),
]

/** The last ended entry of each step: whose results templates and branches see. */
export function endedIterations(r: Run): readonly Ref[] {
  const open = new Map(r.open.filter((t) => !t.undo).map((t) => [t.key, t.own ?? t.iteration - 1]))
  return Object.entries(r.entered)
    .map(([step, count]) => ({ step, iteration: open.get(step) ?? count - 1 }))
    .filter((e) => e.iteration >= 0)
}

/** What an execution must be inside of while it is at work; that of the scope is the one in force now. */
export const limitsOf = (run: Pick<Run, 'limits'>, maxPerScope: number | undefined): readonly Limit[] => [
  ...(run.limits ?? []),
  ...(maxPerScope === undefined ? [] : [{ id: 'scope', max: maxPerScope }]),
]
