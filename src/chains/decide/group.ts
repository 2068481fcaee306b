import type { GroupPlan } from '../model/compiled.ts'
import { canFill, nextMember } from '../model/due.ts'
import { memberIds } from '../model/loaded.ts'
import { opening } from '../model/outcomes.ts'
import { type GroupState, membersOf, type StepRecord, type StepResult, type Task } from '../model/run.ts'
import type { Over } from '../model/step-kind.ts'
import type { Turn } from './turn.ts'
import { letGo } from './wind-down.ts'

/** How steps are opened and ended (advance.ts), handed in: what a group does leads back there. */
type OpenStep = (turn: Turn, key: string, prev: Task['prev'], iteration?: number) => void
type EndStep = (turn: Turn, key: string, record: StepRecord, over: Over) => void

/** What a group's counters mean. Pure. */
export type Verdict =
  | { readonly kind: 'open' }
  /** Nothing more is begun; those acting are let finish. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'over'; readonly success: boolean }

export function judgeGroup(plan: Pick<GroupPlan, 'join' | 'bestEffort'>, g: GroupState, openMembers: number): Verdict {
  const need = plan.join ?? g.total
  const left = g.total - g.ok - g.failed
  const won = g.ok >= need || (plan.bestEffort && plan.join === undefined && left === 0 && g.ok > 0)
  // What it needed it has: those on their way are let finish beside what comes after it.
  if (left === 0 || (g.stopped === 'join' && won) || (g.stopped !== undefined && openMembers === 0))
    return { kind: 'over', success: won && g.stopped !== 'timeout' }
  if (g.stopped !== undefined || plan.bestEffort) return { kind: 'open' }
  const decided = (plan.join !== undefined && g.ok >= need) || g.failed > g.total - need
  return decided ? { kind: 'stop' } : { kind: 'open' }
}

/** Begins members as far as there is room; some may end at once. */
export function fillGroup(turn: Turn, key: string, openStep: OpenStep): void {
  for (;;) {
    const task = turn.task(key)
    const plan = turn.step(key).group
    if (!task?.group || !plan || turn.run.paused || turn.holds) return
    if (turn.isFull || !canFill(turn.run, turn.from.chain, key)) return
    // What was before the group was before its members: it is not written down for each.
    openStep(turn, nextMember(task.group, key, plan), undefined, task.iteration)
  }
}

/** Ends the group if its counters say so. */
export function settleGroup(turn: Turn, key: string, endStep: EndStep): void {
  const plan = turn.step(key).group
  let task = turn.task(key)
  if (!task?.group || !plan) return
  let verdict = judgeGroup(plan, task.group, membersOf(turn.run, task).length)
  // What its time has cut short has not failed by itself.
  const late = task.until !== undefined && turn.now >= task.until
  if (verdict.kind === 'stop' || (late && !(verdict.kind === 'over' && verdict.success))) {
    stopGroup(turn, key, late ? 'timeout' : 'join')
    task = turn.task(key)
    if (!task?.group) return
    verdict = judgeGroup(plan, task.group, membersOf(turn.run, task).length)
  }
  if (verdict.kind !== 'over') return
  const record = turn.records.get(key) ?? opening(turn.context(task))
  const ids = memberIds(turn.run, task, record, plan)
  const results = ids.map(({ key: k }) => turn.members.get(k))
  const result = sumOf(turn, key, results, verdict.success, task.group)
  endStep(turn, key, record, { result, retryable: !result.success })
  // Not where it is tried again: what succeeded stands.
  if (!turn.task(key)?.notBefore) for (const { key: k } of ids) turn.members.delete(k)
}

/**
 * A group that failed is tried again: its members that did not succeed run once more, under another iteration and so other tokens,
 * as those of an execution brought back do.
 */
export function groupAgain(turn: Turn, task: Task, failed: StepRecord, notBefore: number): void {
  const { key, iteration, prev, attempt } = task
  const step = turn.step(key)
  const next = iteration + 1
  const ids = memberIds(turn.run, task, failed, step.group!)
  const stands = ids.map(({ key: k }) => turn.members.get(k)?.success === true)
  // What the members gave is theirs; tried again and again, it is not kept each time.
  const result: StepResult = { ...failed.result!, body: null }
  const before = turn.results.get(key)
  turn.close(step, { ...failed, endedAt: turn.now, result }, result)
  // What its members refer to by its name is what it gave before, as in the first attempt.
  if (before) turn.results.set(key, before)
  else turn.results.delete(key)
  const { result: _r, endedAt: _e, ...kept } = failed
  turn.keep({
    ...kept,
    iteration: next,
    seq: turn.run.taken,
    enteredAt: turn.now,
    ranIn: stands.map((s, i) => (s ? (failed.ranIn?.[i] ?? iteration) : next)),
  })
  for (const [i, { key: k }] of ids.entries()) if (!stands[i]) turn.members.delete(k)
  turn.say({
    type: 'step_entered',
    step: key,
    iteration: next,
    ...(prev && { prev }),
    not_before: notBefore,
    attempt,
    own: task.own ?? iteration - 1,
  })
}

/** Members of a group brought back that are to run, by number. */
export const redoOf = (record: StepRecord): readonly number[] =>
  (record.ranIn ?? []).flatMap((ran, i) => (ran === record.iteration ? [i] : []))

/** Nothing more is begun; what only waits is dropped. */
export function stopGroup(turn: Turn, key: string, why: 'join' | 'timeout'): void {
  turn.say({ type: 'group_stopped', step: key, why })
  letGoOfMembers(turn, key)
}

/** As far as this commit can. */
export function letGoOfMembers(turn: Turn, key: string): void {
  const task = turn.task(key)
  const waiting = task ? membersOf(turn.run, task).filter((m) => !turn.isActing(m) && !m.stopping) : []
  for (const m of waiting) {
    if (turn.isFull) {
      turn.isCut = true
      return
    }
    letGo(turn, m)
  }
}

function sumOf(
  turn: Turn,
  key: string,
  results: readonly (StepResult | undefined)[],
  success: boolean,
  g: GroupState,
): StepResult {
  const { does, definition } = turn.step(key)
  if (success) return does.sum!(results, undefined)
  if (g.stopped === 'timeout') {
    const message = `not done within ${definition.timeout_seconds ?? 0} s`
    return does.sum!(results, { code: 'timed_out', message })
  }
  const first = results.find((r) => r && !r.success)?.error
  const why = first ? `: ${first.code}: ${first.message}` : ''
  const { join } = turn.step(key).group!
  const what = join === undefined ? `${g.failed} of ${g.total} failed` : `${g.ok} of ${g.total} succeeded, not ${join}`
  return does.sum!(results, { code: 'branch_failed', message: `${what}${why}` })
}
