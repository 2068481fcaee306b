import type { Chain, GroupPlan } from './compiled.ts'
import {
  type GroupState,
  hasEnded,
  isStraggler,
  membersOf,
  type Run,
  type StepRecord,
  type Task,
  taskOf,
} from './run.ts'

/** One that only waits for others to say something looks again after so long, so that nothing hangs on one message. */
const LOOK_AGAIN_MS = 3_600_000
export const PAUSED_MS = 86_400_000

/** When there is something to do about a task, milliseconds; it may be past. Infinity: not before somebody says so. */
export function dueOf(run: Run, t: Task): number {
  if (t.stopping) return Number.POSITIVE_INFINITY
  if (t.notBefore !== undefined) return t.notBefore
  if (t.child !== undefined && t.until === undefined) return Number.POSITIVE_INFINITY
  // What ends waits for no time any more.
  if (t.group || t.signal !== undefined || t.until !== undefined)
    return (run.cause ? undefined : t.until) ?? Number.POSITIVE_INFINITY
  return 0
}

/** Counted and stored, so that it may be sent, or is on its way. */
export const isAloft = (t: Task, record: StepRecord | undefined): boolean =>
  t.attempt > 0 && t.notBefore === undefined && record?.sending !== undefined

/** There is room in the group, and a member to begin. */
export function canFill(run: Run, chain: Chain, key: string): boolean {
  const task = taskOf(run, key)
  const plan = chain.step(key).group
  if (!task?.group || !plan || task.group.stopped || run.cause) return false
  const { next, redo, total } = task.group
  if (next >= (redo?.length ?? total) || membersOf(run, task).length >= plan.atOnce) return false
  // The same member of an earlier iteration may still be on its way.
  return taskOf(run, nextMember(task.group, key, plan)) === undefined
}
export const nextMember = ({ next, redo }: GroupState, key: string, plan: GroupPlan): string =>
  `${key}.${plan.member(redo ? redo[next]! : next).name}`

/** When its time is over. Where that has done its work, or is asked of nothing that is open, only what is open is due. */
export function timeEnds(run: Run, now: number): number {
  const asked = !run.cause && !run.open.every((t) => isStraggler(run, t))
  return asked || now < run.deadline ? run.deadline : now + LOOK_AGAIN_MS
}

/** The next moment at which an execution that nobody acts on has something to do. `not`: tasks that are out of the question. */
export function nextDue(run: Run, now: number, not: (t: Task) => boolean = () => false): number {
  if (run.paused) return now + PAUSED_MS
  return Math.min(timeEnds(run, now), ...run.open.filter((t) => !not(t)).map((t) => dueOf(run, t)))
}

/** Where nothing is to be done now and nothing is acted on: when there is something to do. Undefined: it goes on. */
export function restsUntil(run: Run, chain: Chain, now: number): number | undefined {
  if (hasEnded(run) || run.status === 'pending') return undefined
  if (!run.paused && (run.open.length === 0 || run.open.some((t) => canFill(run, chain, t.key)))) return undefined
  const due = nextDue(run, now)
  return due > now ? due : undefined
}
