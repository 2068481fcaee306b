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

/** Node would fire a longer one after 1 ms, so they are cut here: what is due in more than 24.8 days is asked for again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
const timerMs = (ms: number): number => Math.min(Math.max(ms, 0), LONGEST_TIMER_MS)

export function systemClock(): Clock {
  let origin = Date.now() - performance.now()
  let wall = 0
  let told = 0
  return {
    // Monotonic time since the origin: a clock that is set back cannot re-run what was done. Set forward it is followed, as after
    // the machine slept or found its time only after the start: what was due meanwhile is due now.
    now() {
      const seen = Date.now()
      // Asked ten times in a dispatch, most often within one millisecond: then the last answer stands.
      if (seen === wall) return told
      wall = seen
      const passed = performance.now()
      origin = Math.max(origin, seen - passed)
      told = Math.floor(origin + passed)
      return told
    },
    timer(ms, fn) {
      const t = setTimeout(fn, timerMs(ms))
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
        const t = setTimeout(done, timerMs(ms))
        signal?.addEventListener('abort', done, { once: true })
      }),
  }
}

/**
 * The machine's time at the start and what has passed since: it follows no change of the machine's time. For whoever measures the
 * difference to another clock.
 */
export function monotonicClock(): Clock {
  const origin = Date.now() - performance.now()
  return { ...systemClock(), now: () => Math.floor(origin + performance.now()) }
}

/** A timer that fires so late finds a process that stood still: it was paused, or its machine slept. */
const STOOD_STILL_MS = 1000
/** To read what has arrived in the meantime. */
const CATCH_UP_MS = 100

/**
 * Calls `fn` when what should have come within `ms` has not. After a standstill node fires timers before it reads its sockets, and
 * everything that had long been answered would be taken for lost: then there is a moment more.
 */
export function deadline(clock: Clock, ms: number, fn: () => void): Timer {
  const due = clock.now() + ms
  let timer = clock.timer(ms, () => {
    if (clock.now() - due < STOOD_STILL_MS) fn()
    else timer = clock.timer(CATCH_UP_MS, fn)
  })
  return { cancel: () => timer.cancel() }
}

/** Node's own watch over a connection: its `timeout` comes when nothing has moved on it for `ms`, which nobody else can see. */
export const watchTraffic = (socket: { setTimeout(ms: number): unknown }, ms: number): void => {
  socket.setTimeout(ms)
}

/** An AbortSignal that fires after `ms` on the given clock; `clear` frees the timer. */
export function deadlineSignal(clock: Clock, ms: number): { signal: AbortSignal; clear(): void } {
  const abort = new AbortController()
  const timer = deadline(clock, ms, () => abort.abort(new DOMException('timed out', 'TimeoutError')))
  return { signal: abort.signal, clear: () => timer.cancel() }
}

/**
 * Why work was told to end, for signals that only say "no more". AbortController makes an error with a stack of its own at each abort
 * that gives no reason, and that costs more than the commit of the step it ends.
 */
export const ABORTED = new DOMException('This operation was aborted', 'AbortError')

let lastMs = Number.NaN
let lastText = ''
/** RFC 3339 in UTC. The moment asked for last is remembered: a record has three times, most often one moment. */
export function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString()
    lastMs = ms
  }
  return lastText
}
