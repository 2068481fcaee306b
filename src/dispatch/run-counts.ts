import type { Scope } from '../core/action.ts'
import type { Log } from '../core/env.ts'
import type { LimitName } from '../core/outcome.ts'
import type { RunLimit } from '../core/plan.ts'
import { overText } from './hot.ts'

/**
 * The runs that a limit only warns of, counted in the memory of this node. Nothing is refused by them, so they cost no commit
 * anything, and a restart may forget them.
 */
export interface RunCounts {
  /** The count of this limit in this scope; asked before the commit, counted after it. */
  of(scope: Scope, limit: RunLimit): RunCount
  /** Runs that were admitted. `now` in milliseconds. */
  ran(counts: readonly RunCount[], now: number): void
}
export interface RunCount {
  /** What one more run is warned of; undefined within the limit. */
  warning(now: number): string | undefined
}

export interface RunCountsDeps {
  readonly log: Log
  /** A run over a limit. */
  readonly warned: (rule: string, limit: LimitName) => void
}

const SLOTS = 100
/** Counts in one generation; the one before is kept as well, so that what is in use is never forgotten. */
const GENERATION = 4096
/** Between two log lines about one rule. */
const LOG_EVERY_MS = 60_000

export function runCounts({ log, warned }: RunCountsDeps): RunCounts {
  let young = new Generation()
  let old = new Generation()
  const told = new Map<string, { at: number; since: number }>()

  function tell({ scope, limit }: Counter, now: number): void {
    const { rule } = limit
    warned(rule, limit.limit)
    const last = told.get(rule) ?? { at: Number.NEGATIVE_INFINITY, since: 0 }
    told.set(rule, last)
    last.since++
    if (now - last.at < LOG_EVERY_MS) return
    const about = { rule, namespace: scope[0], tenant: scope[1], limit: limit.limit, runs_over: last.since }
    log.warn(about, overText(limit))
    last.at = now
    last.since = 0
  }

  return {
    of(scope, limit) {
      const known = young.get(scope, limit.id)
      // Another object of the same id: the limit was changed.
      if (known?.limit === limit || (known && same(known.limit, limit))) return known
      const kept = old.get(scope, limit.id)
      const counter = kept && same(kept.limit, limit) ? kept : new Counter(scope, limit)
      if (young.size >= GENERATION) {
        old = young
        young = new Generation()
      }
      young.set(scope, limit.id, counter)
      return counter
    },
    ran(counts, now) {
      for (const c of counts as readonly Counter[]) {
        if (c.isOver(now)) tell(c, now)
        c.add(now)
      }
    },
  }
}
const same = (a: RunLimit, b: RunLimit): boolean => a.count === b.count && a.windowMs === b.windowMs

/**
 * A ring of hundredths of the window. The one under way and the 99 before it are looked at: a little less than the window, so that a
 * rule within its limit is never warned of.
 */
class Counter implements RunCount {
  readonly scope: Scope
  readonly limit: RunLimit
  readonly #slots = new Uint32Array(SLOTS)
  #at = 0
  #total = 0
  #text: string | undefined

  constructor(scope: Scope, limit: RunLimit) {
    this.scope = scope
    this.limit = limit
  }
  warning(now: number): string | undefined {
    if (!this.isOver(now)) return undefined
    this.#text ??= `hot: ${overText(this.limit)}`
    return this.#text
  }
  isOver(now: number): boolean {
    this.#moveTo(now)
    return this.#total >= this.limit.count
  }
  add(now: number): void {
    this.#moveTo(now)
    this.#slots[this.#at % SLOTS]!++
    this.#total++
  }
  #moveTo(now: number): void {
    const at = Math.floor((now * SLOTS) / this.limit.windowMs)
    if (at <= this.#at) return // a clock that went back counts where it stood
    if (at - this.#at >= SLOTS) {
      this.#slots.fill(0)
      this.#total = 0
    } else
      for (let i = this.#at + 1; i <= at; i++) {
        this.#total -= this.#slots[i % SLOTS]!
        this.#slots[i % SLOTS] = 0
      }
    this.#at = at
  }
}

/** Nested, because a joined key would have to be built on every dispatch. */
class Generation {
  size = 0
  readonly #counters = new Map<string, Map<string, Map<string, Counter>>>()

  get([namespace, tenant]: Scope, id: string): Counter | undefined {
    return this.#counters.get(id)?.get(namespace)?.get(tenant)
  }
  set([namespace, tenant]: Scope, id: string, counter: Counter): void {
    const namespaces = this.#counters.get(id) ?? new Map<string, Map<string, Counter>>()
    this.#counters.set(id, namespaces)
    const tenants = namespaces.get(namespace) ?? new Map<string, Counter>()
    namespaces.set(namespace, tenants)
    if (!tenants.has(tenant)) this.size++
    tenants.set(tenant, counter)
  }
}
