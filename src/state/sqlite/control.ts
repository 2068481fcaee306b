import { GLOBAL } from '../../core/action.ts'
import { StateUnknown } from '../../core/errors.ts'
import type { Control, ControlDoc, ControlWrite, Op, StateStore } from '../../core/state.ts'

/**
 * The documents of a topic, held in memory. One process holds the store, so every change passes through here and none has to be
 * asked for.
 */
export async function openControl(
  state: Pick<StateStore, 'get' | 'list' | 'commit'>,
  topic: string,
  newId: () => string,
): Promise<Control> {
  const kind = `control:${topic}`
  const docs = new Map<string, ControlDoc>()
  const listeners = new Set<(id: string, doc: ControlDoc | undefined) => void>()

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
  async function write(id: string, op: Op, doc: ControlDoc | undefined, w: ControlWrite): Promise<boolean> {
    try {
      const records = [w.record ?? []].flat().map((row): Op => ({ op: 'record', row }))
      const done = await state.commit(GLOBAL, [op, ...(w.also ?? []), ...records])
      if (done.ok) changed(id, doc)
      return done.ok
    } catch (e) {
      // Perhaps written: memory must not differ from the store, and one read tells.
      if (e instanceof StateUnknown) {
        const [entry] = await state.get([{ kind, scope: GLOBAL, id }])
        changed(id, entry && { id, value: entry.value, version: entry.version })
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
