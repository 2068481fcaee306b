import type { Clock } from '../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import type { ClaimRef, Key, Op, StateStore } from '../core/state.ts'

/** How long a claim lasts without a sign of life; renewed at a third. */
export const LEASE_MS = 30_000

export interface Lease {
  readonly claim: ClaimRef
  /**
   * Until when it is claimed, or is being asked for: what is written under the claim meanwhile says this, so that it takes back no
   * renewal, and moves nothing that need not be moved. Milliseconds.
   */
  readonly until: number
  /** That has been written, maybe behind a renewal that was sent after it: no later moment is believed in before the next one. */
  wrote(until: number): void
  /** Aborts when the claim is lost or has run out unrenewed: the work must end at once, writing and sending nothing. */
  readonly lost: AbortSignal
  /** Stops renewing; the claim itself is left for the commit that ends the work. */
  stop(): void
}

/** Keeps a claim alive while its work goes on. A renewal that cannot be confirmed is tried again until the claim has run out. */
export function keepLease(
  deps: { readonly state: StateStore; readonly clock: Clock },
  key: Key,
  held: ClaimRef & { readonly until: number },
  leaseMs: number = LEASE_MS,
  /** Written with each renewal: what expires with the claim. */
  also: (until: number) => readonly Op[] = () => [],
): Lease {
  const { state, clock } = deps
  const claim = { owner: held.owner, number: held.number }
  const lost = new AbortController()
  let over = false
  let asked = held.until
  let believed = held.until
  /** The earliest that was written since the last renewal was sent. */
  let earliest = Number.POSITIVE_INFINITY
  // A timer of its own: a store that does not answer must not keep the work believing in its claim.
  let expiry = expireAt(believed)
  let next = clock.timer(Math.min(leaseMs / 3, (held.until - clock.now()) / 2), () => void renew())

  function expireAt(until: number) {
    return clock.timer(until - clock.now(), lose)
  }
  function believe(until: number): void {
    believed = until
    expiry.cancel()
    expiry = expireAt(until)
  }
  function lose(): void {
    end()
    lost.abort()
  }
  function end(): void {
    over = true
    next.cancel()
    expiry.cancel()
  }

  async function renew(): Promise<void> {
    const until = clock.now() + leaseMs
    asked = Math.max(asked, until)
    earliest = Number.POSITIVE_INFINITY
    let againMs = leaseMs / 3
    try {
      const touch: Op = { op: 'touch', kind: key.kind, id: key.id, ifClaim: claim, until }
      const done = await state.commit(key.scope, [touch, ...also(until)])
      if (over) return
      if (!done.ok) return lose()
      believe(Math.min(until, earliest))
    } catch (e) {
      if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
      if (over) return
      // Renewed or not, nobody knows: what was last confirmed counts, and there is time for some more tries.
      againMs = leaseMs / 10
    }
    next = clock.timer(againMs, () => void renew())
  }

  return {
    claim,
    get until() {
      return asked
    },
    wrote(until) {
      earliest = Math.min(earliest, until)
      if (!over && until < believed) believe(until)
    },
    lost: lost.signal,
    stop: end,
  }
}
