import { signalOf } from '../model/inbox.ts'
import { bad, opening } from '../model/outcomes.ts'
import { groupOf, type StepResult, stepAt, type Task, taskOf } from '../model/run.ts'
import type { Wake } from '../model/step-kind.ts'
import { endStep, openReady, timeIsUp, toBeUndone } from './advance.ts'
import { letGoOfMembers, settleGroup, stopGroup } from './group.ts'
import type { Turn } from './turn.ts'
import { isDone } from './where.ts'
import { dropTask } from './wind-down.ts'

/** First of all, in every turn. Its entry goes with the commit, which asks for none that was not seen. */
export function absorbCancel(turn: Turn): void {
  const r = turn.inbox.find((x) => x.message.type === 'cancel')
  if (r?.message.type !== 'cancel') return
  turn.inbox = turn.inbox.filter((x) => x !== r)
  const { by, fromParent, waited, late } = r.message
  const alone = fromParent && !waited ? { fromParent } : {}
  const { cause } = turn.run
  if (cause) {
    // It ends as it would, and there is nobody to tell.
    if (alone.fromParent && !cause.fromParent) turn.say({ type: 'stopping', cause: { ...cause, ...alone } })
    // What failed while it was paused waits for somebody to say so, and this does.
    unpause(turn, by)
    return
  }
  // What is complete is complete, and its time is not asked for any more.
  if (!late && isDone(turn)) return
  const step = fromParent && stepAt(turn.run)
  // What its parent's end takes with it may be over by itself too.
  if (fromParent && (late || turn.now >= turn.run.deadline)) {
    timeIsUp(turn, step, { ...alone, ...(late && { late }) })
    return
  }
  // It goes on there should its parent be brought back.
  const stopped = step ? { step: groupOf(step) ?? step } : {}
  turn.say({ type: 'stopping', cause: { status: 'cancelled', by, ...alone, ...stopped } })
}

function unpause(turn: Turn, by: string): void {
  const { paused, deadline } = turn.run
  // The time it was paused does not count.
  if (paused) turn.say({ type: 'unpaused', by, deadline: deadline + (turn.now - paused.at) })
}

/** Acts on what others have said, signals last; one that nobody waits for stays for whoever comes to it. */
export function absorb(turn: Turn): void {
  // What an earlier commit had no room for.
  for (const t of turn.run.open) {
    if (t.group?.stopped === undefined) continue
    letGoOfMembers(turn, t.key)
    settleGroup(turn, t.key, endStep)
  }
  for (const r of turn.inbox) {
    const m = r.message
    if (turn.isFull) {
      turn.isCut = true
      return
    }
    switch (m.type) {
      case 'cancel': // before all else
      case 'signal': // when it is known whether it is paused
        break
      case 'child': {
        turn.took(r)
        const waits = turn.run.open.find((t) => t.child === m.child)
        if (waits) wake(turn, waits, { by: 'child', result: m.result })
        break
      }
      case 'pause':
        turn.took(r)
        if (!turn.run.paused && !turn.run.cause) turn.say({ type: 'paused', by: m.by })
        break
      case 'unpause':
        turn.took(r)
        unpause(turn, m.by)
        break
    }
  }
  // What one signal lets begin may take the next, so what is there is looked at anew each time.
  while (takeSignal(turn));
}

/** The oldest signal that somebody waits for goes to the one who has waited longest. */
function takeSignal(turn: Turn): boolean {
  if (turn.run.paused || turn.run.cause) return false
  for (const r of turn.inbox) {
    const signal = signalOf(r)
    if (turn.isFull) {
      turn.isCut = true
      return false
    }
    const waits = signal && turn.run.open.find((t) => t.signal === signal.name && signal.at <= lastMoment(turn, t))
    if (!waits) continue
    wake(turn, waits, { by: 'signal', signal })
    return true
  }
  return false
}
/** A signal that was sent later than this is too late, whoever looks first. */
function lastMoment({ run }: Turn, t: Task): number {
  const group = groupOf(t.key)
  const ofGroup = group === undefined ? undefined : taskOf(run, group)?.until
  return Math.min(run.deadline, t.until ?? Number.POSITIVE_INFINITY, ofGroup ?? Number.POSITIVE_INFINITY)
}

/** What a step waited for is there, or will not come any more. */
export function wake(turn: Turn, task: Task, by: Wake): void {
  if (task.group) {
    stopGroup(turn, task.key, 'timeout')
    settleGroup(turn, task.key, endStep)
    return
  }
  if (task.child !== undefined && by.by === 'time') {
    // Its time here is over. Its end is waited for: until then something of it may be under way.
    turn.orphans.push({ id: task.child, waited: true, late: true })
    turn.say({ type: 'step_stopping', step: task.key })
    return
  }
  if (by.by === 'child' && (task.dropped || task.attempt === 0)) {
    leftEnded(turn, task, by.result)
    return
  }
  const { does, definition } = turn.step(task.key)
  const record = turn.records.get(task.key)
  if (!does.woken || !record) throw new Error(`step "${task.key}" of ${turn.run.id} waits, and nothing says for what`)
  const late = bad({ code: 'timed_out', message: `not done within ${definition.timeout_seconds ?? 0} s` })
  const isLate = by.by === 'time' && task.limited
  endStep(turn, task.key, record, isLate ? { result: late, retryable: true } : does.woken(turn.context(task), by))
}

/** What an earlier entry into a step, which a reset has dropped, waited for has ended: a later one may begin. */
function leftEnded(turn: Turn, task: Task, result: StepResult): void {
  const { key, iteration, notBefore = turn.now } = task
  const step = turn.step(key)
  if (result.success && step.undo) {
    // It came to its end all the same, and so is what the step did.
    const entry = task.dropped ? task : { ...task, iteration: iteration - 1 }
    const child = { id: task.child!, chain: 'sub_chain' in step.definition ? step.definition.sub_chain : '' }
    const record = turn.records.get(key) ?? { ...opening(turn.context(entry)), child }
    turn.keep(toBeUndone(turn, task, { ...record, endedAt: turn.now, result }))
    turn.records.delete(key)
  }
  if (task.dropped || turn.run.cause) dropTask(turn, task)
  else turn.say({ type: 'step_backed_off', step: key, not_before: Math.max(turn.now, notBefore) })
  if (turn.from.chain.graph && !turn.run.cause) openReady(turn)
}
