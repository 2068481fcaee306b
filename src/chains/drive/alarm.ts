import type { Clock, Timer } from '../../core/clock.ts'

/** Rings once at the earliest of the moments it was told, then must be told anew. */
export interface Alarm {
  /** Something is due then. Milliseconds. */
  at(moment: number): void
  readonly isSet: boolean
  stop(): void
}

/** One timer, however much waits: what is due later is asked of the store when it has rung. */
const LONGEST_MS = 3_600_000

export function createAlarm(clock: Clock, ring: () => void): Alarm {
  let set = Number.POSITIVE_INFINITY
  let timer: Timer | undefined
  let stopped = false
  return {
    at(moment) {
      if (stopped || moment >= set) return
      timer?.cancel()
      set = moment
      timer = clock.timer(Math.min(Math.max(0, moment - clock.now()), LONGEST_MS), () => {
        set = Number.POSITIVE_INFINITY
        ring()
      })
    },
    get isSet() {
      return set !== Number.POSITIVE_INFINITY
    },
    stop() {
      stopped = true
      timer?.cancel()
    },
  }
}
