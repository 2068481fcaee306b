import type { Outcome } from '../core/outcome.ts'
import type { Parts, Ran } from './parts.ts'

/** Tells log and counters how a run has ended: at the provider that its outcome names, else at the one its action asks for. Milliseconds. */
export function tellEnd(
  { observe }: Pick<Parts, 'observe'>,
  outcome: Outcome,
  { kind, action, receivedAt }: Pick<Ran, 'kind' | 'action' | 'receivedAt'>,
  completedAt: number,
): void {
  const provider = 'provider' in outcome ? outcome.provider : action.provider
  observe.outcome(outcome, { kind, action, receivedAt, completedAt, provider })
}
