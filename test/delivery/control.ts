import type { AuditRow } from '../../src/core/audit.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { Control, ControlDoc } from '../../src/core/state.ts'
import type { FakeClock } from '../fakes/clock.ts'

/** One topic of control documents, as several nodes see it: a writer at once, the others `lagMs` later. */
export interface SharedControl {
  node(): Control
  readonly docs: ReadonlyMap<string, ControlDoc>
  readonly records: readonly AuditRow[]
  writes: number
  /** What the next writes meet: refused before, or done and the reply lost. */
  failing: 'no' | 'unavailable' | 'reply-lost'
}

export function sharedControl(clock: FakeClock, lagMs = 500, writeMs = 0): SharedControl {
  const docs = new Map<string, ControlDoc>()
  const records: AuditRow[] = []
  const nodes: { see(doc: ControlDoc): void }[] = []
  let version = 0
  const shared: SharedControl = {
    docs,
    records,
    writes: 0,
    failing: 'no',
    node() {
      const seen = new Map(docs)
      const subscribers = new Set<(id: string, doc: ControlDoc | undefined) => void>()
      const me = {
        see(doc: ControlDoc) {
          // Late news never replaces newer: versions of this fake are numbers.
          if (Number(seen.get(doc.id)?.version ?? 0) >= Number(doc.version)) return
          seen.set(doc.id, doc)
          for (const s of subscribers) s(doc.id, doc)
        },
      }
      nodes.push(me)
      return {
        get: (id) => seen.get(id),
        all: () => [...seen.values()],
        async put(id, value, write = {}) {
          if (writeMs > 0) await clock.sleep(writeMs)
          if (shared.failing === 'unavailable') throw new StateUnavailable('down')
          if (write.ifVersion !== undefined && (docs.get(id)?.version ?? null) !== write.ifVersion) return false
          shared.writes++
          const doc = { id, value, version: String(++version) }
          docs.set(id, doc)
          records.push(...[write.record ?? []].flat())
          for (const n of nodes) if (n !== me || shared.failing === 'reply-lost') clock.timer(lagMs, () => n.see(doc))
          if (shared.failing === 'reply-lost') throw new StateUnknown('no reply')
          me.see(doc)
          return true
        },
        delete: async () => {
          throw new Error('breakers are never deleted')
        },
        subscribe(s) {
          subscribers.add(s)
          return () => void subscribers.delete(s)
        },
      }
    },
  }
  return shared
}
