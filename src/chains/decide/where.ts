import { follow } from '../../core/json.ts'
import type { ChainStep } from '../model/compiled.ts'
import { groupOf, isStraggler, type StepResult, type Task } from '../model/run.ts'
import type { Over } from '../model/step-kind.ts'
import { fields } from '../model/variables.ts'
import type { Turn } from './turn.ts'

export interface Where {
  /** Sequential: the step to go to; undefined: there is none. */
  readonly next?: string | undefined
  /** Somebody judged the step, so the choice is part of the history. */
  readonly chosen?: boolean
  readonly tolerated?: boolean
  readonly fails?: boolean
}

/** Where the execution goes after a step. */
export function whereTo(turn: Turn, step: ChainStep, task: Task, result: StepResult, over: Over): Where {
  // A group judges its members.
  if (groupOf(task.key) !== undefined) return {}
  const short = task.group !== undefined && task.group.failed > 0 && step.group?.bestEffort
  // What follows it has been done; of best effort, what failed has failed still.
  if (task.alone) return result.success && !short ? {} : { tolerated: true }
  if (over.next !== undefined && result.success) return { next: over.next, chosen: true }
  if (result.success || step.judgesFailure) {
    const tolerated = result.success && short
    const seen = step.branches.length > 0 ? fields(result, seenAfter(turn, step, result)) : {}
    const branch = step.branches.find((b) => {
      const [root, ...rest] = b.path
      return b.test(follow(seen[root!], rest) ?? null)
    })
    return { next: branch?.target ?? step.next, chosen: step.judgesFailure, ...(tolerated && { tolerated }) }
  }
  const { onFailure } = step
  if (onFailure.kind === 'abort') return { fails: true }
  if (onFailure.kind === 'goto') return { next: onFailure.target, chosen: true }
  return { next: step.next, tolerated: true }
}
const seenAfter = (turn: Turn, step: ChainStep, result: StepResult) => ({
  origin: turn.from.beginning.origin,
  results: new Map(turn.results).set(step.name, result),
})
/** What is still under way, if anything is, is let finish for its own record. */
function nothingIsLeft({ run, from }: Turn): boolean {
  const { graph, steps } = from.chain
  return run.open.every((t) => isStraggler(run, t)) && !(graph && run.done.length < steps.size)
}
/** All is done, and something is still under way. */
export const isDone = (turn: Turn): boolean => turn.run.open.length > 0 && nothingIsLeft(turn)
/** The execution is not complete with this step. */
export const goesOn = (turn: Turn, w: Where): boolean =>
  w.fails === true || w.next !== undefined || !nothingIsLeft(turn)
