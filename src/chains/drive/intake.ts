import type { Scope } from '../../core/action.ts'
import type { Env } from '../../core/env.ts'
import { kinds } from '../../core/hold.ts'
import { joinParts } from '../../core/ids.ts'
import { Gathering, Passing } from '../../core/passing.ts'
import type { Entry, StateStore } from '../../core/state.ts'
import { keepLease, LEASE_MS } from '../../delivery/lease.ts'
import type { Held } from '../chains.ts'
import { type Loaded, load, readRun } from '../model/loaded.ts'
import { hasEnded, type Run } from '../model/run.ts'
import { createAlarm } from './alarm.ts'
import { drive } from './drive.ts'
import type { Driver } from './driver.ts'
import { createHandle, type Handle } from './handle.ts'
import type { Newborn } from './newborn.ts'
import { AHEAD_MS, Places, turnOf } from './places.ts'
import { type Seat, Seats } from './seats.ts'

/** Executions in memory at most: of those begun here, which are driven at once, more are left to the store. */
const MOST_DRIVEN = 10_000
/** How old what is known of the next one due may be. */
const ASK_AGAIN_MS = 5000
/** Due, and not to be had: it is asked for again so soon. */
const SOON_MS = 1000
/** How long a node that has handed something back, as it lacks what that needs, lets others go first. */
const SHY_MS = 60_000

export interface IntakeDeps {
  readonly state: StateStore
  readonly env: Env
  readonly owner: string
  readonly newborn: Newborn
  /** Executions at their providers at once. */
  readonly seats: () => number
  readonly tools: () => Driver
}

/** Which executions this node drives, and when. */
export interface Intake {
  /** Drives one that was born, or brought back, claimed by this node. Never rejects. */
  begin(scope: Scope, id: string, held?: Held): Promise<void>
  /** Claims what is due as far as there are seats; resolves to how many, before they have ended. Never rejects. */
  pull(): Promise<number>
  /** An execution was put down, and is due then. Milliseconds. */
  rests(dueAt: number): void
  /** What this node has just handed back is better done by another. */
  lacked(): void
  poke(id: string): void
  /** What nobody awaits: `stop` does. */
  track(p: Promise<unknown>): void
  readonly free: number
  readonly driven: number
  stop(): Promise<void>
}

