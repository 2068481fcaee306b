import type { Loaded } from '../model/loaded.ts'

/** Between their ops being built and their commit, at most; those whose commit was refused fall out in time. */
const MOST = 10_000
const MOST_BYTES = 64 * 1024 * 1024

/** Executions as they will stand after the commit that begins them: whoever then drives them here need not read them. */
export interface Newborn {
  /** `bytes`: about what it takes. */
  keep(loaded: Loaded, bytes: number): void
  take(id: string): Loaded | undefined
}

export function createNewborn(): Newborn {
  const kept = new Map<string, { readonly loaded: Loaded; readonly bytes: number }>()
  let total = 0
  const drop = (id: string): Loaded | undefined => {
    const found = kept.get(id)
    if (!found) return undefined
    kept.delete(id)
    total -= found.bytes
    return found.loaded
  }
  return {
    keep(loaded, bytes) {
      const { id } = loaded.run
      drop(id)
      kept.set(id, { loaded, bytes })
      total += bytes
      for (const oldest of kept.keys()) {
        if (kept.size <= MOST && total <= MOST_BYTES) break
        drop(oldest)
      }
    },
    take: drop,
  }
}
