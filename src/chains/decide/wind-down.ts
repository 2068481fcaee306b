import { bad, opening } from '../model/outcomes.ts'
import { type EndedStatus, membersOf, type Sending, type StepRecord, type Task } from '../model/run.ts'
import type { Failure, Undelivered } from '../model/step-kind.ts'
import { letterOf } from './letters.ts'
import type { Turn } from './turn.ts'

/** Lets go of a task that only waits, or is not yet sent. A sub-chain is told to end, and waited for where the order of undoing asks it. */
export function letGo(turn: Turn, task: Task, dropped?: true): void {
  const { child, key } = task
  const born = child !== undefined && turn.born.includes(child)
  if (born) turn.unborn(child)
  // Under a lock nobody else may begin while something below is still under way.
  const { lock, under } = turn.run
  const waited = child !== undefined && !born && (turn.from.chain.undoes || lock !== undefined || under !== undefined)
  if (child !== undefined && !born && !task.stopping) turn.orphans.push({ id: child, waited, late: turn.isLate })
  if (!waited) dropTask(turn, task)
  else if (!task.stopping || dropped) turn.say({ type: 'step_stopping', step: key, ...(dropped && { dropped }) })
}

/** Where time ran out, what the task was to send is a dead letter: what was accepted does not vanish. */
export function dropTask(turn: Turn, task: Task): void {
  const { key } = task
  const stored = turn.records.get(key)
  const unknown = stored !== undefined && turn.mayHaveActed(task, stored)
  if (turn.isLate) closeLate(turn, task, unknown)
  // It was to be undone should it have been sent, and it has not.
  else if (stored?.undo && !unknown) {
    const { undo: _undo, ...kept } = stored
    turn.keep(kept)
  }
  turn.records.delete(key)
  turn.say({ type: 'step_dropped', step: key })
}

function closeLate(turn: Turn, task: Task, unknown: boolean): void {
  const step = turn.step(task.key)
  const record = turn.records.get(task.key) ?? opening(turn.context(task))
  const result = bad({ code: 'timed_out', message: `not done within ${turn.run.timeoutMs / 1000} s` })
  const letter = letterOf(turn, step, record, result, wanted(turn, task))
  const { sending: _sent, undo: _undo, ...kept } = record
  const ended = {
    ...kept,
    endedAt: turn.now,
    result,
    ...(letter !== undefined && { deadLetterId: letter }),
    ...(step.undo && unknown && { undo: 'due' as const }),
  }
  turn.close(step, ended, result)
}

/** What the step would have sent, or may have sent without anyone having seen the end of it. */
function wanted(turn: Turn, task: Task): Undelivered | undefined {
  const sending = turn.records.get(task.key)?.sending
  if (sending) return parcelOf(turn, sending, sending.unknown === true || turn.resumed.has(task.key))
  if (task.group || task.child !== undefined) return undefined
  try {
    const e = turn.step(task.key).does.enter(turn.context(task))
    if (e.to === 'lack') return e.undelivered
    if (e.to === 'end') return e.over.undelivered
    const s = e.to === 'act' ? e.record.sending : undefined
    return s && parcelOf(turn, s, false)
  } catch {
    // A fault in rendering it must not keep the execution from its end, which says that the step was not done.
    return undefined
  }
}

/** What was stored to be sent, and cannot be, as nobody has the provider. */
export function undeliverable(turn: Turn, { sending }: StepRecord, what: string, unknown: boolean): Failure {
  const lost = sending && parcelOf(turn, sending, unknown)
  const result = bad({ code: 'provider_unknown', message: `there is no provider "${what}"` })
  return { result, ...(lost && { undelivered: lost }) }
}

/** What was stored to be sent, as a dead letter takes it; of what goes to the rules and not to a provider there is none. */
export function parcelOf(turn: Turn, s: Sending, unknown: boolean): Undelivered | undefined {
  if (s.provider === '') return undefined
  return {
    action: s.action,
    provider: s.provider,
    requested: s.action.provider ?? s.provider,
    token: s.token,
    request: s.request,
    unknown,
    lineage: turn.from.beginning.lineage,
  }
}

/**
 * Brings an execution nearer to its end, as far as this commit can: with a cause, what only waits is let go, and once nothing is
 * under way it ends, unless something is to be undone first (`undo`, for the driver to look up). Without one it ends when
 * nothing is open.
 */
export function windDown(turn: Turn): 'open' | 'undo' | 'ended' {
  const { run } = turn
  if (run.endedAt !== undefined) return 'ended'
  const { cause } = run
  if (run.status === 'compensating' || (run.status === 'pending' && !cause)) return 'open'
  // A cause has ended the pause; what is complete is complete.
  if (run.paused && run.open.length > 0) return 'open'
  if (turn.isCut) return 'open'
  if (cause) {
    for (const t of run.open) {
      if (t.group || t.stopping || turn.isActing(t)) continue
      if (turn.isFull) {
        turn.isCut = true
        return 'open'
      }
      letGo(turn, t)
    }
    // A group goes when nothing of it is under way.
    for (const t of turn.run.open) if (t.group && membersOf(turn.run, t).length === 0) dropTask(turn, t)
  }
  if (turn.run.open.length > 0) return 'open'
  // A cancel that comes while the last step is in flight is too late: what is complete is complete.
  if (!cause || (cause.status === 'cancelled' && turn.complete)) {
    end(turn, run.failures.length > 0 ? 'partially_completed' : 'completed')
    return 'ended'
  }
  if (turn.from.chain.undoes) return 'undo'
  end(turn, cause.status)
  return 'ended'
}

export function end(turn: Turn, status: EndedStatus): void {
  const { cause } = turn.run
  const failed = turn.run.undone?.failed ?? 0
  const error =
    failed > 0
      ? {
          code: 'compensation_failed',
          message: `${failed} of what was to be undone could not be: ${cause?.error?.message ?? cause?.status ?? ''}`,
        }
      : cause?.error
  turn.say({
    type: 'ended',
    status,
    ...(error && { error }),
    ...(cause?.by !== undefined && { by: cause.by }),
  })
}
