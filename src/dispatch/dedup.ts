import { kinds } from '../core/hold.ts'
import type { Entry, Op } from '../core/state.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import type { Parts } from './parts.ts'

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

/** The key of a run that is under way. */
export const pendingDedup = (
  run: { readonly action: { readonly id: string }; readonly runId: string },
  key: TakenKey,
): DedupValue => ({
  state: 'pending',
  actionId: run.action.id,
  runId: run.runId,
  outcome: 'pending',
  shown: key.shown,
  until: key.until,
})

export const readDedup = (entry: Entry): DedupValue => JSON.parse(entry.value) as DedupValue

/** When a pending entry goes: it outlives its promise by the slowest delivery, so that no second run begins beside a slow first. */
export const pendingExpiry = (parts: Pick<Parts, 'settings'>, until: number, now: number): number =>
  Math.max(until, now + parts.settings().deadlineMs + 2 * LEASE_MS)

/** Takes the key if it is free, or still as it was in that version. */
export function takeDedup(
  id: string,
  value: DedupValue,
  version: string,
  expiresAt: number,
  ifVersion: string | null = null,
): Op {
  return { op: 'put', kind: kinds.dedup, id, value: JSON.stringify(value), version, ifVersion, expiresAt }
}

/** How a key is left when its run ends, or goes on. Only while it still is that run's (`version`): a forced redrive may have moved it on. */
export function settleDedup(
  key: TakenKey,
  version: string,
  next: DedupValue | undefined,
  newVersion: string,
  now: number,
  expiresAt: number = key.until,
): Op {
  if (next === undefined || expiresAt <= now)
    return { op: 'delete', kind: kinds.dedup, id: key.id, ifVersion: version, orSkip: true }
  return { ...takeDedup(key.id, next, newVersion, expiresAt, version), orSkip: true } as Op
}
