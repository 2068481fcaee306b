import { kinds } from '../core/hold.ts'
import type { Entry, Op } from '../core/state.ts'

/**
 * A dedup key: taken in the commit that admits the action; pending while its delivery is under way; final once there was an
 * effect or a hold; free again after a definite failure; `unknown` after one that may have been acted on: then the next
 * action with the key sends the first one's stored bytes.
 */
export interface DedupValue {
  readonly state: 'pending' | 'final' | 'unknown'
  readonly actionId: string
  readonly runId: string
  /** What became of the first one; `pending` until it is known. */
  readonly outcome: string
  readonly shown: string
  /** When the key is promised to be free, milliseconds. A pending entry may outlive it until its delivery ends. */
  readonly until: number
  /** unknown: the dead letter that has the bytes. */
  readonly letterId?: string
}

/** A dedup key an intent or a dead letter has taken, to be settled when it ends. */
export interface TakenKey {
  readonly id: string
  readonly shown: string
  readonly until: number
}

export const readDedup = (entry: Entry): DedupValue => JSON.parse(entry.value) as DedupValue

/** Takes the key if it is free. `lasts`: how long a pending one must outlive its `until`, so that no second run starts beside a slow first. */
export function takeDedup(
  id: string,
  value: DedupValue,
  version: string,
  expiresAt: number,
  ifVersion: string | null = null,
): Op {
  return { op: 'put', kind: kinds.dedup, id, value: JSON.stringify(value), version, ifVersion, expiresAt }
}

/** How a key is left when its run ends. Only while it still is that run's (`version`): a forced redrive may have moved it on. */
export function settleDedup(
  key: TakenKey,
  version: string,
  next: DedupValue | undefined,
  newVersion: string,
  now: number,
): Op {
  if (next === undefined || key.until <= now)
    return { op: 'delete', kind: kinds.dedup, id: key.id, ifVersion: version, orSkip: true }
  return {
    op: 'put',
    kind: kinds.dedup,
    id: key.id,
    value: JSON.stringify(next),
    version: newVersion,
    ifVersion: version,
    expiresAt: key.until,
    orSkip: true,
  }
}
