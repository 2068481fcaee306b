import { auditStore } from '../../src/audit/scan.ts'
import type { AuditRows, AuditStore } from '../../src/core/audit.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { Env } from '../../src/core/env.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import { openHere } from '../../src/state/sqlite/here.ts'
import { openWriter } from '../../src/state/sqlite/schema.ts'

export interface MemoryState {
  readonly state: StateStore
  readonly audit: AuditStore
  readonly rows: AuditRows
  /** A second process on the same data, as after a crash of the first: all claims void. The first must not be used any more. */
  restart(): Promise<MemoryState>
}

/** The real engine on the calling thread, in memory, on the given clock. */
export async function memoryState(env: Pick<Env, 'clock' | 'newId'>): Promise<MemoryState> {
  const db = openWriter({ path: ':memory:', synchronous: 'normal' })
  const open = async (): Promise<MemoryState> => {
    const opened = openHere({
      db,
      clock: env.clock,
      newId: env.newId,
      onFatal: (e) => {
        throw e
      },
      onClose: () => {},
    })
    return { state: opened.state, audit: auditStore(opened.audit), rows: opened.audit, restart: open }
  }
  return open()
}

export type Crash = 'before' | 'after' | 'reply-lost'
export interface Crashing extends StateStore {
  /** Commits and claims asked for so far, the fatal one included; dry ones do not count. */
  readonly writes: number
  readonly crashed: boolean
  /** Resolves when the nth write has come and gone: from then on a second node may open the same data. */
  readonly dropped: Promise<void>
}

/**
 * A store whose process dies at its nth write (commit or claim, counted from 1): that call and every later one is rejected.
 * `before`: nothing was written. `after`: it was, and the process died before it heard. `reply-lost`: it was, and the caller
 * is told StateUnknown before the process dies.
 */
export function crashing(base: StateStore, n: number, when: Crash): Crashing {
  let writes = 0
  let dead = false
  let drop: () => void = () => {}
  const dropped = new Promise<void>((r) => {
    drop = r
  })
  const gone = () => new StateUnavailable('the process is dead')
  async function write<T>(act: () => Promise<T>): Promise<T> {
    if (dead) throw gone()
    if (++writes !== n) {
      const answer = await act()
      if (dead) throw gone() // it died while this was under way
      return answer
    }
    dead = true
    try {
      if (when !== 'before') await act()
    } finally {
      drop()
    }
    throw when === 'reply-lost' ? new StateUnknown('the answer was lost') : gone()
  }
  const look = <T>(act: () => Promise<T>): Promise<T> => (dead ? Promise.reject(gone()) : act())
  return {
    get: (...a) => look(() => base.get(...a)),
    commit: (...a) => (a[2]?.dry ? look(() => base.commit(...a)) : write(() => base.commit(...a))),
    claim: (...a) => write(() => base.claim(...a)),
    list: (...a) => look(() => base.list(...a)),
    scopes: (...a) => look(() => base.scopes(...a)),
    peek: (...a) => look(() => base.peek(...a)),
    control: (...a) => look(() => base.control(...a)),
    nextDue: (...a) => look(() => base.nextDue(...a)),
    depths: () => look(() => base.depths()),
    close: () => Promise.resolve(),
    get writes() {
      return writes
    },
    get crashed() {
      return dead
    },
    dropped,
  }
}

/** A store that lives on, but whose answers to the writes `lose` names (counted from 1) are lost after it acted; `reads`: those to reads too. */
export function replyLost(base: StateStore, lose: (n: number) => boolean, reads = false): StateStore {
  let writes = 0
  async function write<T>(act: () => Promise<T>): Promise<T> {
    const lost = lose(++writes)
    const answer = await act()
    if (lost) throw new StateUnknown('the answer was lost')
    return answer
  }
  async function read<T>(act: () => Promise<T>): Promise<T> {
    const answer = await act()
    if (reads) throw new StateUnavailable('the answer was lost')
    return answer
  }
  return {
    ...base,
    get: (...a) => read(() => base.get(...a)),
    list: (...a) => read(() => base.list(...a)),
    scopes: (...a) => read(() => base.scopes(...a)),
    peek: (...a) => read(() => base.peek(...a)),
    nextDue: (...a) => read(() => base.nextDue(...a)),
    depths: () => read(() => base.depths()),
    commit: (...a) => write(() => base.commit(...a)),
    claim: (...a) => write(() => base.claim(...a)),
  }
}

export interface Gated extends StateStore {
  /** Answers held back. */
  readonly waiting: number
  /** Lets what is held back through, and all that comes. */
  open(): void
}

/** A store that does what it is asked at once, but whose answers to some calls come only when told to. `late`: it does those only then. */
export function gated(
  base: StateStore,
  holds: {
    readonly commit?: (ops: readonly Op[]) => boolean
    readonly list?: (kind: string) => boolean
    readonly late?: boolean
  },
): Gated {
  const { promise, resolve } = Promise.withResolvers<void>()
  let waiting = 0
  async function held<T>(is: boolean | undefined, act: () => Promise<T>): Promise<T> {
    if (!is) return act()
    const answer = holds.late ? undefined : act()
    waiting++
    await promise
    waiting--
    return answer ?? act()
  }
  return {
    ...base,
    commit: (scope, ops, o) => held(holds.commit?.(ops), () => base.commit(scope, ops, o)),
    list: (kind, ...a) => held(holds.list?.(kind), () => base.list(kind, ...a)),
    open: () => resolve(),
    get waiting() {
      return waiting
    },
  }
}

/** What a call meets: nothing; an error before or after it was done; or a wait, milliseconds, before or after it. */
export type Trouble = 'none' | 'unavailable' | 'lost' | { readonly before: number } | { readonly after: number }

/** A store that lives on, but on which calls meet trouble, reads too (which are never lost, but unavailable). */
export function troubled(base: StateStore, clock: Clock, next: (kind: 'read' | 'write') => Trouble): StateStore {
  async function call<T>(kind: 'read' | 'write', act: () => Promise<T>): Promise<T> {
    const trouble = next(kind)
    if (trouble === 'unavailable' || (trouble === 'lost' && kind === 'read')) throw new StateUnavailable('trouble')
    if (typeof trouble === 'object' && 'before' in trouble) await clock.sleep(trouble.before)
    const answer = await act()
    if (typeof trouble === 'object' && 'after' in trouble) await clock.sleep(trouble.after)
    if (trouble === 'lost') throw new StateUnknown('the answer was lost')
    return answer
  }
  return {
    ...base,
    get: (...a) => call('read', () => base.get(...a)),
    list: (...a) => call('read', () => base.list(...a)),
    peek: (...a) => call('read', () => base.peek(...a)),
    commit: (...a) => call(a[2]?.dry ? 'read' : 'write', () => base.commit(...a)),
    claim: (...a) => call('write', () => base.claim(...a)),
  }
}
