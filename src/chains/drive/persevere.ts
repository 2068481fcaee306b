import type { Env } from '../../core/env.ts'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../core/errors.ts'

const FIRST_WAIT_MS = 20
const LONGEST_WAIT_MS = 1000

/**
 * Asks the store until it answers; what is too large for it is thrown. Undefined: meanwhile the claim was lost. It is always asked once: a claim that has run out
 * and was not taken by another still stands. `doubt`: an earlier try may have been done without anyone having heard of it.
 */
export async function persevere<T>(
  env: Env,
  lost: AbortSignal,
  ask: (doubt: boolean) => Promise<T>,
): Promise<{ readonly answer: T } | undefined> {
  let doubt = false
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    try {
      return { answer: await ask(doubt) }
    } catch (e) {
      if (e instanceof StateTooLarge || !(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
      doubt ||= e instanceof StateUnknown
    }
    if (lost.aborted) return undefined
    await env.clock.sleep(wait, lost)
  }
}
