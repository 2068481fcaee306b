import { GLOBAL } from '../core/action.ts'
import { Bell } from '../core/bell.ts'
import type { Clock } from '../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import type { Control, ControlDoc, ControlWrite, Op, StateStore } from '../core/state.ts'

/** What is in doubt is read again so often. */
const AGAIN_MS = 1000
/** What other nodes may have written is looked for so often: every node has a change within a second. */
const FOLLOW_MS = 750
const PAGE = 1000

export interface ControlTools {
  readonly clock: Clock
  readonly newId: () => string
  /** The store is closed: nothing more is read. */
  readonly closed: AbortSignal
  /**
   * Of a store that other processes write too: their changes are looked for every so often, and whenever `hint` rings, which may be
   * late, twice or never. Left out, every change passes through here.
   */
  readonly shared?: { hint(topic: string, ring: () => void): void }
}

/** Nothing rings: the look every so often is soon enough. */
export const POLLED: NonNullable<ControlTools['shared']> = { hint: () => {} }

/** A store's topics, each opened when it is first asked for. One that could not be is tried again by the next to ask. */
export function controls(
  state: Pick<StateStore, 'get' | 'list' | 'commit'>,
  tools: ControlTools,
): (topic: string) => Promise<Control> {
  const topics = new Map<string, Promise<Control>>()
  return (topic) => {
    let control = topics.get(topic)
    if (control === undefined) {
      control = openControl(state, topic, tools)
      control.catch(() => topics.delete(topic)) // this one is told
      topics.set(topic, control)
    }
    return control
  }
}

/** The documents of a topic, held in memory; over any store. */
export async function openControl(
  state: Pick<StateStore, 'get' | 'list' | 'commit'>,
  topic: string,
  { clock, newId, closed, shared }: ControlTools,
): Promise<Control> {
  const kind = `control:${topic}`
  const docs = new Map<string, ControlDoc>()
  const listeners = new Set<(id: string, doc: ControlDoc | undefined) => void>()
  /** Ids whose last write may have been done or not. */
  const doubtful = new Set<string>()
  /** Ends of writes so far; and, where others write too, of which document each was the last since the last look began. */
  let ends = 0
  const endOf = new Map<string, number>()
  let asking = false
  let looking: Promise<void> = Promise.resolve()

  for (const doc of (await readAll()).values()) docs.set(doc.id, doc)
  if (shared) follow()

  async function readAll(): Promise<ReadonlyMap<string, ControlDoc>> {
    const found = new Map<string, ControlDoc>()
    for (let after: string | undefined, more = true; more; more = after !== undefined) {
      const page = await state.list(kind, GLOBAL, { limit: PAGE, ...(after !== undefined && { after }) })
      for (const e of page.entries) found.set(e.key.id, { id: e.key.id, value: e.value, version: e.version })
      after = page.next
    }
    return found
  }
  /** Looks at all documents again and again: one look at a time, and one more where somebody rang meanwhile. */
  function follow(): void {
    const bell = new Bell()
    shared!.hint(topic, () => bell.ring())
    const looks = async (): Promise<void> => {
      while (!closed.aborted) {
        await bell.sleep(clock, FOLLOW_MS, closed)
        bell.answer()
        if (!closed.aborted) await look()
      }
    }
    void looks()
  }
  /** One after another: each forgets which writes the one before it had to mind. */
  function look(): Promise<void> {
    const mine = looking.then(lookOnce)
    looking = mine.catch(() => undefined) // whoever asked for that one is told
    return mine
  }
  async function lookOnce(): Promise<void> {
    const before = ends
    endOf.clear()
    let found: ReadonlyMap<string, ControlDoc>
    try {
      found = await readAll()
    } catch (e) {
      // What is known stands until the store answers again; that it does not is told by its own trouble.
      if (e instanceof StateUnavailable || e instanceof StateUnknown) return
      throw e
    }
    for (const id of new Set([...found.keys(), ...docs.keys()])) {
      // What was read may be older than what a write of ours has ended with meanwhile.
      if ((endOf.get(id) ?? 0) > before) continue
      doubtful.delete(id)
      changed(id, found.get(id))
    }
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
    // Nothing lies between the last look at what is in doubt and the end of asking, so that no doubt is left to nobody.
    while (doubtful.size > 0 && !closed.aborted) {
      await clock.sleep(AGAIN_MS, closed)
      if (!closed.aborted) await settled()
    }
    asking = false
  }
  async function write(id: string, op: Op, doc: ControlDoc | undefined, w: ControlWrite): Promise<boolean> {
    const beside = w.beside && { id: w.beside.id, value: w.beside.value, version: newId() }
    const ids = beside ? [beside.id, id] : [id]
    if (ids.some((i) => doubtful.has(i))) await settle()
    const ended = () => {
      ends++
      // Only a look asks, and only a look forgets.
      if (shared) for (const i of ids) endOf.set(i, ends)
    }
    try {
      const besides: readonly Op[] = beside ? [{ op: 'put', kind, ...beside, ifVersion: w.beside!.ifVersion }] : []
      const records = [w.record ?? []].flat().map((row): Op => ({ op: 'record', row }))
      const done = await state.commit(GLOBAL, [op, ...besides, ...(w.also ?? []), ...records])
      ended()
      if (done.ok) {
        if (beside) changed(beside.id, beside)
        changed(id, doc)
      } else if (shared) await look()
      return done.ok
    } catch (e) {
      ended()
      if (e instanceof StateUnknown) {
        for (const i of ids) doubtful.add(i)
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
