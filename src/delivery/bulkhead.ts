import { Gathering } from '../core/passing.ts'

/** How many attempts may be under way at one provider; the others wait their turn, first come first served. */
export interface Bulkhead {
  /** A slot at once, or false when none is free or others wait. */
  take(): boolean
  /** True with a slot; false when the signal aborted first. */
  wait(signal: AbortSignal): Promise<boolean>
  free(): void
  resize(max: number): void
  readonly inFlight: number
  readonly waiting: number
}

export function createBulkhead(max: number): Bulkhead {
  let limit = max
  let inFlight = 0
  // In the order of arrival, and anyone may leave from the middle.
  const queue = new Gathering<() => void>()
  const admit = () => {
    if (queue.size === 0) return
    for (const go of queue) {
      if (inFlight >= limit) return
      inFlight++
      go()
    }
  }
  return {
    take() {
      if (inFlight >= limit || queue.size > 0) return false
      inFlight++
      return true
    },
    wait(signal) {
      if (signal.aborted) return Promise.resolve(false)
      return new Promise((resolve) => {
        const giveUp = () => {
          leave()
          resolve(false)
        }
        const leave = queue.enter(() => {
          leave()
          signal.removeEventListener('abort', giveUp)
          resolve(true)
        })
        signal.addEventListener('abort', giveUp, { once: true })
        admit()
      })
    },
    free() {
      inFlight--
      admit()
    },
    resize(next) {
      limit = next
      admit()
    },
    get inFlight() {
      return inFlight
    },
    get waiting() {
      return queue.size
    },
  }
}
