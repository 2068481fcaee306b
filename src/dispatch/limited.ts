import type { Outcome } from '../core/outcome.ts'
import type { Run } from './run.ts'

/** What a limit said to held work, which is never dropped for it. */
export type Limited = Extract<Outcome, { readonly outcome: 'throttled' | 'quota_exceeded' | 'hot' }>

/** The same of a key whose first action is still under way: only when that has ended is it known what becomes of this one. */
export type Waiting = Limited | Extract<Outcome, { readonly outcome: 'deduplicated' }>

export const isLimited = (o: Outcome): o is Limited =>
  o.outcome === 'throttled' || o.outcome === 'quota_exceeded' || o.outcome === 'hot'

/** A rule that is off is switched on by a hand, and nobody knows when. */
const HOT_AGAIN_MS = 60_000

/**
 * When it is to come again, and whether the attempt counts: a hand may take longer than the attempts last, so only age ends what waits
 * for one.
 */
export const waitAfter = (o: Limited): { readonly ms: number; readonly counts: boolean } =>
  o.outcome === 'hot' ? { ms: HOT_AGAIN_MS, counts: false } : { ms: o.retry_after_ms, counts: true }

/** It has come too often, or is too old. */
export function givenUp(run: Run, o: Waiting, attempts: number): Outcome & { readonly outcome: 'failed' } {
  return {
    action_id: run.action.id,
    run_id: run.runId,
    ...(o.rule !== undefined && { rule: o.rule }),
    outcome: 'failed',
    code: o.outcome,
    message: why(o, attempts),
    retryable: false,
    attempts: 0,
  }
}

function why(o: Waiting, attempts: number): string {
  if (o.outcome === 'hot')
    return `the rule was switched off by the system and not switched on again: ${o.disable_details.why}`
  if (o.outcome === 'deduplicated') return `the first action with its key, ${o.first_action_id}, was still under way`
  return `still ${o.outcome} after ${attempts} attempts`
}