export function createIntake({ state, env, owner, newborn, seats: total, tools }: IntakeDeps): Intake {
  const { clock } = env
  const active = new Passing<string, { readonly handle: Handle; readonly done: Promise<void> }>()
  const loose = new Gathering<Promise<unknown>>()
  const seats = new Seats(total, serve)
  const alarm = createAlarm(clock, () => track(pull()))
  let stopping = false
  /** There is more in the store than there was room for. */
  let backlog = false
  /** By turns, with those that wait here. */
  let storesTurn = false
  let pulling: Promise<number> | undefined
  let again = false
  let askedAt = Number.NEGATIVE_INFINITY
  let lackedAt = Number.NEGATIVE_INFINITY

  function track(p: Promise<unknown>): void {
    void p.finally(loose.enter(p))
  }

  async function begin(scope: Scope, id: string, held?: Held): Promise<void> {
    try {
      const known = newborn.take(id)
      if (known && held) return await take({ kind: kinds.run, scope, id }, held, { known, run: known.run })
      const [entry] = await state.get([{ kind: kinds.run, scope, id }])
      // Gone on without us: somebody else has it.
      if (entry?.claim?.owner !== owner || (held && entry.claim.number !== held.number)) return
      await take(entry.key, entry.claim, { ...(known && { known }), run: readRun(entry.value) })
    } catch (err) {
      env.log.error({ chain_id: id, err }, 'an execution could not be begun; it is due again when its claim runs out')
    }
  }

  /** Drives one claimed execution. Never rejects. */
  function take(key: Entry['key'], claim: Held, what: Taken): Promise<void> {
    const { id } = key
    // Claimed anew by ourselves: the old driver has lost its claim and is about to notice.
    const old = active.get(id)
    if (old) return old.done.then(() => take(key, claim, what))
    const seat = what.seat ?? seats.seat(joinParts(key.scope), turnOf(what.run))
    if (stopping || (!what.seat && active.size >= MOST_DRIVEN)) {
      seat.leave()
      return giveBack(key, claim, what.run)
    }
    const handle = createHandle()
    const done = run(key, claim, what, handle, seat).finally(() => {
      active.delete(id)
      seat.leave()
    })
    active.set(id, { handle, done })
    return done
  }

  async function run(key: Entry['key'], claim: Held, what: Taken, handle: Handle, seat: Seat): Promise<void> {
    const driver = tools()
    const places = new Places(driver, key.scope, key.id, claim)
    const lease = keepLease({ state, clock }, key, claim, LEASE_MS, (until) => places.enter(until))
    try {
      if (hasEnded(what.run)) return
      const loaded = what.known ?? (await load(state, key.scope, what.run, driver.chainOf))
      if (!loaded) {
        env.log.error({ chain_id: key.id }, 'what an execution began with is gone, and so it cannot go on')
        return
      }
      const reach = (h: Parameters<Handle['attach']>[0]) => handle.attach(h)
      const fresh = what.known !== undefined
      await drive(driver, loaded, { lease, places, seat, fresh, stopping: () => stopping, reach })
    } catch (err) {
      // The claim is left to run out: that is the pause before another try, and the deadline ends the tries.
      env.log.error({ chain_id: key.id, err }, 'an execution could not go on; it is due again when its claim runs out')
    } finally {
      lease.stop()
    }
  }

  /** There is no room for it: due at once, for whoever has room first. */
  async function giveBack({ kind, scope, id }: Entry['key'], claim: Held, run: Run): Promise<void> {
    backlog ||= !stopping
    const dueAt = clock.now() - (stopping ? 0 : AHEAD_MS[run.priority])
    try {
      await state.commit(scope, [{ op: 'touch', kind, id, ifClaim: claim, dueAt }])
    } catch (err) {
      env.log.warn({ chain_id: id, err }, 'an execution could not be given back; it is due when its claim runs out')
    }
  }

  /** Who waits here for a seat and what waits in the store are served by turns. */
  function serve(): void {
    if (stopping) return
    while (seats.free > 0 && seats.waiting > 0 && !(backlog && storesTurn)) {
      storesTurn = backlog
      seats.grant()
    }
    if (backlog && seats.free > 0 && !pulling) track(pull())
  }

  function pull(): Promise<number> {
    // One at a time: what came meanwhile is seen by the next.
    if (pulling) {
      again = true
      return pulling
    }
    pulling = pullOnce().finally(() => {
      pulling = undefined
      if (again) {
        again = false
        track(pull())
      } else serve()
    })
    return pulling
  }
  async function pullOnce(): Promise<number> {
    if (stopping) return 0
    const { free } = seats
    const limit = seats.waiting > 0 ? Math.ceil(free / 2) : free
    if (limit === 0) {
      backlog = true
      return 0
    }
    const promised = seats.promise(limit)
    try {
      const due = await state.claim(kinds.run, { owner, leaseMs: LEASE_MS, limit })
      backlog = due.length === limit
      storesTurn = false
      for (const { key, claim, value } of due)
        track(take(key, claim, { run: readRun(value), seat: promised.seat(key.id) }))
      if (!backlog) track(setAlarm())
      return due.length
    } catch (err) {
      env.log.warn({ err }, 'executions that are due could not be claimed')
      return 0
    } finally {
      promised.settle()
    }
  }

  async function setAlarm(): Promise<void> {
    const now = clock.now()
    if (alarm.isSet && now - askedAt < ASK_AGAIN_MS) return
    askedAt = now
    try {
      const next = await state.nextDue(kinds.run)
      if (next === undefined) return
      const soonest = clock.now() - lackedAt < SHY_MS ? next + SOON_MS : next
      alarm.at(soonest > clock.now() ? soonest : clock.now() + SOON_MS)
    } catch (err) {
      env.log.warn({ err }, 'when the next execution is due could not be asked; the next look finds it')
    }
  }

  return {
    begin,
    pull,
    rests: alarm.at,
    lacked() {
      lackedAt = clock.now()
    },
    poke: (id) => active.get(id)?.handle.mail(),
    track,
    get free() {
      return stopping ? 0 : seats.free
    },
    get driven() {
      return active.size
    },
    async stop() {
      stopping = true
      alarm.stop()
      for (const a of active.values()) a.handle.stop()
      while (active.size + loose.size > 0) await Promise.all([...loose, ...[...active.values()].map((a) => a.done)])
    },
  }
}

interface Taken {
  readonly run: Run
  /** Just born or brought back here. */
  readonly known?: Loaded
  /** It was claimed for one. */
  readonly seat?: Seat
}
