import type { Scope } from '../../core/action.ts'
import { Bell } from '../../core/bell.ts'
import type { Env } from '../../core/env.ts'
import { type Missed, type Shown, shownOf } from './shown.ts'
import type { Tail } from './tail.ts'

/** How far behind the end a follower that had come to it may fall, records: beyond that it is told what it missed and goes on nearer the end. */
export const MOST_BEHIND = 10_000
/** How long a follower waits when the store does not answer, milliseconds. */
const AGAIN_MS = 500

export interface Taken {
  readonly shown: readonly Shown[]
  readonly missed?: Missed
}
const NOTHING: Taken = { shown: [] }

/**
 * One place in the trail that moves on as its owner takes what comes next.
 *
 * 1 It holds a position and a number, never records: those of the end are the tail's, those before it are read when they are asked for.
 * 2 What comes after its position is given out once, in order, or told as missed.
 * 3 Whoever comes with an old position is shown everything since, however long that takes. Only who had come to the end is passed over.
 */
export class Follower {
  readonly #tail: Tail
  readonly #env: Env
  readonly #scope: Scope | undefined
  readonly #mostBehind: number
  readonly #bell = new Bell()
  readonly #left = new AbortController()
  readonly #leave: () => void
  #position: string
  /** The number in the tail of what comes next; undefined until it has come to the end once. */
  #number: number | undefined
  /** Whether that number is at hand in the tail, as far as is known. */
  #atEnd = false
  #told: string | undefined

  constructor(tail: Tail, env: Env, at: { position: string; scope: Scope | undefined }, mostBehind = MOST_BEHIND) {
    this.#tail = tail
    this.#env = env
    this.#position = at.position
    this.#scope = at.scope
    this.#mostBehind = mostBehind
    this.#leave = tail.join(this.#bell)
  }

  /** Up to here everything was given out or told. */
  get position(): string {
    return this.#position
  }
  get left(): boolean {
    return this.#left.signal.aborted
  }
  leave(): void {
    this.#left.abort()
    this.#leave()
  }

  /** What comes next; waits for it, but no longer than until the moment given (milliseconds since the epoch). Nothing once it has left. */
  async next(until: number): Promise<Taken> {
    const { clock, log } = this.#env
    while (!this.left) {
      this.#bell.answer()
      const taken = this.#here()
      if (taken !== undefined) return taken
      let wait = until - clock.now()
      if (!this.#atEnd)
        try {
          const { taken: read, more } = await this.#read()
          if (read.shown.length > 0 || read.missed !== undefined) return read
          // Nothing new, and now it may be at the end: what has come there meanwhile is at hand.
          if (more || (this.#atEnd && this.#number !== this.#tail.end)) continue
        } catch (e) {
          log.debug({ err: e }, 'a stream waits for the audit')
          wait = Math.min(wait, AGAIN_MS)
          if (wait > 0) await clock.sleep(wait, this.#left.signal)
        }
      wait = until - clock.now()
      if (wait <= 0) break
      await this.#bell.sleep(clock, wait, this.#left.signal)
    }
    return NOTHING
  }

  /** What the tail has for it; undefined: nothing yet, or it has to read by itself. */
  #here(): Taken | undefined {
    const { first, end, start } = this.#tail
    if (this.#number === undefined) return undefined
    if (this.#number < first) this.#atEnd = false
    if (!this.#atEnd) {
      if (end - this.#number <= this.#mostBehind || start === undefined) return undefined
      const missed = {
        reason: 'slow',
        after: this.#position,
        until: start.position,
        records: start.number - this.#number,
      } as const
      this.#position = start.position
      this.#number = start.number
      this.#atEnd = true
      return { shown: [], missed }
    }
    if (this.#number >= end) {
      // The end may be said anew: who idles for days is where it is now, not where it was.
      if (this.#number === end) this.#position = this.#tail.position ?? this.#position
      return undefined
    }
    const shown = this.#tail.from(this.#number)
    this.#number += shown.length
    this.#position = shown.at(-1)!.position
    return { shown }
  }

  /** The next page of the trail itself, and whether that has brought it to what the tail has. */
  async #read(): Promise<{ readonly taken: Taken; readonly more: boolean }> {
    const after = this.#position
    const page = await this.#tail.follow({ after, ...(this.#scope !== undefined && { scope: this.#scope }) })
    const shown = page.rows.map(shownOf)
    this.#position = page.next
    const number = this.#tail.after(page.next)
    if (number !== undefined) this.#number = number
    else if (this.#number !== undefined) this.#number += shown.length
    this.#atEnd = number !== undefined
    const missed = this.#missed(after, page.next, page.missed)
    return { taken: { shown, ...(missed && { missed }) }, more: page.more }
  }
  #missed(
    after: string,
    next: string,
    missed: { why: 'unknown' } | { why: 'purged'; upTo: string } | undefined,
  ): Missed | undefined {
    if (missed === undefined) return undefined
    if (missed.why === 'unknown') return { reason: 'unknown_position', after, until: next }
    // Told once for each time something was deleted, not with each page read on the way.
    if (missed.upTo === this.#told) return undefined
    this.#told = missed.upTo
    return { reason: 'purged', after, until: missed.upTo }
  }
}
