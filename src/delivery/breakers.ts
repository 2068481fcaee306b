import type { AuditRow } from '../core/audit.ts'
import { readControlDoc } from '../core/control-doc.ts'
import type { Env } from '../core/env.ts'
import { ProviderError, StateUnavailable, StateUnknown } from '../core/errors.ts'
import type { Control } from '../core/state.ts'
import { type AttemptEnd, admit, type Breaker, CLOSED, settle } from './breaker.ts'
import { type BreakerSettings, type BreakerTable, type BreakerView, breakerView } from './breaker-view.ts'
import { type Circuit, createCircuit } from './circuit.ts'

export type Admission =
  | { readonly admitted: true; readonly probe?: { readonly id: string; readonly until: number } }
  | { readonly admitted: false; readonly retryAt: number }

export interface BreakerChange {
  readonly provider: string
  readonly from: Breaker['is']
  readonly to: Breaker['is']
  readonly at: number
  readonly by?: string
  readonly why?: string
  /** Of the failure that opened it. */
  readonly code?: string
}

/** The audit row of a breaker that has opened or closed; undefined where audit is off. */
export type BreakerRow = (change: BreakerChange) => AuditRow | undefined

export interface ByHand {
  readonly by: string
  readonly why?: string
  /** Audited in the same commit. */
  readonly record?: AuditRow
}

/**
 * Keeps the breakers. The count of a closed one is this node's, in memory; opening, each probe and closing are compare-and-set
 * documents of the topic `breakers`, so every node has them within a second and a restart finds them.
 */
export interface Breakers {
  /** Would an attempt be admitted now? Takes nothing. */
  look(provider: string): Admission
  /** Closed, or there is none. */
  closed(provider: string): boolean
  /** Admits one attempt of at most `attemptMs`. A probe's attempt must be over by `probe.until`. Every admission ends in `run` or `release`. */
  admit(provider: string, attemptMs: number): Promise<Admission>
  /** Makes an admitted attempt and counts how it ended. Rejects with what the attempt rejects with. */
  run<T>(provider: string, admission: Admission, attempt: () => Promise<T>): Promise<T>
  /** Counts an attempt that needed no admission, because its provider cannot fail: it moves no breaker. */
  succeeded(provider: string, durationMs: number): void
  /** An admitted attempt that is not made after all. */
  release(provider: string, admission: Admission): Promise<void>
  /** Counts a delivery that was turned away, for the stats. */
  refused(provider: string): void
  /** Opens it; it recovers as from failures. False: there is no such breaker. Rejects as the store does. */
  trip(provider: string, hand: ByHand): Promise<boolean>
  /** Closes it and forgets the failures, on every node. */
  reset(provider: string, hand: ByHand): Promise<boolean>
  list(): readonly BreakerView[]
  get(provider: string): BreakerView | undefined
  /** Called after every change of state, wherever it came from; returns the way to stop. */
  onChange(listener: (change: BreakerChange) => void): () => void
  /** Settings after a reload. States stay. */
  update(table: BreakerTable): void
  close(): void
}

/** The topic its documents live under: `createBreakers({ control: await state.control(BREAKERS_TOPIC), … })`. */
export const BREAKERS_TOPIC = 'breakers'

/** What a probe's slot lasts beyond its attempt: time for the commit that takes it. */
const PROBE_MARGIN_MS = 5_000
/** When a node that could not reach the store may ask again. */
const STORE_RETRY_MS = 1_000
const CAS_TRIES = 5

const hand = (by: string | undefined, why: string | undefined) => ({
  ...(by !== undefined && { by }),
  ...(why !== undefined && { why }),
})

interface Stored {
  readonly breaker: Breaker
  readonly by?: string
  readonly why?: string
}
/** What this node holds of one breaker: the stored state of `version`, and what it has seen since. */
interface Cell {
  version: string | null
  breaker: Breaker
  by?: string | undefined
  why?: string | undefined
  /** A probe's slot is being asked for by this node: others here need not ask. */
  asking: boolean
}

