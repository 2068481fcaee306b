import type { Control, ControlDoc } from '../../src/core/state.ts'

/** A topic's documents in memory, as a store keeps them between two openings. */
export function memoryControl(): Control {
  const docs = new Map<string, ControlDoc>()
  const listeners = new Set<(id: string, doc: ControlDoc | undefined) => void>()
  let version = 0
  const holds = (id: string, want: string | null | undefined) =>
    want === undefined || (docs.get(id)?.version ?? null) === want
  const tell = (id: string) => {
    for (const l of listeners) l(id, docs.get(id))
  }
  return {
    get: (id) => docs.get(id),
    all: () => [...docs.values()],
    async put(id, value, write) {
      if (!holds(id, write?.ifVersion)) return false
      docs.set(id, { id, value, version: String(++version) })
      tell(id)
      return true
    },
    async delete(id, write) {
      if (!holds(id, write?.ifVersion)) return false
      docs.delete(id)
      tell(id)
      return true
    },
    subscribe(changed) {
      listeners.add(changed)
      return () => void listeners.delete(changed)
    },
  }
}
