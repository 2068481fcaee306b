import type { Scope } from '../core/action.ts'
import type { Clock } from '../core/clock.ts'
import { joinParts } from '../core/ids.ts'
import { Passing } from '../core/passing.ts'

/** Whoever is ahead may wait for a store that does not answer: that is no reason to wait behind it one by one. Milliseconds. */
const LONGEST_MS = 1000

/**
 * What reads a schedule key and then commits on what it has read is refused where another was faster, and reads anew. Of many at once
 * on one key one gets through in each round, and the rest soon give up: so those of this node go one after another.
 */
export interface KeyTurns {
  /**
   * Resolves when all those have their place who came before with one of these keys, or have had a second for it; undefined: there is
   * nobody. `placed` resolves when this one has its own.
   */
  take(scope: Scope, keys: readonly string[], placed: Promise<unknown>): Promise<void> | undefined
}

export function createKeyTurns(clock: Clock): KeyTurns {
  /** Who came last, by key. */
  const last = new Passing<string, Promise<unknown>>()
  return {
    take(scope, keys, placed) {
      const ids = keys.map((key) => joinParts([...scope, key]))
      const before = ids.flatMap((id) => last.get(id) ?? [])
      for (const id of ids) last.set(id, placed)
      void placed.then(() => {
        for (const id of ids) if (last.get(id) === placed) last.delete(id)
      })
      if (before.length === 0) return undefined
      return new Promise((resolve) => {
        const timer = clock.timer(LONGEST_MS, resolve)
        void Promise.all(before).then(() => {
          timer.cancel()
          resolve()
        })
      })
    },
  }
}
