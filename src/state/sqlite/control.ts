import { GLOBAL } from '../../core/action.ts'
import type { Clock } from '../../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import type { Control, ControlDoc, ControlWrite, Op, StateStore } from '../../core/state.ts'

/** What is in doubt is read again so often: every node has a change within a second. */
const AGAIN_MS = 1000

export interface ControlTools {
  readonly clock: Clock
  readonly newId: () => string
  /** The store is closed: nothing more is read. */
  readonly closed: AbortSignal
}

/**
 * The documents of a topic, held in memory. One process holds the store, so every change passes through here and none has to be
 * asked for, but where a write's answer was lost.
 */
export async function openControl(
  state: Pick<StateStore, 'get' | 'list' | 'commit'>,
  topic: string,
  { clock, newId, closed }: ControlTools,
): Promise<Control> {
  const kind = `control:${topic}`
  const docs = new Map<string, ControlDoc>()
  const listeners = new Set<(id: string, doc: ControlDoc | undefined) => void>()
  /** Ids whose last write may have been done or not. */
  const doubtful = new Set<string>()
  /** Ends of writes so far. */
  let ends = 0
  let asking = false

  for (let after: string | undefined, more = true; more; ) {
    const page: Awaited<ReturnType<StateStore['list']>> = await state.list(kind, GLOBAL, {
      limit: 1000,
      ...(after === undefined ? {} : { after }),
    })
    for (const e of page.entries) docs.set(e.key.id, { id: e.key.id, value: e.value, version: e.version })
    after = page.next
    more = after !== undefined
  }

  function changed(id: string, doc: ControlDoc | undefined): void {
    if (docs.get(id)?.version === doc?.version) return
    if (doc === undefined) docs.delete(id)
    else docs.set(id, doc)
    for (const tell of [...listeners]) tell(id, doc)
  }
  /** Memory must not differ from the store: one read tells. Rejects with StateUnavailable, and the doubt stays. */
  async function settle(): Promise<void> {
    while (doubtful.size > 0) {
      const ids = [...doubtful]
      const before = ends
      const entries = await state.get(ids.map((id) => ({ kind, scope: GLOBAL, id })))
      // What was read may be older than what a write has ended with meanwhile.
      if (ends !== before) continue
      for (const [i, id] of ids.entries()) {
        const entry = entries[i]
        doubtful.delete(id)
        changed(id, entry && { id, value: entry.value, version: entry.version })
      }
    }
  }
  /** False: the store cannot be read either. */
  async function settled(): Promise<boolean> {
    try {
      await settle()
      return true
    } catch (e) {
      if (!(e instanceof StateUnavailable)) throw e
      return false
    }
  }
  /** Nobody may write again for long, and nobody asks for what is read from memory. */
  async function keepAsking(): Promise<void> {
    if (asking) return
    asking = true
    do await clock.sleep(AGAIN_MS, closed)
    while (!(closed.aborted || (await settled())))
    asking = false
  }
  async function write(id: string, op: Op, doc: ControlDoc | undefined, w: ControlWrite): Promise<boolean> {
    if (doubtful.has(id)) await settle()
    try {
      const records = [w.record ?? []].flat().map((row): Op => ({ op: 'record', row }))
      const done = await state.commit(GLOBAL, [op, ...(w.also ?? []), ...records])
      ends++
      if (done.ok) changed(id, doc)
      return done.ok
    } catch (e) {
      ends++
      if (e instanceof StateUnknown) {
        doubtful.add(id)
        if (!(await settled())) void keepAsking()
      }
      throw e
    }
  }
  const condition = (w: ControlWrite) => (w.ifVersion === undefined ? {} : { ifVersion: w.ifVersion })

  return {
    get: (id) => docs.get(id),
    all: () => [...docs.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    put(id, value, w = {}) {
      const doc = { id, value, version: newId() }
      return write(id, { op: 'put', kind, id, value, version: doc.version, ...condition(w) }, doc, w)
    },
    delete: (id, w = {}) => write(id, { op: 'delete', kind, id, ...condition(w) }, undefined, w),
    subscribe(tell) {
      listeners.add(tell)
      return () => void listeners.delete(tell)
    },
  }
}
