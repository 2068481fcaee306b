import type { AuditRow, AuditRows } from '../core/audit.ts'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../core/errors.ts'

/** Characters of records that are given to an audit at once. */
export const AT_ONCE = 2_000_000

/** Gives rows to the audit. Answers why it does not take them; undefined: it has them. Rejects where it is away. */
export async function refusal(
  audit: Pick<AuditRows, 'append'>,
  rows: readonly AuditRow[],
): Promise<string | undefined> {
  try {
    await audit.append(rows)
    return undefined
  } catch (e) {
    if (!(e instanceof StateTooLarge) && (e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
    return say(e)
  }
}
export const say = (e: unknown): string => (e instanceof Error ? e.message : String(e))
