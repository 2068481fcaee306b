import type { Clock } from '../../core/clock.ts'

/** Wakes the one who waits; a ring that came before the wait began is not lost. */
export interface Bell {
  ring(): void
  /** Until it rings, or the moment has come. Milliseconds. */
  wait(until: number): Promise<void>
}

export function createBell(clock: Clock): Bell {
  let rung = false
  let waiting: (() => void) | undefined
  const ring = (): void => {
    rung = true
    waiting?.()
  }
  return {
    ring,
    async wait(until) {
      if (!rung) {
        const { promise, resolve } = Promise.withResolvers<void>()
        waiting = resolve
        const timer = clock.timer(Math.max(0, until - clock.now()), resolve)
        await promise
        timer.cancel()
        waiting = undefined
      }
      rung = false
    },
  }
}
