import type { Clock, Timer } from '../core/clock.ts'

/** Half of the second within which an edit is in force. */
export const POLL_MS = 500

export interface Watcher {
  start(): void
  stop(): void
  /** Looks now; true when something had changed. For tests, and for those who cannot wait. */
  poll(): Promise<boolean>
}

/**
 * Asks for a fingerprint twice a second. No watcher of the operating system stands beside it: recursive ones lose renames, all
 * lose the swap of a link above what they watch, and a look at a hundred files costs a millisecond or two.
 */
export function watch(
  clock: Clock,
  fingerprint: () => Promise<string>,
  changed: () => Promise<void>,
  seen: () => string,
  failed: (error: unknown) => void,
): Watcher {
  let timer: Timer | undefined
  let running = false
  async function poll(): Promise<boolean> {
    if ((await fingerprint()) === seen()) return false
    await changed()
    return true
  }
  const again = (): void => {
    if (!running) return
    timer = clock.timer(POLL_MS, () => void poll().catch(failed).then(again))
  }
  return {
    poll,
    start() {
      if (running) return
      running = true
      again()
    },
    stop() {
      running = false
      timer?.cancel()
    },
  }
}
