import type { AuditFollow, AuditFollowed, AuditStore } from '../../core/audit.ts'
import { Bell } from '../../core/bell.ts'
import type { Env } from '../../core/env.ts'
import { type Shown, shownOf } from './shown.ts'

export interface TailLimits {
  /** Records of one look. */
  readonly page: number
  /** Characters of JSON of one look. */
  readonly pageChars: number
  /** Records, and characters of their JSON, kept for all followers together. */
  readonly keep: number
  readonly keepChars: number
  /** How often the trail is looked at for what other nodes have recorded, milliseconds. */
  readonly everyMs: number
  /** How long records are let gather after one was recorded here, milliseconds. */
  readonly gatherMs: number
}
export const TAIL_LIMITS: TailLimits = {
  page: 500,
  pageChars: 250_000,
  keep: 5_000,
  keepChars: 4_000_000,
  everyMs: 500,
  gatherMs: 20,
}

/**
 * The end of the audit trail, read once for all who follow it on this node, and only while somebody does.
 *
 * Records are counted as they come; the last of them are kept. `[first, end)` are the numbers of those that are, `before` is the
 * position that comes before the first.
 */
export class Tail {
  readonly #audit: Pick<AuditStore, 'follow'>
  readonly #env: Env
  readonly #limits: TailLimits
  readonly #followers = new Set<Bell>()
  readonly #bell = new Bell()
  #running: Promise<void> | undefined
  #idle = new AbortController()
  #kept: Shown[] = []
  #chars = 0
  #before: string | undefined
  /** Where the trail ends, as it was said last. */
  #position: string | undefined
  #first = 0

  constructor(audit: Pick<AuditStore, 'follow'>, env: Env, limits: TailLimits = TAIL_LIMITS) {
    this.#audit = audit
    this.#env = env
    this.#limits = limits
  }

  /** The first number at hand. */
  get first(): number {
    return this.#first
  }
  get end(): number {
    return this.#first + this.#kept.length
  }
  get position(): string | undefined {
    return this.#position
  }
  /** Something was recorded on this node. Nothing happens where nobody follows. */
  recorded(): void {
    if (this.#followers.size > 0) this.#bell.ring()
  }
  get followed(): boolean {
    return this.#followers.size > 0
  }
  /** The bell rings when the end has moved. Answers the way to leave. */
  join(bell: Bell): () => void {
    this.#followers.add(bell)
    if (this.#followers.size === 1) this.#idle = new AbortController()
    this.#running ??= this.#run()
    return () => {
      if (this.#followers.delete(bell) && this.#followers.size === 0) this.#idle.abort()
    }
  }
  /** Resolves when nothing is read any more; everybody has left. */
  async stopped(): Promise<void> {
    await this.#running
  }

  /** One look at the trail; for followers that are behind, too. Rejects as the store does. */
  follow(at: Pick<AuditFollow, 'after' | 'scope'>): Promise<AuditFollowed> {
    return this.#audit.follow({ ...at, limit: this.#limits.page, maxChars: this.#limits.pageChars })
  }
  /** Records from a number on that is not below `first`. */
  from(number: number): readonly Shown[] {
    const at = number - this.#first
    const shown: Shown[] = []
    let chars = 0
    for (let i = at; i < this.#kept.length && shown.length < this.#limits.page && chars < this.#limits.pageChars; i++) {
      const next = this.#kept[i]!
      shown.push(next)
      chars += next.chars
    }
    return shown
  }
  /** The earliest place to go on at, for who is too far behind. */
  get start(): { readonly number: number; readonly position: string } | undefined {
    if (this.#before !== undefined) return { number: this.#first, position: this.#before }
    const kept = this.#kept[0]
    return kept && { number: this.#first + 1, position: kept.position }
  }
  /** The number of what comes after a position, if that is at hand. */
  after(position: string): number | undefined {
    const at = this.#kept.findLastIndex((s) => s.position === position)
    if (at >= 0) return this.#first + at + 1
    if (position === this.#position) return this.end
    return position === this.#before ? this.#first : undefined
  }

  async #run(): Promise<void> {
    const { clock } = this.#env
    let failures = 0
    while (this.followed) {
      const idle = this.#idle.signal
      this.#bell.answer()
      try {
        const more = await this.#look()
        failures = 0
        if (more) continue
      } catch (e) {
        if (failures++ === 0) this.#env.log.warn({ err: e }, 'the audit cannot be followed; streams wait for it')
        // No bell: it would be rung by every dispatch of a node whose audit is away.
        await clock.sleep(this.#limits.everyMs, idle)
        continue
      }
      await this.#bell.sleep(clock, this.#limits.everyMs, idle)
      await clock.sleep(this.#limits.gatherMs, idle)
    }
    this.#forget()
    this.#running = undefined
  }

  /** Whether there is more already. */
  async #look(): Promise<boolean> {
    const after = this.#position
    const page = await this.follow({ after })
    // Whose records they were that are gone, each follower asks for itself.
    if (page.missed !== undefined) this.#forget()
    this.#position = page.next
    if (this.#kept.length === 0 && page.rows.length === 0) this.#before = page.next
    for (const row of page.rows) {
      const shown = shownOf(row)
      this.#kept.push(shown)
      this.#chars += shown.chars
    }
    this.#cut()
    // A first look too: what came since a follower looked for itself lies before it.
    const moved = page.rows.length > 0 || page.missed !== undefined || after === undefined
    if (moved) for (const bell of [...this.#followers]) bell.ring()
    return page.more
  }
  #cut(): void {
    let cut = 0
    for (const { chars } of this.#kept) {
      if (this.#kept.length - cut <= this.#limits.keep && this.#chars <= this.#limits.keepChars) break
      this.#chars -= chars
      cut++
    }
    if (cut === 0) return
    this.#before = this.#kept[cut - 1]?.position
    this.#kept = this.#kept.slice(cut)
    this.#first += cut
  }
  /** Numbers go on, and one is left out: nobody is at the end any more, each has to look for itself. */
  #forget(): void {
    this.#first = this.end + 1
    this.#before = undefined
    this.#position = undefined
    this.#kept = []
    this.#chars = 0
  }
}
