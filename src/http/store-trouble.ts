import type { Env } from '../core/env.ts'
import { type Problem, StateTooLarge, StateUnavailable, StateUnknown } from '../core/errors.ts'

/** Between two lines of the log about it. */
const LOG_EVERY_MS = 60_000

/** What the store has said (a full disk, a lost connection) is told to no caller; the log has it, once a minute, and for how many requests. */
export function storeTrouble({ log, clock }: Pick<Env, 'log' | 'clock'>): (problem: Problem) => void {
  let at = Number.NEGATIVE_INFINITY
  let refused = 0
  return ({ code, cause }) => {
    if (cause instanceof StateTooLarge || !(cause instanceof StateUnavailable || cause instanceof StateUnknown)) return
    refused++
    const now = clock.now()
    if (now - at < LOG_EVERY_MS) return
    log.warn({ code, refused, reason: reasonOf(cause) }, 'requests are refused for the sake of the state store')
    at = now
    refused = 0
  }
}

/** What began it is innermost. */
const reasonOf = (e: Error): string => (e.cause instanceof Error ? `${e.message}: ${reasonOf(e.cause)}` : e.message)
