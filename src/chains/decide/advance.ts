import type { ChainStep } from '../model/compiled.ts'
import type { Begins } from '../model/happening.ts'
import { bad } from '../model/outcomes.ts'
import {
  type Cause,
  groupOf,
  groupTask,
  type Run,
  type StepRecord,
  type StepResult,
  type Task,
  timesEntered,
} from '../model/run.ts'
import type { Entered, Over } from '../model/step-kind.ts'
import { backoffOf } from './backoff.ts'
import { cacheOps } from './cache.ts'
import { fillGroup, groupAgain, redoOf, settleGroup } from './group.ts'
import { askedFor, letterOf } from './letters.ts'
import { bytesOf, itemOf, MOST_BYTES, prevOf, type Turn } from './turn.ts'
import { goesOn, whereTo } from './where.ts'

/** Why so many bytes more are too many, for the step or the whole execution. Undefined: they are not. */
function tooMuch({ run, tools }: Turn, bytes: number, counted = bytes): StepResult | undefined {
  const most = tools.mostStepBytes()
  if (bytes > most) return bad({ code: 'too_much_data', message: `the state store keeps ${most} bytes of a step` })
  if (run.bytes + counted <= MOST_BYTES) return undefined
  return bad({ code: 'too_much_data', message: `more than ${MOST_BYTES} bytes of inputs and results` })
}

/** Loops are bounded by the timeout and by this, whichever comes first: entries into steps, members of groups excluded. */
export const MOST_STEPS_TAKEN = 1000

/** Opens a step: at once, or after its delay. What is looked up first (a cache) or held (a pause) is begun by the driver. */
export function openStep(turn: Turn, key: string, prev: Task['prev'], iteration?: number): void {
  const step = turn.step(key)
  const delay = step.definition.delay_seconds ?? 0
  turn.say({
    type: 'step_entered',
    step: key,
    iteration: iteration ?? timesEntered(turn.run, key),
    ...(prev && { prev }),
    ...(delay > 0 && { not_before: turn.now + Math.ceil(delay * 1000) }),
  })
  if (delay === 0 && !step.cache && !turn.isFull) beginStep(turn, key)
}

/**
 * The next attempt of an open step, counted before it is made: renders what was not rendered, and stores what must be there before
 * it acts. Answers what this node lacks for it; then nothing has happened.
 */
export function beginStep(turn: Turn, key: string): string | undefined {
  const task = turn.task(key)
  if (!task || task.stopping || turn.holds || turn.run.paused || turn.run.cause) return undefined
  const record = turn.records.get(key)
  // Bytes that were stored go out again as they are.
  if (record?.sending) {
    turn.say({ type: 'step_attempted', step: key, attempt: task.attempt + 1 })
    return undefined
  }
  if (record?.ranIn) {
    beginGroup(turn, task, record.ranIn.length, { redo: redoOf(record) })
    return undefined
  }
  return entered(turn, task, turn.step(key).does.enter(turn.context(task)))
}

/** Members of a group are begun as far as there is room. */
function beginGroup(turn: Turn, task: Task, members: number, more: { redo?: readonly number[]; bytes?: number }): void {
  const { key, attempt } = task
  const own = turn.step(key).definition.timeout_seconds
  turn.say({
    type: 'step_attempted',
    step: key,
    attempt: attempt + 1,
    members,
    ...(own !== undefined && { until: turn.now + own * 1000 }),
    ...more,
  })
  // A join that cannot be met, or is met by what stands, is decided before anything is begun.
  settleGroup(turn, key, endStep)
  fillGroup(turn, key, openStep)
}