export function createBreakers(deps: {
  readonly control: Control
  readonly env: Env
  readonly breakers: BreakerTable
  readonly row: BreakerRow
}): Breakers {
  const { control, env, row } = deps
  const { clock } = env
  let table = deps.breakers
  const cells = new Map<string, Cell>()
  const circuits = new Map<string, Circuit>()
  const listeners = new Set<(change: BreakerChange) => void>()

  const circuitOf = (name: string): Circuit => {
    const known = circuits.get(name)
    if (known) return known
    const made = createCircuit(name, clock)
    circuits.set(name, made)
    return made
  }

  /** The state in force: the stored document when it is newer than what this node has, with the count begun again. */
  function cellOf(name: string): Cell {
    const cell: Cell = cells.get(name) ?? { version: null, breaker: CLOSED, asking: false }
    cells.set(name, cell)
    const doc = control.get(name)
    if (doc && doc.version !== cell.version) {
      const stored: Stored = readControlDoc(BREAKERS_TOPIC, doc)
      cell.version = doc.version
      cell.by = stored.by
      cell.why = stored.why
      become(name, cell, stored.breaker)
    }
    return cell
  }

  function become(name: string, cell: Cell, next: Breaker, code?: string): void {
    const from = cell.breaker.is
    cell.breaker = next
    circuitOf(name).show(next.is === 'closed' ? 'closed' : 'open')
    if (from === next.is) return
    const why = { ...hand(cell.by, cell.why), ...(code !== undefined && { code }) }
    const change = { provider: name, from, to: next.is, at: clock.now(), ...why }
    for (const l of listeners) l(change)
  }

  const write = (name: string, cell: Cell, stored: Stored, record?: AuditRow): Promise<boolean> =>
    control.put(name, JSON.stringify(stored), { ifVersion: cell.version, ...(record && { record }) })

  /** What is recorded of a breaker that has opened or closed, in the write that stores it. A probe is neither. */
  function changeRow(
    name: string,
    from: Breaker['is'],
    { breaker, by, why }: Stored,
    code?: string,
  ): AuditRow | undefined {
    const to = breaker.is
    if (to === from || to === 'half_open') return undefined
    return row({ provider: name, from, to, at: clock.now(), ...hand(by, why), ...(code !== undefined && { code }) })
  }

  function storeFailed(e: unknown, name: string, what: string): void {
    if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
    env.log.warn({ provider: name, err: e.message }, what)
  }

  /**
   * Counts an attempt's end. A change of state is in force here at once, so that the next attempt on this node obeys it, and is
   * then written; if the store cannot be reached it stays this node's own, and the next change is written over it.
   */
  async function count(name: string, end: AttemptEnd, probe: string | undefined, code?: string): Promise<void> {
    const config = table.get(name)
    if (!config) return
    for (let i = 0; i < CAS_TRIES; i++) {
      const cell = cellOf(name)
      const next = settle(cell.breaker, end, clock.now(), config, probe)
      if (next === cell.breaker) return
      if (next.is === 'closed' && cell.breaker.is === 'closed') {
        cell.breaker = next
        return
      }
      const record = changeRow(name, cell.breaker.is, { breaker: next }, code)
      cell.by = undefined
      cell.why = undefined
      become(name, cell, next, code)
      try {
        if (await write(name, cell, { breaker: next }, record)) return
      } catch (e) {
        return storeFailed(e, name, 'a change of the circuit breaker is not stored; it holds on this node')
      }
      // Somebody else moved it meanwhile: count this end against what they left.
    }
  }

  function look(name: string): Admission {
    const config = table.get(name)
    if (!config) return { admitted: true }
    const now = clock.now()
    const cell = cellOf(name)
    const v = admit(cell.breaker, now, config, { id: '', until: now })
    if (!v.admitted) return v
    return cell.asking ? { admitted: false, retryAt: now + STORE_RETRY_MS } : { admitted: true }
  }

  async function take(name: string, attemptMs: number): Promise<Admission> {
    const config = table.get(name)
    if (!config) return { admitted: true }
    const cell = cellOf(name)
    const now = clock.now()
    const probe = { id: env.newId(), until: now + attemptMs + PROBE_MARGIN_MS }
    const v = admit(cell.breaker, now, config, probe)
    if (!v.admitted) return v
    if (v.next.is === 'closed') return { admitted: true }
    const refused: Admission = { admitted: false, retryAt: now + STORE_RETRY_MS }
    if (cell.asking) return refused
    cell.asking = true
    try {
      // Only who has stored the slot has it: another node may be asking too.
      if (!(await write(name, cell, { breaker: v.next }))) return refused
    } catch (e) {
      storeFailed(e, name, 'a probe of the circuit breaker is not begun')
      return refused
    } finally {
      cell.asking = false
    }
    const held = cellOf(name).breaker
    if (held.is !== 'half_open' || held.probe?.id !== probe.id) return refused
    return clock.now() < probe.until ? { admitted: true, probe } : refused
  }

  async function byHand(name: string, breaker: Breaker, { by, why, record }: ByHand): Promise<boolean> {
    if (!table.has(name)) return false
    const stored: Stored = { breaker, ...hand(by, why) }
    const records = [record ?? [], changeRow(name, cellOf(name).breaker.is, stored) ?? []].flat()
    await control.put(name, JSON.stringify(stored), { record: records })
    cellOf(name)
    return true
  }

  const view = (name: string, config: BreakerSettings): BreakerView =>
    breakerView(name, config, cellOf(name), clock.now(), circuitOf(name).stats())

  const unsubscribe = control.subscribe((name) => void cellOf(name))
  for (const doc of control.all()) cellOf(doc.id)

  return {
    look,
    closed: (name) => !table.has(name) || cellOf(name).breaker.is === 'closed',
    admit: take,
    async run(name, admission, attempt) {
      const probe = admission.admitted ? admission.probe?.id : undefined
      let got: Awaited<ReturnType<typeof attempt>>
      try {
        got = await circuitOf(name).fire(attempt)
      } catch (e) {
        const failure = e instanceof ProviderError && e.retryable ? e : undefined
        await count(name, failure ? 'failure' : 'neither', probe, failure?.code)
        throw e
      }
      await count(name, 'success', probe)
      return got
    },
    succeeded: (name, durationMs) => circuitOf(name).succeeded(durationMs),
    release: (name, admission) =>
      admission.admitted && admission.probe ? count(name, 'neither', admission.probe.id) : Promise.resolve(),
    refused: (name) => circuitOf(name).refused(),
    trip: (name, who) => byHand(name, { is: 'open', since: clock.now(), failures: 0 }, who),
    reset: (name, who) => byHand(name, CLOSED, who),
    list: () => [...table].map(([name, config]) => view(name, config)),
    get(name) {
      const config = table.get(name)
      return config && view(name, config)
    },
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    update(next) {
      table = next
    },
    close() {
      unsubscribe()
      listeners.clear()
      for (const c of circuits.values()) c.close()
    },
  }
}
