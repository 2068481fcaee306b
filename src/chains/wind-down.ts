import { letterOf } from './letters.ts'
import { bad, opening } from './outcomes.ts'
import type { EndedStatus, Task } from './run.ts'
import type { Undelivered } from './step-kind.ts'
import type { Turn } from './turn.ts'

/** Lets go of a task that only waits. Where time ran out, what it was to send is a dead letter: what was accepted does not vanish. */
export function dropTask(turn: Turn, task: Task): void {
  if (task.child !== undefined) turn.orphans.push(task.child)
  if (turn.run.cause?.status === 'timed_out') {
    const record = turn.records.get(task.key) ?? opening(turn.context(task))
    const lost = wanted(turn, task)
    const error = { code: 'timed_out', message: `not done within ${turn.run.timeoutMs / 1000} s` }
    const result = bad(error)
    const letter = letterOf(turn, turn.step(task.key), record, result, lost)
    const { sending, undo: _undo, ...kept } = record
    const ended = {
      ...kept,
      endedAt: turn.now,
      result,
      ...(letter !== undefined && { deadLetterId: letter }),
      ...(turn.step(task.key).undo && sending && (record.attempts ?? 0) > 0 && { undo: 'due' as const }),
    }
    turn.close(turn.step(task.key), ended, result)
  }
  turn.say({ type: 'step_dropped', step: task.key })
}

/** What the step would have sent, or may have sent without anyone having seen the end of it. */
function wanted(turn: Turn, task: Task): Undelivered | undefined {
  const sending = turn.records.get(task.key)?.sending
  if (sending)
    return {
      action: sending.action,
      provider: sending.provider,
      requested: sending.action.provider ?? sending.provider,
      token: sending.token,
      request: sending.request,
      unknown: sending.unknown === true || turn.resumed.has(task.key),
      lineage: turn.from.beginning.lineage,
    }
  if (task.group || task.child !== undefined || task.undo) return undefined
  try {
    const e = turn.step(task.key).does.enter(turn.context(task))
    if (e.to === 'lack') return e.undelivered
    if (e.to === 'end') return e.over.undelivered
    const s = e.to === 'act' ? e.record.sending : undefined
    return (
      s && {
        action: s.action,
        provider: s.provider,
        requested: s.provider,
        token: s.token,
        request: s.request,
        unknown: false,
      }
    )
  } catch {
    // A fault in rendering it must not keep the execution from its end, which says that the step was not done.
    return undefined
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
  if (run.status === 'compensating' || run.paused || run.status === 'pending') {
    if (!(run.status === 'pending' && run.cause)) return 'open'
  }
  const { cause } = run
  if (cause) {
    // A group goes when nothing of it is under way.
    for (const t of run.open) if (!t.group && !turn.isActing(t)) dropTask(turn, t)
    for (const t of turn.run.open)
      if (t.group && !turn.run.open.some((m) => m.key.startsWith(`${t.key}.`))) dropTask(turn, t)
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