/** What a step said of itself on being entered, made part of the commit. */
function entered(turn: Turn, task: Task, e: Entered): string | undefined {
  const { key } = task
  if (e.to === 'lack') return e.what
  const { input, items, ...bare } = e.record
  const bytes = bytesOf(input) + bytesOf(items)
  const counted = bytes > 0 && { bytes }
  const say = (more: Begins): void =>
    turn.say({ type: 'step_attempted', step: key, attempt: task.attempt + 1, ...more })
  const refused = tooMuch(turn, bytes)
  if (refused) {
    say({})
    const { sending: _sending, child: _child, ...unsent } = bare
    endStep(turn, key, { ...unsent, attempts: 0 }, { result: refused })
    return undefined
  }
  switch (e.to) {
    case 'act':
      say({ ...counted })
      if (e.store) turn.keep(turn.step(key).undo ? toBeUndone(turn, task, e.record) : e.record)
      else turn.records.set(key, e.record)
      return undefined
    case 'child':
      say({ ...counted, child: e.child, ...waitOf(turn, key, {}) })
      turn.keep(e.record)
      turn.ops.push(...e.ops)
      turn.born.push(e.child)
      return undefined
    case 'wait':
      say({ ...counted, ...waitOf(turn, key, e), ...(e.signal !== undefined && { signal: e.signal }) })
      turn.keep(e.record)
      return undefined
    case 'members':
      turn.keep(e.record)
      beginGroup(turn, task, e.total, { ...counted })
      return undefined
    case 'end':
      say({ ...counted })
      endStep(turn, key, e.record, e.over)
      return undefined
  }
}

/** Until when it waits: for what it waits for, or until its own time is over. */
function waitOf(
  turn: Turn,
  key: string,
  e: Partial<Pick<Extract<Entered, { to: 'wait' }>, 'until' | 'fixed'>>,
): Pick<Begins, 'until' | 'fixed' | 'limited'> {
  const own = turn.step(key).definition.timeout_seconds
  const limit = own === undefined ? Number.POSITIVE_INFINITY : turn.now + own * 1000
  if (limit < (e.until ?? Number.POSITIVE_INFINITY)) return { until: limit, limited: true }
  return { ...(e.until !== undefined && { until: e.until }), ...(e.fixed && { fixed: true }) }
}

/** An attempt of a step is over: it is made again after a back-off, or has ended, and then the execution goes on from there. */
export function endStep(turn: Turn, key: string, record: StepRecord, over: Over): void {
  const task = turn.task(key)
  if (!task) return
  const step = turn.step(key)
  if (!over.result.success && over.retryable && again(turn, task, step, record, over)) return

  if (over.took) turn.tookSignal(over.took, key)
  // What a group gives is what its members gave, and that has been counted.
  const given = bytesOf(over.result.body)
  const bytes = task.group ? 0 : given
  const refused = tooMuch(turn, given, bytes)
  const result: StepResult = refused ?? over.result
  const late = turn.now >= turn.aboveEnds && ({ late: true } as const)
  const isLate = !turn.run.paused && (turn.run.cause?.status === 'timed_out' || late || turn.now >= turn.run.deadline)
  // What the time of the execution has cut short has not failed by itself: nobody judges that, and a retry takes it again.
  const isCut = isLate && !result.success && !task.alone && groupOf(key) === undefined
  const where = isCut ? { fails: true } : whereTo(turn, step, task, result, over)
  const letter = letterOf(turn, step, record, result, over.undelivered ?? askedFor(turn, step, task, over))
  const { sending: _sent, undo: _undo, ...kept } = record
  const closed: StepRecord = {
    ...kept,
    endedAt: turn.now,
    result,
    ...(letter !== undefined && { deadLetterId: letter }),
  }
  // Unknown is not failed: what may have been done is undone too. What another did and a cache gave is not.
  const done = over.result.success || over.unknown === true || over.undelivered?.unknown === true
  const ended = step.undo && done && !record.cached ? toBeUndone(turn, task, closed) : closed
  // Before its own result is the last one of the step: that of before is what its key was made of.
  if (result.success && step.cache && !record.cached) turn.ops.push(...cacheOps(turn, step, ended))
  turn.close(step, ended, result)
  turn.say({
    type: 'step_ended',
    step: key,
    iteration: task.iteration,
    success: result.success,
    bytes: refused ? 0 : bytes,
    ...(result.error && { code: result.error.code }),
    ...(where.tolerated && { tolerated: true }),
    ...(where.chosen && { next: where.next ?? null }),
  })
  const { run } = turn
  const { graph } = turn.from.chain
  const group = groupOf(key)
  // What is done is done: brought back, it goes on with what follows.
  const ahead = where.fails || group !== undefined || graph ? undefined : where.next
  const stopped = where.fails || group !== undefined ? key : graph ? undefined : (ahead ?? key)
  const after = ahead !== undefined && { after: { step: key, iteration: task.iteration } }
  if (isLate && !run.cause && goesOn(turn, where)) timeIsUp(turn, stopped, { ...late, ...after })
  // It was done all the same: it is to go on with what follows.
  else if (run.cause?.status === 'timed_out' && run.cause.step === key && ahead !== undefined)
    turn.say({ type: 'stopping', cause: { ...run.cause, step: ahead, ...after } })
  else if (where.fails && !turn.run.cause) fail(turn, key, result)
  if (group !== undefined) {
    settleGroup(turn, group, endStep)
    fillGroup(turn, group, openStep)
    return
  }
  turn.complete = !where.fails && turn.run.open.length === 0 && !goesOn(turn, where)
  if (turn.run.cause) return
  if (graph) openReady(turn)
  else if (where.next !== undefined) goTo(turn, where.next, { step: key, iteration: task.iteration })
}

