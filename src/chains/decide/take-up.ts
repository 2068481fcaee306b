import { canFill, dueOf } from '../model/due.ts'
import { opening } from '../model/outcomes.ts'
import { hasEnded, type StepResult } from '../model/run.ts'
import { wake } from './absorb.ts'
import { beginStep, endStep, openReady, openStep } from './advance.ts'
import { fillGroup } from './group.ts'
import type { Turn } from './turn.ts'
import { beginUndo } from './undo.ts'

/**
 * Begins what is due and ends what has waited long enough. `hits`: results that a cache has for them. Answers what this node
 * lacks for some, by key.
 */
export function takeUp(
  turn: Turn,
  due: readonly { readonly key: string }[],
  hits: ReadonlyMap<string, StepResult>,
): ReadonlyMap<string, string> {
  const lacks = new Map<string, string>()
  for (const { key } of due) {
    const lacking = takeUpOne(turn, key, hits.get(key))
    if (lacking !== undefined) lacks.set(key, lacking)
  }
  if (turn.from.chain.graph && !turn.run.cause && !hasEnded(turn.run)) openReady(turn)
  return lacks
}

function takeUpOne(turn: Turn, key: string, hit: StepResult | undefined): string | undefined {
  const task = turn.task(key)
  if (!task || turn.isFull) return undefined
  const fills = canFill(turn.run, turn.from.chain, key)
  // What was due when it was looked at may have gone on, with a signal, and wait anew.
  if (!fills && dueOf(turn.run, task) > turn.now) return undefined
  if (task.undo) return beginUndo(turn, key)
  if (turn.run.cause) return undefined
  if (task.until !== undefined && task.until <= turn.now && !task.stopping) wake(turn, task, { by: 'time' })
  else if (fills) fillGroup(turn, key, openStep)
  else if (hit) {
    turn.say({ type: 'step_attempted', step: key, attempt: task.attempt + 1 })
    endStep(turn, key, { ...opening(turn.context(task)), cached: true, attempts: 0 }, { result: hit })
  } else return beginStep(turn, key)
  return undefined
}
