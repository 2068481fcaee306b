import { StateUnavailable, StateUnknown } from '../../core/errors.ts'

/** What the server said, in SQLSTATE, where it was the server; of the system's own errors, their name. */
const codeOf = (e: unknown): string => (e instanceof Error && 'code' in e ? String(e.code) : '')

/**
 * Of a statement that failed: did the server say so itself, and thereby that its transaction is undone? A server that is being stopped, a
 * connection that ends and an answer that does not come leave open what was done.
 */
const OPEN_ENDED = /^(08...|57P01|57P02|57P05|40003)$/
/** Where its log cannot be written it stops with what it has of it, the commit among that or not. The word is in the server's language. */
const isPanic = (e: unknown, code: string): boolean =>
  /^(53100|58...|XX...)$/.test(code) && e instanceof Error && 'severity' in e && e.severity !== 'ERROR'
const ofPooler = (e: unknown, says: RegExp): boolean => codeOf(e) === '08P01' && says.test(say(e))
/** PgBouncer ends the connection, with the code it has for everything, and has given the statement to no server. */
const isNotGiven = (e: unknown): boolean => ofPooler(e, /^(query_wait_timeout|server login (failed|has been failing))/)
export const saysUndone = (e: unknown): boolean => {
  const code = codeOf(e)
  return (
    (/^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]+$/.test(code) && !OPEN_ENDED.test(code) && !isPanic(e, code)) ||
    isNotGiven(e)
  )
}
/** The connection is of no use after it. */
export const isLast = (e: unknown): boolean => !saysUndone(e) || isNotGiven(e)
/** It has no connection left for us: the server itself, or PgBouncer. Those we have go on. */
export const isCrowded = (e: unknown): boolean => codeOf(e) === '53300' || ofPooler(e, /^no more connections allowed/)
/** Two batches waited for each other, which their order excludes but rows of the audit; or for a lock of somebody else. Undone: to be made again. */
export const isRetryable = (e: unknown): boolean => ['40P01', '40001'].includes(codeOf(e))

/** Nothing is written there: a standby, or a server that was told so. */
export const isReadOnly = (e: unknown): boolean => codeOf(e) === '25006'

export function say(e: unknown): string {
  if (e instanceof AggregateError) return say(e.errors[0])
  if (!(e instanceof Error)) return String(e)
  if (codeOf(e) === '53200') return `${e.message} (max_locks_per_transaction is too low)`
  return e.message
}

/** What the caller of a statement is told. */
export const failure = (e: unknown, wrote: boolean): StateUnavailable | StateUnknown =>
  e instanceof StateUnavailable || e instanceof StateUnknown
    ? e
    : wrote && !saysUndone(e)
      ? new StateUnknown(`PostgreSQL did not answer: ${say(e)}`, { cause: e })
      : new StateUnavailable(`PostgreSQL: ${say(e)}`, { cause: e })