export const toBeUndone = (turn: Turn, task: Task, record: StepRecord): StepRecord => {
  const item = record.item ?? itemOf(turn, task).item?.item
  const prev = prevOf(turn.run, task) ?? record.prev
  return { ...record, undo: 'due', ...(item !== undefined && { item }), ...(prev && { prev }) }
}

function goTo(turn: Turn, next: string, prev: NonNullable<Task['prev']>): void {
  const taken = Object.values(turn.run.entered).reduce((a, b) => a + b, 0)
  if (taken < MOST_STEPS_TAKEN) {
    openStep(turn, next, prev)
    return
  }
  const error = { code: 'too_many_steps', message: `it took ${MOST_STEPS_TAKEN} steps` }
  turn.say({ type: 'stopping', cause: { status: 'failed', error } })
}

/** Of a graph: every step whose needs are met. */
export function openReady(turn: Turn): void {
  for (const step of turn.from.chain.steps.values()) {
    if (turn.run.cause) return
    const { done, open } = turn.run
    if (done.includes(step.name) || open.some((t) => t.key === step.name)) continue
    // A step that failed for good has neither; its failure has stopped the execution.
    if (!step.needs.every((n) => done.includes(n))) continue
    const [first] = step.needs
    const prev = first === undefined ? undefined : { step: first, iteration: timesEntered(turn.run, first) - 1 }
    openStep(turn, step.name, prev)
  }
}

function fail(turn: Turn, key: string, result: StepResult): void {
  const error = result.error ?? { code: 'failed', message: `step "${key}" failed` }
  turn.say({ type: 'stopping', cause: { status: 'failed', error, step: groupOf(key) ?? key } })
}
export function timeIsUp(
  turn: Turn,
  key: string | undefined,
  { late, ...how }: Pick<Cause, 'fromParent' | 'after'> & { readonly late?: true } = {},
): void {
  const within = late ? 'the time of its parent' : `${turn.run.timeoutMs / 1000} s`
  const at = key === undefined ? '' : `, at step "${key}"`
  const error = { code: 'timed_out', message: `not done within ${within}${at}` }
  turn.say({
    type: 'stopping',
    cause: {
      status: 'timed_out',
      error,
      ...(key !== undefined && { step: groupOf(key) ?? key }),
      ...how,
    },
  })
}

/** True: another attempt is to be made, later. */
function again(turn: Turn, task: Task, step: ChainStep, record: StepRecord, over: Over): boolean {
  const { retry } = step
  if (!retry || turn.run.cause || task.attempt >= retry.max_attempts) return false
  const group = groupTask(turn.run, task)
  // Nobody waits for its success any more.
  if (groupOf(task.key) !== undefined && (!group || group.group?.stopped)) return false
  const wait = Math.max(backoffOf(retry, task.attempt, turn.tools.random()), over.retryAfterMs ?? 0)
  if (turn.now + wait >= Math.min(turn.run.deadline, turn.aboveEnds) && !turn.run.paused) return false
  if (task.group) {
    groupAgain(turn, task, { ...record, result: over.result }, turn.now + wait)
    return true
  }
  const { child: _child, ...kept } = record
  turn.keep(kept)
  if (task.child !== undefined) turn.records.delete(task.key)
  turn.say({
    type: 'step_backed_off',
    step: task.key,
    not_before: turn.now + wait,
    ...(over.result.error && { code: over.result.error.code }),
  })
  return true
}

/** The result an execution gives back: of the step that ended last. */
export const lastResult = (run: Run, results: ReadonlyMap<string, StepResult>): StepResult | undefined => {
  const last = run.done.at(-1)
  return last === undefined ? undefined : results.get(last)
}
