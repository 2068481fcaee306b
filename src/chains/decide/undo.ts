import type { Undo } from '../model/compiled.ts'
import type { Undoing } from '../model/loaded.ts'
import { stepRecordOps } from '../model/records.ts'
import { type StepRecord, stepId, type Task, undoId } from '../model/run.ts'
import { putStep } from '../model/start.ts'
import type { Failure } from '../model/step-kind.ts'
import { variables } from '../model/variables.ts'
import { backoffOf } from './backoff.ts'
import { letterOf } from './letters.ts'
import type { Turn } from './turn.ts'
import { end, undeliverable } from './wind-down.ts'

/**
 * Compensation: what an execution has done is undone, last first, one at a time, each under a token of its own. What cannot be
 * undone is a dead letter and does not keep the rest from it.
 */
export function startUndoing(turn: Turn, due: readonly Undoing[]): void {
  turn.undos = due
  if (due.length === 0) end(turn, turn.run.cause?.status ?? 'failed')
  else {
    turn.say({ type: 'compensating', deadline: undoneBy(turn) })
    openUndo(turn)
  }
}

/** Long enough for a node to die in it, and for its claim to run out. */
const LEAST_MS = 300_000
export const undoneBy = ({ now, run }: Turn): number => now + Math.max(run.timeoutMs, LEAST_MS)

function openUndo(turn: Turn): void {
  const record = turn.undos[0]?.record
  if (!record) {
    const failed = (turn.run.undone?.failed ?? 0) > 0
    end(turn, failed ? 'failed' : 'compensated')
    return
  }
  const { key, iteration, prev } = record
  // Each has time of its own, so that one which takes it all leaves the others theirs.
  turn.say({
    type: 'step_entered',
    step: key,
    iteration,
    ...(prev && { prev }),
    undo: true,
    deadline: undoneBy(turn),
  })
  beginUndo(turn, key)
}

/** The next attempt at undoing. Answers what this node lacks for it. */
export function beginUndo(turn: Turn, key: string): string | undefined {
  const task = turn.task(key)
  const undo = turn.step(key).undo
  const done = turn.undos[0]?.record
  if (!task || !undo || !done || turn.holds) return undefined
  if (turn.records.get(key)?.sending) {
    turn.say({ type: 'step_attempted', step: key, attempt: task.attempt + 1 })
    return undefined
  }
  const seen = { ...variables(turn.context(task)), result: done.result ?? null }
  const e = undo.does.enter(turn.context(task), seen)
  if (e.to === 'lack') {
    if (turn.now < turn.run.deadline) return e.what
    turn.say({ type: 'step_attempted', step: key, attempt: task.attempt + 1 })
    const { result } = undeliverable(turn, e.record, e.what, false)
    endUndo(turn, key, e.record, { result, ...(e.undelivered && { undelivered: e.undelivered }) })
    return undefined
  }
  turn.say({ type: 'step_attempted', step: key, attempt: task.attempt + 1 })
  if (e.to === 'act') keepUndo(turn, e.record)
  else if (e.to === 'end') endUndo(turn, key, e.record, e.over)
  else throw new Error('what undoes a step sends something')
  return undefined
}

function keepUndo(turn: Turn, record: StepRecord): void {
  turn.records.set(record.key, record)
  const { run, tools } = turn
  turn.ops.push(putStep(run.id, undoId(run.id, record.key, record.iteration), record, tools.newId()))
}

export function endUndo(turn: Turn, key: string, record: StepRecord, over: Failure): void {
  const task = turn.task(key)
  const step = turn.step(key)
  const { undo } = step
  const [first, ...rest] = turn.undos
  const done = first?.record
  if (!task || !undo || !done) return
  const { result } = over
  if (!result.success && over.retryable && again(turn, task, undo, record, over)) return
  const letter = letterOf(turn, undefined, record, result, over.undelivered)
  const { sending: _sent, ...kept } = record
  const ended = { ...kept, endedAt: turn.now, result, ...(letter !== undefined && { deadLetterId: letter }) }
  keepUndo(turn, ended)
  turn.records.delete(key)
  const { run, tools, from } = turn
  turn.ops.push(
    putStep(
      run.id,
      stepId(run.id, done.key, done.iteration),
      { ...done, undo: result.success ? 'done' : 'failed' },
      tools.newId(),
    ),
    ...stepRecordOps(tools.audit(), run, undo.definition, from.beginning.origin, ended, result, true),
  )
  turn.undos = rest
  turn.say({
    type: 'step_ended',
    step: key,
    iteration: task.iteration,
    success: result.success,
    bytes: 0,
    undo: true,
    ...(result.error && { code: result.error.code }),
  })
  openUndo(turn)
}

function again(turn: Turn, task: Task, undo: Undo, record: StepRecord, over: Failure): boolean {
  if (task.attempt >= undo.retry.max_attempts) return false
  const wait = Math.max(backoffOf(undo.retry, task.attempt, turn.tools.random()), over.retryAfterMs ?? 0)
  if (turn.now + wait >= turn.run.deadline) return false
  keepUndo(turn, record)
  turn.say({ type: 'step_backed_off', step: task.key, not_before: turn.now + wait })
  return true
}
