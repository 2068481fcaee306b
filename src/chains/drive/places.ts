import type { Scope } from '../../core/action.ts'
import type { Env } from '../../core/env.ts'
import { kinds } from '../../core/hold.ts'
import { uuidv7Time } from '../../core/ids.ts'
import type { ClaimRef, Op, StateStore } from '../../core/state.ts'
import { LEASE_MS } from '../../delivery/lease.ts'
import { priorities } from '../model/definition.ts'
import { type Limit, limitsOf, parkedTag, type Run, runTags } from '../model/run.ts'
import { type InTurn, isBefore } from './seats.ts'

/*
 * Limits on how many executions are at work at once. An execution is inside of each of its limits while it begins and sends steps, and
 * outside while it waits for a time, a signal or another execution, and while it ends.
 *
 * 1 A place expires with the claim, so a dead node's are free when its executions are.
 * 2 Who finds none is parked in the line of the limit that was full, and of no other: so it hides nobody from the rest.
 * 3 The line is served by priority and age. Whoever leaves, takes a place or comes to the line looks whether the first in line could have
 *   one, and wakes it: between its own commit and that look nobody is missed.
 * 4 Whoever is parked looks by itself too, the first often, the others ever more seldom: a node may die between 3's two commits.
 */

/** Who is served first where there is room for some only: as if it had waited so much longer. So none waits for ever. */
export const AHEAD_MS = { high: 60_000, normal: 30_000, low: 0 } as const
const LOOK_AGAIN_MS = 600_000

export interface PlacesDeps {
  readonly state: StateStore
  readonly env: Env
  readonly maxPerScope: () => number | undefined
  /** Something else may be due now. */
  readonly woke: () => void
  /** It was put down, and is due then. Milliseconds. */
  readonly rests: (dueAt: number) => void
}

const slotId = (limit: string): string => `chain_slot:${limit}`
const holds = (limits: readonly Limit[], holder: string, until: number, max?: number): readonly Op[] =>
  limits.map((l) => ({ op: 'slot', id: slotId(l.id), holder, max: max ?? l.max, until }))

/** The places of one execution under one claim. */
export class Places {
  readonly #deps: PlacesDeps
  readonly #scope: Scope
  readonly #id: string
  readonly #claim: ClaimRef
  #inside: readonly Limit[] | undefined

  constructor(deps: PlacesDeps, scope: Scope, id: string, claim: ClaimRef) {
    this.#deps = deps
    this.#scope = scope
    this.#id = id
    this.#claim = claim
  }

  /** For a commit that goes on, and one that renews the claim: who is inside stays, even if its places ran out meanwhile. */
  enter(until: number): readonly Op[] {
    return holds(this.#inside ?? [], this.#id, until, Number.MAX_SAFE_INTEGER)
  }
  /** For a commit that ends the claim. */
  leave(): readonly Op[] {
    return holds(this.#inside ?? [], this.#id, 0)
  }
  /** That commit is durable. Never rejects. */
  async left(): Promise<void> {
    const inside = this.#inside ?? []
    this.#inside = undefined
    await this.#pass(inside)
  }

  /** It must take its places before it may begin anything. */
  isOutside(run: Run): boolean {
    return this.#inside === undefined && limitsOf(run, this.#deps.maxPerScope()).length > 0
  }
  /** Takes what it must be inside of. False: it is parked, or the claim is another's; the claim has ended either way. */
  async take(run: Run): Promise<boolean> {
    if (this.#inside) return true
    const { state, env, maxPerScope } = this.#deps
    const limits = limitsOf(run, maxPerScope())
    if (limits.length === 0) return true
    const lines = await Promise.all(limits.map((l) => this.#firstOf(l.id)))
    const behind = lines.findIndex((first) => first !== undefined && isBefore(first, turnOf(run)))
    let full = behind
    let retryAt: number | undefined
    if (behind < 0) {
      const until = env.clock.now() + LEASE_MS
      const claim = { owner: this.#claim.owner, until }
      const done = await state.commit(this.#scope, [{ ...this.#put(run), claim }, ...holds(limits, this.#id, until)])
      if (done.ok) {
        this.#inside = limits
        // Another place may be free: who is first now could have it.
        await this.#pass(limits.filter((_, i) => lines[i] !== undefined))
        return true
      }
      if (done.at === 0) return false
      full = done.at - 1
      retryAt = done.retryAt
    }
    await this.#park(run, limits[full]!, lines[full] === undefined ? { retryAt } : undefined)
    // A place may have become free since; and what it would have taken elsewhere is somebody else's now.
    await this.#pass(limits.filter((_, i) => i === full || lines[i] !== undefined))
    return false
  }

  async #park(run: Run, limit: Limit, first: { readonly retryAt: number | undefined } | undefined): Promise<void> {
    const { state, env, rests } = this.#deps
    const now = env.clock.now()
    const waited = Math.min(Math.max(now - run.startedAt, LEASE_MS), LOOK_AGAIN_MS)
    const looks = first ? Math.min(first.retryAt ?? Number.POSITIVE_INFINITY, now + LEASE_MS) : now + waited
    const ends = run.status === 'pending' ? Number.POSITIVE_INFINITY : run.deadline
    const tags = [...runTags(run), parkedTag(limit.id), parkedTag(limit.id, run.priority)]
    const dueAt = Math.max(Math.min(looks, ends), now + 1)
    await state.commit(this.#scope, [{ ...this.#put(run), tags, dueAt }])
    rests(dueAt)
  }
  #put(run: Run) {
    return {
      op: 'put',
      kind: kinds.run,
      id: run.id,
      value: JSON.stringify(run),
      version: this.#deps.env.newId(),
      tags: runTags(run),
      ifClaim: this.#claim,
    } as const
  }

  /** Wakes the first in each line that could have a place. A hint: see 4. */
  async #pass(limits: readonly Limit[]): Promise<void> {
    const { state, env, woke } = this.#deps
    try {
      for (const limit of limits) {
        const first = await this.#firstOf(limit.id)
        if (first === undefined) continue
        const place = holds([limit], first.id, env.clock.now() + LEASE_MS)
        if (!(await state.commit(this.#scope, place, { dry: true })).ok) continue
        await state.commit(this.#scope, [{ op: 'wake', kind: kinds.run, id: first.id }])
        woke()
      }
    } catch (err) {
      env.log.warn({ chain_id: this.#id, err }, 'who waits for a place looks again by itself')
    }
  }

  async #firstOf(limit: string): Promise<InTurn | undefined> {
    const read = async (tag: string) => {
      const page = await this.#deps.state.list(kinds.run, this.#scope, { tag, limit: 1 })
      return page.entries[0]?.key.id
    }
    if ((await read(parkedTag(limit))) === undefined) return undefined
    const ids = await Promise.all(priorities.map((p) => read(parkedTag(limit, p))))
    return priorities
      .flatMap((priority, i): InTurn[] => (ids[i] === undefined ? [] : [turnOf({ id: ids[i], priority })]))
      .reduce<InTurn | undefined>((a, b) => (a && !isBefore(b, a) ? a : b), undefined)
  }
}

export const turnOf = ({ id, priority }: Pick<Run, 'id' | 'priority'>): InTurn => ({
  id,
  since: uuidv7Time(id) - AHEAD_MS[priority],
})
