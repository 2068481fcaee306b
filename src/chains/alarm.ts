import type { Clock, Timer } from '../core/clock.ts'

/** Moments that come later are left to the loop, which looks in the store. */
const HORIZON_MS = 60_000
/** Moments nearer to each other than this are one. */
const GRAIN_MS = 20

export interface Alarm {
  /** Something will be due then, milliseconds. A hint: the store knows, and whoever looks there finds it. */
  at(ms: number): void
  stop(): void
}

/** Rings when what this node has put down comes due, so that nothing waits for a loop to come round. At most 3,000 moments are kept. */
export function createAlarm(clock: Clock, ring: () => void): Alarm {
  const moments = new Set<number>()
  let next = Number.POSITIVE_INFINITY
  let timer: Timer | undefined
  let stopped = false

  function arm(ms: number): void {
    timer?.cancel()
    next = ms
    timer = ms === Number.POSITIVE_INFINITY ? undefined : clock.timer(ms - clock.now(), due)
  }
  function due(): void {
    const now = clock.now()
    for (const m of moments) if (m <= now) moments.delete(m)
    arm(Math.min(...moments, Number.POSITIVE_INFINITY))
    ring()
  }
  return {
    at(ms) {
      const now = clock.now()
      if (stopped || ms <= now || ms - now > HORIZON_MS) return
      const moment = Math.ceil(ms / GRAIN_MS) * GRAIN_MS
      moments.add(moment)
      if (moment < next) arm(moment)
    },
    stop() {
      stopped = true
      moments.clear()
      timer?.cancel()
    },
  }
}
