import { StateTooLarge } from '../core/errors.ts'
import type { Op } from '../core/state.ts'

/**
 * No time and no count is kept that lies farther from 0 than numbers are exact: some backend could not read it again. Fractions are
 * kept, or rounded.
 */
const kept = (n: number | undefined): boolean => n === undefined || Math.abs(n) <= Number.MAX_SAFE_INTEGER
/** How long something lasts: there must be room for it behind any time. */
const lasts = (n: number): boolean => Math.abs(n) <= 2 ** 52
/** Only compared with; it may be beyond everything. */
const compared = (n: number | undefined): boolean => !Number.isNaN(n)

function isKept(op: Op): boolean {
  switch (op.op) {
    case 'put':
      return kept(op.dueAt) && kept(op.expiresAt) && kept(op.claim?.until) && kept(op.attempts)
    case 'touch':
      return kept(op.dueAt) && kept(op.until)
    case 'count':
      return kept(op.by) && kept(op.expiresAt) && compared(op.limit)
    case 'admit':
      return lasts(op.windowMs) && compared(op.max)
    case 'slot':
      return kept(op.until) && compared(op.max)
    case 'append':
      return lasts(op.waitMs) && lasts(op.intervalMs) && compared(op.maxItems) && compared(op.maxBytes)
    case 'seal':
      return kept(op.dueAt)
    default:
      return true
  }
}

/**
 * A fault of ours, and of that commit alone: it is refused before it travels with others. Undefined where all is well, so that
 * nothing is waited for.
 */
export function refuseUnkept(ops: readonly Op[]): Promise<never> | undefined {
  for (const op of ops)
    if (!isKept(op))
      return Promise.reject(new StateTooLarge(`a time or a count of a ${op.op} is no number that is kept`))
  return undefined
}
