import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type Claimed, PAGE_CHARS } from '../../core/state.ts'
import { entryOf } from '../decide/row.ts'
import { owned } from '../decide/text.ts'
import type { Tx } from '../decide/tx.ts'
import { fromSql, toSql } from './text.ts'

export interface ClaimCall {
  readonly kind: string
  readonly owner: string
  readonly leaseMs: number
  readonly limit: number
  readonly perScope?: number | undefined
}
interface Turn {
  readonly scope: string
  ids: string[]
  /** There may be more due ones in the file than fetched. */
  more: boolean
}

/**
 * Takes due entries: oldest first within a scope, turns between scopes.
 *
 * In memory: per kind, the scopes with waiting entries and a lower bound of their earliest due time. A bound that is too low costs
 * one query and is then corrected, so commits only ever lower it and nothing here needs undoing; asking when nothing
 * is due costs no query at all, and a scope with a million due entries hides no other.
 */
export class Claims {
  readonly #bounds = new Map<string, Map<string, number>>()
  /** The scope served last, by kind: the next round begins behind it. */
  readonly #last = new Map<string, string>()
  readonly #asked: [kind: string, scope: string][] = []
  readonly #due: StatementSync
  readonly #next: StatementSync
  constructor(db: DatabaseSync) {
    this.#due = db.prepare(`SELECT id FROM entry INDEXED BY entry_due
      WHERE kind = ? AND scope = ? AND due_at <= ? ORDER BY due_at, id LIMIT ? OFFSET ?`)
    this.#next = db.prepare('SELECT min(due_at) AS due FROM entry WHERE kind = ? AND scope = ? AND due_at IS NOT NULL')
    const waiting = db.prepare(
      'SELECT kind, scope, min(due_at) AS due FROM entry WHERE due_at IS NOT NULL GROUP BY kind, scope',
    )
    for (const r of waiting.all()) this.lower(String(r.kind), fromSql(r.scope), Number(r.due))
  }

  /** An entry is due then. */
  lower(kind: string, scope: string, dueAt: number): void {
    let scopes = this.#bounds.get(kind)
    if (scopes === undefined) {
      scopes = new Map()
      this.#bounds.set(owned(kind), scopes)
    }
    const bound = scopes.get(scope)
    if (bound === undefined) scopes.set(owned(scope), dueAt)
    else if (dueAt < bound) scopes.set(scope, dueAt)
  }
  /** Not later than the first due time of the kind. */
  next(kind: string): number | undefined {
    let first: number | undefined
    for (const bound of this.#bounds.get(kind)?.values() ?? []) if (first === undefined || bound < first) first = bound
    return first
  }
  #correct(kind: string, scope: string): void {
    const next = this.#next.get(kind, toSql(scope))?.due
    if (next == null) this.#bounds.get(kind)?.delete(scope)
    else this.#bounds.get(kind)?.set(scope, Number(next))
  }

  /** `tx` must be flushed: what is due is asked of the file. */
  claim(tx: Tx, call: ClaimCall, now: number): Claimed[] {
    const turns = this.#candidates(call.kind, now)
    if (turns.length === 0 || call.limit <= 0) return []
    const picked = this.#pick(turns, call, now)
    const claimed: Claimed[] = []
    let chars = 0
    let last = ''
    for (const [scope, id] of picked) {
      if (chars >= PAGE_CHARS) break
      last = scope
      const row = tx.entries.live(call.kind, scope, id, now)
      if (row === undefined) continue
      const claim = { owner: call.owner, number: tx.nextNumber(), until: now + call.leaseMs }
      const next = { ...row, claim, dueAt: claim.until, woken: false, attempts: row.attempts + 1 }
      tx.entries.set(call.kind, scope, id, next)
      claimed.push({ ...entryOf(call.kind, scope, id, next, now), claim })
      chars += next.value.length
    }
    this.#last.set(call.kind, last)
    return claimed
  }
  /** After COMMIT: the bounds of the scopes asked have come and gone, and are read anew. */
  settle(): void {
    for (const [kind, scope] of this.#asked) this.#correct(kind, scope)
    this.#asked.length = 0
  }
  /** The transaction is void: what was due still is. */
  forget(): void {
    this.#asked.length = 0
  }

  #candidates(kind: string, now: number): Turn[] {
    const scopes: string[] = []
    for (const [scope, bound] of this.#bounds.get(kind) ?? []) if (bound <= now) scopes.push(scope)
    scopes.sort()
    const last = this.#last.get(kind) ?? ''
    const from = scopes.findIndex((s) => s > last)
    const order = from <= 0 ? scopes : [...scopes.slice(from), ...scopes.slice(0, from)]
    return order.map((scope) => ({ scope, ids: [], more: true }))
  }
  /** One of each scope in turn, until the limit is reached or nothing is due. */
  #pick(turns: readonly Turn[], call: ClaimCall, now: number): [scope: string, id: string][] {
    const perScope = Math.min(call.perScope ?? call.limit, call.limit)
    const picked: [string, string][] = []
    const chunk = Math.ceil(call.limit / turns.length)
    let active = [...turns]
    for (let round = 0; round < perScope && active.length > 0; round++) {
      for (const turn of active) {
        if (turn.ids.length <= round && turn.more) this.#fetch(turn, call.kind, now, Math.min(chunk, perScope - round))
        const id = turn.ids[round]
        if (id === undefined) continue
        picked.push([turn.scope, id])
        if (picked.length === call.limit) return picked
      }
      active = active.filter((t) => t.ids.length > round)
    }
    return picked
  }
  #fetch(turn: Turn, kind: string, now: number, n: number): void {
    if (turn.ids.length === 0) this.#asked.push([kind, turn.scope])
    const rows = this.#due.all(kind, toSql(turn.scope), now, n, turn.ids.length)
    for (const r of rows) turn.ids.push(fromSql(r.id))
    turn.more = rows.length === n
  }
}
