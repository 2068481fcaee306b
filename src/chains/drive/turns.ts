import { absorb, absorbCancel } from '../decide/absorb.ts'
import { Turn } from '../decide/turn.ts'
import { windDown } from '../decide/wind-down.ts'
import { restsUntil } from '../model/due.ts'
import { noneCame, readCame, readInbox } from '../model/inbox.ts'
import type { Loaded } from '../model/loaded.ts'
import { groupTask, hasEnded, isStraggler, type Run, taskOf } from '../model/run.ts'
import { CANCEL_AT, commitTurn, RUN_AT, SIGNAL_AT } from './commit.ts'
import type { Driver, Driving } from './driver.ts'
import { persevere } from './persevere.ts'

const FIRST_WAIT_MS = 20
const LONGEST_WAIT_MS = 1000

/** May look things up first; asked again when what it saw has moved. */
export type Decide = (turn: Turn) => void | Promise<void>

/** What is being acted on here, as far as a decision asks. */
export interface Aloft {
  keys(): Iterable<string>
  readonly resumed: Set<string>
  /** Attempts under way are let finish; what they wait for in between is not. `key` left out: all. */
  stop(key?: string): void
  /** Whatever is under way is somebody else's now, or nobody's. */
  lose(): void
}

/** The commits of one execution under one claim, one after another, and what is known of it after the last. */
export class Turns {
  readonly #tools: Driver
  readonly #how: Driving
  readonly #aloft: Aloft
  at: Loaded
  /** The claim has ended, or is another's: nothing more is done here. */
  over = false
  /** There are messages that have not been looked at. */
  mail: boolean
  /** When the inbox was read last. Milliseconds. */
  readAt: number
  /** The signal that had come last when the inbox was read; undefined: that was not asked. */
  #came: string | null | undefined
  /** The inbox must be read before it is looked at; what was loaded is as good. */
  #stale = false
  /** The last commit had no room for all there was to do. */
  #isCut: boolean
  #last: Promise<unknown> = Promise.resolve()

  constructor(tools: Driver, loaded: Loaded, how: Driving, aloft: Aloft) {
    this.#tools = tools
    this.#how = how
    this.#aloft = aloft
    this.at = loaded
    this.#isCut = mayBeCut(loaded.run)
    this.mail = loaded.inbox.length > 0 || this.#isCut
    this.readAt = tools.env.clock.now()
  }

