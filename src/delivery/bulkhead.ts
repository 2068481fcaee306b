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
  // A set keeps the order of arrival and lets anyone leave from the middle.
  const queue = new Set<() => void>()
  const admit = () => {
    for (const go of queue) {
      if (inFlight >= limit) return
      queue.delete(go)
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
        const leave = () => {
          queue.delete(go)
          resolve(false)
        }
        const go = () => {
          signal.removeEventListener('abort', leave)
          resolve(true)
        }
        queue.add(go)
        signal.addEventListener('abort', leave, { once: true })
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
