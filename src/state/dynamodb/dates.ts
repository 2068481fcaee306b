/**
 * The store's clock from the dates of its answers, which are whole seconds: each answer says within which second the store's time was
 * between asking and hearing, and all of them together narrow how far it is off. As long as the machine's own clock fits what they say
 * it is believed: one kept by NTP is better than a date.
 */
export interface Dates {
  seen(dateMs: number, from: number, to: number): void
  /** The store's time less the machine's, milliseconds; undefined: nothing was seen yet. */
  offset(): number | undefined
}

/** By how much two clocks may drift apart, for each millisecond. */
const DRIFT = 0.0001
/** Narrower than this, what is left open is what the way there and back takes. */
const SURE_MS = 200

export function openDates(): Dates {
  let low = Number.NEGATIVE_INFINITY
  let high = Number.POSITIVE_INFINITY
  let at = 0
  return {
    seen(dateMs, from, to) {
      const drifted = Math.max(0, to - at) * DRIFT
      const [lowest, highest] = [dateMs - to, dateMs + 1000 - from]
      low = Math.max(low - drifted, lowest)
      high = Math.min(high + drifted, highest)
      at = to
      // One of the clocks was set: what was seen before says nothing any more.
      if (low > high) [low, high] = [lowest, highest]
    },
    offset() {
      if (!Number.isFinite(low)) return undefined
      if (low <= 0 && high >= 0) return 0
      const middle = (low + high) / 2
      if (high - low <= SURE_MS) return middle
      // Somewhere in there: the nearest to the machine's own.
      return low > 0 ? low : high
    },
  }
}
