import type { Loop } from './loop.ts'

/** A loop whose tick does all its work itself: when it resolves nothing is under way. */
export function periodic(work: Omit<Loop, 'idle'>): Loop {
  let running: Promise<number> = Promise.resolve(0)
  return {
    ...work,
    tick(signal) {
      running = work.tick(signal)
      return running
    },
    async idle() {
      await running.catch(() => 0) // its failure was the tick's
    },
  }
}
