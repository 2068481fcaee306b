import type { Clock } from '../../core/clock.ts'
import { Passing } from '../../core/passing.ts'
import type { Loaded } from '../model/loaded.ts'

/**
 * From the building of its ops to its commit an execution is kept so long; one whose commit takes longer is read. Nobody says of which
 * the commit was refused, and where a `deduplicate` or a quota stands before the chain those are most.
 */
const KEPT_MS = 10_000
const MOST = 10_000
const MOST_BYTES = 64 * 1024 * 1024

/** Executions as they will stand after the commit that begins them: whoever then drives them here need not read them. */
export interface Newborn {
  /** `bytes`: about what it takes. */
  keep(loaded: Loaded, bytes: number): void
  take(id: string): Loaded | undefined
  /** Those kept. */
  readonly size: number
}

export function createNewborn(clock: Pick<Clock, 'now' | 'timer'>): Newborn {
  const kept = new Passing<string, { readonly loaded: Loaded; readonly bytes: number; readonly at: number }>()
  let total = 0
  let isLooking = false
  const drop = (id: string): Loaded | undefined => {
    const found = kept.delete(id)
    if (!found) return undefined
    total -= found.bytes
    return found.loaded
  }
  /** One timer for all, and none where there is nothing. */
  function look(): void {
    const before = clock.now() - KEPT_MS
    for (const id of kept.keys()) {
      if (kept.get(id)!.at > before) break
      drop(id)
    }
    isLooking = kept.size > 0
    if (isLooking) clock.timer(KEPT_MS / 10, look)
  }
  return {
    keep(loaded, bytes) {
      const { id } = loaded.run
      drop(id)
      kept.set(id, { loaded, bytes, at: clock.now() })
      total += bytes
      for (const oldest of kept.keys()) {
        if (kept.size <= MOST && total <= MOST_BYTES) break
        drop(oldest)
      }
      if (!isLooking) look()
    },
    take: drop,
    get size() {
      return kept.size
    },
  }
}
