import type { Chains } from '../chains/chains.ts'
import { Problem } from '../core/errors.ts'
import { newLineage, passing } from '../core/lineage.ts'
import type { Outcome } from '../core/outcome.ts'
import { type DeadLetter, deleteDeadLetter, letterScope } from '../delivery/dead-letters.ts'
import { claimOf } from './admission.ts'
import type { Parts } from './parts.ts'
import { detailsOf, recordOps } from './record.ts'
import { tellEnd } from './told.ts'

/** What a redrive starts. */
type Starts = DeadLetter['starts'] & object

/**
 * A dead letter whose chain could not be started: it goes in the commit in which the execution is born, so that of two redrives one
 * starts it. Throws Problem 409 `chain_disabled`, `chain_unknown`, `being_redriven`.
 */
export async function startAgain(
  parts: Parts,
  chains: Pick<Chains, 'startOps' | 'disabled' | 'begin'>,
  letter: DeadLetter,
  { chain, rule }: Starts,
  caller: string,
): Promise<Outcome> {
  const { env, state } = parts
  const { action, run_id: runId, lineage = newLineage(runId) } = letter
  const now = env.clock.now()
  const auditId = env.newId()
  const scope = letterScope(letter)
  const started = chains.startOps({
    chain,
    scope,
    action,
    runId,
    now,
    rule,
    lineage: passing(lineage, `rule:${rule}`, `chain:${chain}`),
  })
  if (!started && chains.disabled(chain)) throw new Problem(409, 'chain_disabled', `chain "${chain}" is switched off`)
  if (!started) throw new Problem(409, 'chain_unknown', `chain "${chain}" is not defined`)
  const outcome: Outcome = {
    action_id: action.id,
    run_id: runId,
    outcome: 'chain_started',
    rule,
    chain_id: started.chainId,
    chain_name: started.chainName,
    total_steps: started.totalSteps,
    first_step: started.firstStep,
  }
  const record = recordOps(parts.audit(), {
    id: auditId,
    kind: 'redrive',
    action,
    runId,
    chainId: started.chainId,
    outcome: outcome.outcome,
    receivedAt: now,
    completedAt: now,
    caller,
    requestedProvider: letter.requested_provider,
    rule,
    details: detailsOf(outcome),
  })
  // The execution first: the result of its op has the number of the claim it is born with.
  const done = await state.commit(scope, [...started.ops, ...deleteDeadLetter(letter), ...record])
  if (!done.ok) throw new Problem(409, 'being_redriven', 'this dead letter is being redriven, or has changed, already')
  void chains.begin(scope, started.chainId, claimOf({ at: 0 }, started.claim, done))
  tellEnd(parts, outcome, { kind: 'redrive', action, receivedAt: now }, now)
  return outcome
}
