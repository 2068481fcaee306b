import type { AuditRows } from '../core/audit.ts'
import type { Log } from '../core/env.ts'
import type { StateStore } from '../core/state.ts'
import type { Handed } from './handed.ts'
import { drainOutbox } from './outbox.ts'

export interface Way {
  readonly own: Handed
  readonly state: StateStore
  readonly audit: Pick<AuditRows, 'append'>
  /** The store's time. */
  readonly now: () => number
  readonly log: Log
  /** The kinds of entries to look for this time. */
  readonly from?: () => readonly string[]
}

/**
 * Carries over what this process has written, and what is found due in the outbox; the former also between two claims of the latter,
 * however long that takes. Answers how many records. Rejects where the audit or the state is away: with what came of the one that
 * failed first, when the other has been tried too, which goes in other steps.
 */
export async function carryAll(way: Way, owner: string, enough?: AbortSignal, last?: boolean): Promise<number> {
  let carried = 0
  const failed: unknown[] = []
  const carryOwn = async (): Promise<void> => {
    if (failed.length > 0) return
    try {
      const mine = await way.own.carry(way, enough, last)
      carried += mine
    } catch (e) {
      failed.push(e)
    }
  }
  await carryOwn()
  const from = way.from?.()
  const how = { enough, between: carryOwn, ...(from && { from }) }
  const found = await drainOutbox(way.state, way.audit, owner, way.log, how)
  if (failed.length > 0) throw failed[0]
  return carried + found
}
