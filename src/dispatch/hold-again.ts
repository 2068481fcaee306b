import { isoTime } from '../core/clock.ts'
import { Problem } from '../core/errors.ts'
import type { Hold } from '../core/hold.ts'
import type { Outcome } from '../core/outcome.ts'
import { type DeadLetter, deleteDeadLetter, letterScope } from '../delivery/dead-letters.ts'
import { putHold } from '../schedules/schedule.ts'
import type { Parts } from './parts.ts'
import { detailsOf, recordOps } from './record.ts'
import { intentOfLetter } from './settle.ts'
import { tellEnd } from './told.ts'

/**
 * The redrive of a letter that was not on its way to a provider (to a chain, a group, or to nobody yet): it is held work again, due now,
 * and goes on where it stood among the rules. Throws Problem 409 `being_redriven` on a race.
 */
export async function holdAgain(
  parts: Parts,
  letter: DeadLetter,
  from: NonNullable<DeadLetter['resumes']>,
  caller: string,
): Promise<Outcome> {
  const { env, state } = parts
  const now = env.clock.now()
  const { rule, parentId, requestedProvider } = intentOfLetter(letter)
  const action = from.action ?? letter.action
  // Before that of the hold, so that records sort as it went.
  const auditId = env.newId()
  const hold: Hold = {
    kind: 'scheduled',
    runId: letter.run_id,
    auditId: env.newId(),
    action,
    heldAt: now,
    firstDueAt: now,
    ...(from.resume && { resume: from.resume }),
    ...(parentId !== undefined && { parentId }),
    ...(letter.lineage && { lineage: letter.lineage }),
    ...(rule !== undefined && { rule }),
    counted: true,
  }
  const outcome: Outcome = {
    action_id: action.id,
    run_id: hold.runId,
    ...(rule !== undefined && { rule }),
    outcome: 'scheduled',
    hold_id: hold.runId,
    scheduled_for: isoTime(now),
  }
  const done = await state.commit(letterScope(letter), [
    putHold(hold, env.newId()),
    ...deleteDeadLetter(letter),
    ...recordOps(parts.audit(), {
      id: auditId,
      kind: 'redrive',
      action,
      runId: hold.runId,
      parentId,
      outcome: outcome.outcome,
      receivedAt: now,
      completedAt: now,
      caller,
      requestedProvider,
      rule,
      details: detailsOf(outcome),
    }),
  ])
  if (!done.ok) throw beingRedriven()
  tellEnd(parts, outcome, { kind: 'redrive', action, receivedAt: now }, now)
  return outcome
}

export const beingRedriven = (): Problem =>
  new Problem(409, 'being_redriven', 'this dead letter is being sent, or has changed, already')
