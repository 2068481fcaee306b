import type { Clock } from '../../src/core/clock.ts'

export interface FakeClock extends Clock {
  /** Moves time on, firing timers in order of their moment and letting promises settle between them. */
  advance(ms: number): Promise<void>
  /** Lets every promise and immediate that is ready run, without moving time. */
  settle(): Promise<void>
  /** Timers waiting. */
  readonly pending: number
}

const START = Date.UTC(2026, 0, 5, 12, 0, 0) // a Monday

export function fakeClock(start: number = START): FakeClock {
  let now = start
  let sequence = 0
  const timers = new Map<number, { at: number; fn: () => void }>()
  const add = (ms: number, fn: () => void) => {
    const id = ++sequence
    timers.set(id, { at: now + Math.max(0, Math.ceil(ms)), fn })
    return { cancel: () => void timers.delete(id) }
  }
  const settle = async () => {
    for (let i = 0; i < 20; i++) await new Promise<void>((r) => setImmediate(r))
  }
  return {
    now: () => now,
    timer: add,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const t = add(ms, () => {
          signal?.removeEventListener('abort', done)
          resolve()
        })
        const done = () => {
          t.cancel()
          resolve()
        }
        signal?.addEventListener('abort', done, { once: true })
      }),
    settle,
    async advance(ms) {
      const end = now + ms
      await settle()
      for (;;) {
        const [next] = [...timers].filter(([, t]) => t.at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])
        if (!next) break
        timers.delete(next[0])
        now = Math.max(now, next[1].at)
        next[1].fn()
        await settle()
      }
      now = end
      await settle()
    },
    get pending() {
      return timers.size
    },
  }
}