  /**
   * Decides, and commits what that comes to; decided again where something moved meanwhile. `landing`: the key of what has ended
   * its being acted on with this.
   */
  take(decide: Decide, landing?: string): Promise<void> {
    return this.#next(() => this.#decided(decide, landing))
  }
  /** Between two commits: what is begun now, no turn has decided without. Undefined: it is over. */
  between<T>(act: () => T): Promise<T | undefined> {
    return this.#next(async () => (this.over ? undefined : act()))
  }
  /** There may be messages. */
  look(): void {
    this.mail = true
    this.#stale = true
  }
  /** Acts on what others have said. */
  absorb(): Promise<void> {
    return this.#next(async () => {
      this.mail = false
      if (this.#stale) await this.#readInbox()
      const isCut = this.#isCut
      this.#isCut = false
      if (!this.over && (isCut || this.at.inbox.length > 0)) await this.#decided(absorb)
    })
  }
  /** Asks the store as often as it takes. Undefined: the claim is lost, and it is over. */
  async ask<T>(read: (doubt: boolean) => Promise<T>): Promise<{ readonly answer: T } | undefined> {
    const got = await persevere(this.#tools.env, this.#how.lease.lost, read)
    if (!got) this.end()
    return got
  }
  end(): void {
    this.over = true
    this.#aloft.lose()
  }

  #next<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#last.then(act)
    this.#last = done.catch(() => undefined)
    return done
  }
  async #readInbox(): Promise<void> {
    const { state, env } = this.#tools
    this.readAt = env.clock.now()
    const { scope, run } = this.at
    const got = await this.ask(async () => ({
      came: run.open.some((t) => t.signal !== undefined) ? await readCame(state, scope, run.id) : undefined,
      inbox: await readInbox(state, scope, run.id),
    }))
    if (!got) return
    this.#came = got.answer.came
    this.at = { ...this.at, inbox: got.answer.inbox }
  }

  async #decided(decide: Decide, landing?: string): Promise<void> {
    const { state, env } = this.#tools
    const { lease, places, stopping } = this.#how
    let signalled = false
    for (let wait = FIRST_WAIT_MS; !this.over; ) {
      const acting = new Set(this.#aloft.keys())
      const { at } = this
      const resumed = this.#aloft.resumed
      const holds = stopping() || places.isOutside(at.run)
      const turn = new Turn(this.#tools, at, env.clock.now(), { acting, holds, resumed })
      absorbCancel(turn)
      if (signalled) absorb(turn)
      if (landing !== undefined) acting.delete(landing)
      await decide(turn)
      if (this.over) return
      windDown(turn)
      if (turn.events.length === 0 && turn.ops.length === 0 && turn.inbox === at.inbox) return
      const rests = stopping() ? turn.now : restsUntil(turn.run, at.chain, turn.now)
      const dueAt = acting.size > 0 || turn.isCut ? undefined : (turn.givesBack ?? rests)
      const given = givesUp(turn)
      if (given && this.#came === undefined) {
        signalled = true
        await this.#readInbox()
        continue
      }
      const none = given ? noneCame(at.run.id, this.#came ?? null) : undefined
      const written = await commitTurn({ state, env, places, lease }, turn, dueAt, none)
      if (written.kind === 'done') {
        if (none) this.#came = null
        return this.#settled(turn, dueAt)
      }
      if (written.kind === 'lost' || written.at === RUN_AT || lease.lost.aborted) {
        env.log.warn({ chain_id: at.run.id }, 'an execution has another owner now; this one stops')
        return this.end()
      }
      // One that was sent in time is taken before the wait for it is given up.
      if (none && written.at === SIGNAL_AT) signalled = true
      if (written.at === CANCEL_AT || signalled) await this.#readInbox()
      else {
        // Others have moved what this looked up (a lock, a place); it is looked up anew.
        await env.clock.sleep(wait, lease.lost)
        wait = Math.min(wait * 2, LONGEST_WAIT_MS)
      }
    }
  }

  #settled(turn: Turn, dueAt: number | undefined): void {
    const { run, results, records, members, inbox, undos } = turn
    this.at = { ...this.at, run, results, records, members, inbox, undos }
    if (turn.isCut) {
      this.#isCut = true
      this.mail = true
    }
    for (const child of turn.born) this.#tools.born(turn.children.get(child)!)
    for (const { id } of turn.orphans) this.#tools.poke(id)
    for (const key of this.#aloft.keys()) if (isUnwanted(run, key)) this.#aloft.stop(key)
    for (const key of this.#aloft.resumed) if (!taskOf(run, key)) this.#aloft.resumed.delete(key)
    // They hear of it at once, those too that nobody drives at this moment.
    if (turn.orphans.length > 0) this.#tools.woke()
    if (hasEnded(run) || dueAt !== undefined) this.left(false, dueAt)
  }
  /** The claim has ended with what was written; it is due then, if it has not ended. */
  left(others: boolean, dueAt?: number): void {
    this.end()
    const { poke, woke, rests } = this.#tools
    const { run } = this.at
    if (dueAt !== undefined) rests(dueAt)
    if (run.parent && hasEnded(run)) poke(run.parent.id)
    // What came after the inbox was read is acted on at once, by whoever claims it.
    if (others || this.mail || run.parent || run.lock) woke()
    void this.#how.places.left()
  }
}

/** It waits no longer for a signal that has not come. */
const givesUp = ({ from, run, events }: Turn): boolean =>
  from.run.open.some(
    (t) =>
      t.signal !== undefined &&
      !run.open.some((o) => o.key === t.key && o.iteration === t.iteration && o.signal === t.signal) &&
      !events.some((e) => e.type === 'signalled' && e.step === t.key),
  )

/** It was ending, or a group of it was, when another stopped driving it. */
const mayBeCut = (run: Run): boolean => run.cause !== undefined || run.open.some((t) => t.group?.stopped !== undefined)

/** Nothing waits for its success any more: an attempt under way is let finish, and there is no other. */
function isUnwanted(run: Run, key: string): boolean {
  if (run.status === 'compensating') return false
  const task = taskOf(run, key)
  if (run.cause || !task) return true
  return isStraggler(run, task) || groupTask(run, task)?.group?.stopped !== undefined
}
