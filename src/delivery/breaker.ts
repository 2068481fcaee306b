/**
 * The circuit breaker as a pure function of its state. Who stores the state is breakers.ts.
 *
 * 1 `failureThreshold` consecutive retryable failures open it; a success starts the count again.
 * 2 After `recoveryMs` one probe at a time; `successThreshold` probes that succeed, one after another, close it; one that fails opens it.
 * 3 Every probe slot has an end. A probe that dies frees it by expiry; one that fails permanently frees it at once.
 * 4 Only the probe that holds the slot can move a half-open breaker: an attempt begun before it opened decides nothing.
 * 5 A permanent failure says the action is wrong, not that the provider is ill or well: it neither counts nor resets the count.
 */
export interface BreakerConfig {
  readonly failureThreshold: number
  readonly successThreshold: number
  /** From opening to the first probe. Milliseconds. */
  readonly recoveryMs: number
}

export type Breaker =
  | { readonly is: 'closed'; readonly failures: number }
  /** `failures`: how many opened it; 0 when tripped by hand. */
  | { readonly is: 'open'; readonly since: number; readonly failures: number }
  | {
      readonly is: 'half_open'
      readonly since: number
      readonly failures: number
      readonly successes: number
      /** The slot, while one is out. */
      readonly probe?: { readonly id: string; readonly until: number }
    }
export const CLOSED: Breaker = { is: 'closed', failures: 0 }

/** `retryAt`: when it may admit again, at the latest. Milliseconds. */
export type Verdict =
  | { readonly admitted: true; readonly next: Breaker }
  | { readonly admitted: false; readonly retryAt: number }

/** May an attempt begin now? In half-open it takes the slot for `probe`, which must be over by `probe.until`. */
export function admit(
  b: Breaker,
  now: number,
  c: BreakerConfig,
  probe: { readonly id: string; readonly until: number },
): Verdict {
  switch (b.is) {
    case 'closed':
      return { admitted: true, next: b }
    case 'open': {
      const retryAt = b.since + c.recoveryMs
      if (now < retryAt) return { admitted: false, retryAt }
      return { admitted: true, next: { is: 'half_open', since: b.since, failures: b.failures, successes: 0, probe } }
    }
    case 'half_open':
      if (b.probe && now < b.probe.until) return { admitted: false, retryAt: b.probe.until }
      return { admitted: true, next: { ...b, probe } }
  }
}

/** How an attempt ended: `neither` is a permanent failure, or an attempt that was admitted and never made. */
export type AttemptEnd = 'success' | 'failure' | 'neither'

/** The state after an attempt; the same object when nothing changes. `probe`: the slot's id, if the attempt was one. */
export function settle(b: Breaker, end: AttemptEnd, now: number, c: BreakerConfig, probe?: string): Breaker {
  switch (b.is) {
    case 'closed': {
      if (end === 'neither') return b
      if (end === 'success') return b.failures === 0 ? b : CLOSED
      const failures = b.failures + 1
      return failures >= c.failureThreshold ? { is: 'open', since: now, failures } : { is: 'closed', failures }
    }
    case 'open':
      return b
    case 'half_open': {
      if (b.probe === undefined || b.probe.id !== probe) return b
      if (end === 'failure') return { is: 'open', since: now, failures: b.failures }
      const successes = end === 'success' ? b.successes + 1 : b.successes
      if (successes >= c.successThreshold) return CLOSED
      return { is: 'half_open', since: b.since, failures: b.failures, successes }
    }
  }
}

/** What people are shown: an open breaker whose recovery time is over waits for a probe, so it is half-open to them. */
export const shownState = (b: Breaker, now: number, c: BreakerConfig): Breaker['is'] =>
  b.is === 'open' && now >= b.since + c.recoveryMs ? 'half_open' : b.is
