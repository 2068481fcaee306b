import type { ChainStep } from '../model/compiled.ts'
import { deadLetterOps } from '../model/records.ts'
import { groupOf, type StepRecord, type StepResult } from '../model/run.ts'
import type { Undelivered } from '../model/step-kind.ts'
import type { Turn } from './turn.ts'

/** A delivery that failed for good is a dead letter, whoever takes care of the failure, unless its author said that it may fail. `step`: none where it is the undoing of one. */
export function letterOf(
  turn: Turn,
  step: ChainStep | undefined,
  record: StepRecord,
  result: StepResult,
  lost: Undelivered | undefined,
): string | undefined {
  const group = groupOf(record.key)
  // A group says it for its members.
  const { onFailure } = (step && group !== undefined ? turn.step(group) : step) ?? {}
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
