import { deliveryToken } from '../../core/ids.ts'
import { isObject } from '../../core/json.ts'
import type { ChainStep } from '../model/compiled.ts'
import { deadLetterOps } from '../model/records.ts'
import { groupOf, type StepRecord, type StepResult, type Task } from '../model/run.ts'
import type { Over, Undelivered } from '../model/step-kind.ts'
import type { Turn } from './turn.ts'

/** A delivery that failed for good is a dead letter, whoever takes care of the failure, unless its author said that it may fail. `step`: none where it is the undoing of one. */
export function letterOf(
  turn: Turn,
  step: ChainStep | undefined,
  record: StepRecord,
  result: StepResult,
  lost: Undelivered | undefined,
): string | undefined {
  const onFailure = step && policyOf(turn, step, record.key)
  if (!lost || onFailure?.kind === 'continue') return undefined
  const { tools, now } = turn
  const at = {
    id: tools.newId(),
    now,
    ttlMs: tools.deadLetterTtlMs(),
    forward: tools.forward,
    undo: turn.task(record.key)?.undo,
  }
  turn.ops.push(...deadLetterOps(turn.run, record, lost, result, at))
  return at.id
}

/** A group says it for its members. */
function policyOf(turn: Turn, step: ChainStep, key: string): ChainStep['onFailure'] {
  const group = groupOf(key)
  return (group === undefined ? step : turn.step(group)).onFailure
}

/**
 * What a step that failed without having had anything to send leaves where its author asked for a dead letter: the action that set
 * the execution off, for whoever takes the step again with it.
 */
export function askedFor(turn: Turn, step: ChainStep, task: Task, over: Over): Undelivered | undefined {
  const { result } = over
  if (result.success || task.group || policyOf(turn, step, task.key).kind !== 'dead_letter') return undefined
  // What the rules could not deliver has left one of its own.
  if (isObject(result.body) && result.body['dead_letter_id'] !== undefined) return undefined
  const { run, from } = turn
  const { origin, lineage } = from.beginning
  const provider = 'provider' in step.definition ? step.definition.provider : ''
  return {
    action: origin,
    provider,
    requested: provider,
    token: deliveryToken(run.id, task.key, task.iteration),
    lineage,
    request: null,
    unknown: over.unknown === true,
  }
}
