import { joinParts } from '../core/ids.ts'
import type { Op } from '../core/state.ts'
import { type Quota, windowAt } from './quota.ts'

/** One quota an action counts against, with what a refusal tells. */
export interface CountedQuota {
  readonly name: string
  readonly limit: number
  readonly warn: boolean
  /** Milliseconds. */
  readonly startsAt: number
  readonly resetsAt: number
  /** State id of the counter. */
  readonly counterId: string
}
export interface CountOps {
  /** In order of the quotas' names. */
  readonly ops: readonly Op[]
  /** One per op. */
  readonly quotas: readonly CountedQuota[]
}
export const NOTHING_COUNTED: CountOps = { ops: [], quotas: [] }

/** Counters outlive their window, so that a node whose clock is behind still finds the old one and never begins it again. */
const KEPT_MS = 3_600_000

/** The quotas of one scope and provider: their windows and ops are made once a window, not once a dispatch. */
export class Counting {
  readonly #quotas: readonly Quota[]
  #made: CountOps = NOTHING_COUNTED
  #from = 0
  #until = 0

  /** `quotas` sorted by name. */
  constructor(quotas: readonly Quota[]) {
    this.#quotas = quotas
  }

  at(now: number, n: number): CountOps {
    if (now < this.#from || now >= this.#until) this.#make(now)
    if (n === 1) return this.#made
    return { quotas: this.#made.quotas, ops: this.#made.quotas.map((q) => countOp(q, n)) }
  }

  #make(now: number): void {
    const quotas = this.#quotas.map((q) => countedAt(q, now))
    this.#made = { quotas, ops: quotas.map((q) => countOp(q, 1)) }
    this.#from = Math.max(...quotas.map((q) => q.startsAt))
    this.#until = Math.min(...quotas.map((q) => q.resetsAt))
  }
}

export function countedAt(quota: Quota, now: number): CountedQuota {
  const { id, startsAt, resetsAt } = windowAt(quota, now)
  // The provider belongs to the counter: a quota moved to another provider begins anew there.
  const counterId = joinParts(['quota', quota.name, quota.provider ?? '', id])
  return { name: quota.name, limit: quota.maxActions, warn: quota.overage === 'warn', startsAt, resetsAt, counterId }
}

const countOp = (q: CountedQuota, by: number): Op => ({
  op: 'count',
  id: q.counterId,
  by,
  ...(!q.warn && { limit: q.limit }),
  expiresAt: q.resetsAt + KEPT_MS,
})
