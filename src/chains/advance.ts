import type { Action } from '../core/action.ts'
import { follow } from '../core/json.ts'
import type { Chain } from './compile.ts'
import { hasEnded, type Position, type Run, type RunStatus, type StepError, type StepResult } from './run.ts'
import { fields } from './variables.ts'

/** Loops are bounded by the timeout and by this, whichever comes first. */
export const MOST_STEPS_TAKEN = 1000

export type ChainEvent =
  | { readonly type: 'step_ended'; readonly result: StepResult }
  /** The step waits for this execution. */
  | { readonly type: 'waits'; readonly child: string | undefined }
  /** Back-off: the step goes on at that moment, not before. */
  | { readonly type: 'handed_back'; readonly dueAt: number }
  | { readonly type: 'cancelled'; readonly by: string }
  /** The deadline came before the step had ended: the step, too, is over. */
  | { readonly type: 'timed_out' }
  /** The dead letter of the failed step was redriven. */
  | { readonly type: 'redriven' }
  /** The child it failed with goes on, so it waits again. */
  | { readonly type: 'child_redriven' }

/** What a decision looks at beside the record itself. */
export interface Facts {
  readonly origin: Action
  /** The latest result of each step, the one that has just ended included. */
  readonly results: ReadonlyMap<string, StepResult>
}

/** Where an execution stands after an event. Pure: its record is the fold of its history. A terminal status is final, but for a redrive. */
export function advance(chain: Chain, run: Run, event: ChainEvent, facts: Facts, now: number): Run {
  // Under a new iteration, with the step before it still its `prev`.
  if (event.type === 'redriven') return reopened(enter(run, run.at.step, run.at.prev, now), now)
  if (event.type === 'child_redriven') return { ...reopened(run, now), status: 'waiting', taken: run.taken - 1 }
  if (hasEnded(run)) return run
  switch (event.type) {
    case 'cancelled':
      return { ...end(run, 'cancelled', now), endedBy: event.by }
    case 'timed_out':
      return timedOut({ ...run, taken: run.taken + 1 }, now)
    case 'waits':
      return { ...run, status: 'waiting', at: { ...run.at, ...(event.child !== undefined && { child: event.child }) } }
    case 'handed_back':
      return { ...run, at: { ...run.at, notBefore: event.dueAt } }
    case 'step_ended': {
      const taken: Run = { ...run, status: 'running', taken: run.taken + 1 }
      const left = leave(chain, taken, event.result, facts, now)
      // A step that ran into the deadline failed because of it.
      const done = left.status === 'completed' && event.result.success
      return now >= run.deadline && !done ? timedOut(taken, now) : left
    }
  }
}

function timedOut(run: Run, now: number): Run {
  const message = `not done within ${run.timeoutMs / 1000} s, at step "${run.at.step}"`
  return end(run, 'timed_out', now, { code: 'timed_out', message })
}

function leave(chain: Chain, run: Run, result: StepResult, facts: Facts, now: number): Run {
  const step = chain.steps.get(run.at.step)
  if (!step) throw new Error(`chain "${chain.name}" has no step "${run.at.step}"`)
  if (!result.success && !step.judgesFailure)
    return end(run, 'failed', now, result.error ?? { code: 'failed', message: `step "${step.name}" failed` })
  const seen = fields(result, facts)
  const branch = step.branches.find((b) => {
    const [root, ...rest] = b.path
    return b.test(follow(seen[root!], rest) ?? null)
  })
  const next = branch?.target ?? step.next
  if (next === undefined) return end(run, 'completed', now)
  if (run.taken >= MOST_STEPS_TAKEN)
    return end(run, 'failed', now, { code: 'too_many_steps', message: `it took ${MOST_STEPS_TAKEN} steps` })
  return enter(run, next, { step: run.at.step, iteration: run.at.iteration }, now)
}

function enter(run: Run, step: string, prev: Position['prev'], now: number): Run {
  const times = Object.hasOwn(run.entered, step) ? run.entered[step]! : 0
  const at: Position = { step, iteration: times, since: now, ...(prev && { prev }) }
  return { ...run, at, entered: { ...run.entered, [step]: times + 1 } }
}

function end(run: Run, status: RunStatus, now: number, error?: StepError): Run {
  const { notBefore: _none, ...at } = run.at
  return { ...run, status, at, endedAt: now, ...(error && { error }) }
}

function reopened(run: Run, now: number): Run {
  const { endedAt: _at, error: _error, endedBy: _by, ...rest } = run
  return { ...rest, status: 'running', resumed: run.resumed + 1, deadline: now + run.timeoutMs }
}
