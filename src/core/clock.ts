/** The only source of time. Everything that waits or expires takes one of these, so that a test can own the day. */
export interface Clock {
  /** Milliseconds since the epoch; never goes back within one process. */
  now(): number
  /** Calls `fn` once, `ms` from now. The timer alone never keeps the process alive. */
  timer(ms: number, fn: () => void): Timer
  /** Resolves after `ms`, or at once when the signal aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}
export interface Timer {
  cancel(): void
}

/** Node clamps longer delays to 1 ms, so they are cut here instead. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export function systemClock(): Clock {
  const origin = Date.now() - performance.now()
  return {
    // Wall time at start plus monotonic time since: a clock that is set back cannot re-run what was done.
    now: () => Math.floor(origin + performance.now()),
    timer(ms, fn) {
      const t = setTimeout(fn, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS))
      t.unref()
      return { cancel: () => clearTimeout(t) }
    },
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const done = () => {
          clearTimeout(t)
          signal?.removeEventListener('abort', done)
          resolve()
        }
        const t = setTimeout(done, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS))
        signal?.addEventListener('abort', done, { once: true })
      }),
  }
}

/** An AbortSignal that fires after `ms` on the given clock; `clear` frees the timer. */
export function deadlineSignal(clock: Clock, ms: number): { signal: AbortSignal; clear(): void } {
  const abort = new AbortController()
  const timer = clock.timer(ms, () => abort.abort(new DOMException('timed out', 'TimeoutError')))
  return { signal: abort.signal, clear: () => timer.cancel() }
}

export const isoTime = (ms: number): string => new Date(ms).toISOString()
