import type { Clock } from '../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import type { ClaimRef, Key, StateStore } from '../core/state.ts'

/** How long a claim lasts without a sign of life; renewed at a third. */
export const LEASE_MS = 30_000

export interface Lease {
  readonly claim: ClaimRef
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
): Lease {
  const { state, clock } = deps
  const claim = { owner: held.owner, number: held.number }
  const lost = new AbortController()
  let until = held.until
  let stopped = false
  let timer = clock.timer(leaseMs / 3, () => void renew())

  async function renew(): Promise<void> {
    if (stopped) return
    if (clock.now() >= until) return lost.abort()
    const next = clock.now() + leaseMs
    try {
      const done = await state.commit(key.scope, [
        { op: 'touch', kind: key.kind, id: key.id, ifClaim: claim, until: next },
      ])
      if (!done.ok) return lost.abort()
      until = next
    } catch (e) {
      if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
      // Not renewed, perhaps: go on until what was last confirmed runs out.
    }
    if (!stopped) timer = clock.timer(Math.min(leaseMs / 3, Math.max(until - clock.now(), 0)), () => void renew())
  }

  return {
    claim,
    lost: lost.signal,
    stop() {
      stopped = true
      timer.cancel()
    },
  }
}
