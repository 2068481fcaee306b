import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { type Depth, type Entry, PAGE_CHARS, type Page, type Peeked } from '../../core/state.ts'
import type { Answer } from '../batching.ts'
import { BUFFER } from '../decide/ops/buffers.ts'
import { entryOf } from '../decide/row.ts'
import { bufferShape, counterShape, windowShape } from '../decide/shapes.ts'
import { prune } from '../decide/window.ts'
import { AuditReads, type ScanCall, seekScopes } from './audit-reads.ts'
import { rowOf } from './entries.ts'
import { say } from './failure.ts'
import { itemOf, SELECT_ITEMS } from './items.ts'
import { fromSql, toSql } from './text.ts'
import { type FollowCall, Trail } from './trail.ts'

export interface ListCall {
  readonly kind: string
  readonly scope: string
  readonly tag?: string | undefined
  readonly limit: number
  readonly after?: string | undefined
  readonly descending?: boolean | undefined
}
export type Read =
  | readonly ['get', keys: readonly (readonly [kind: string, scope: string, id: string])[]]
  | readonly ['list', ListCall]
  | readonly ['peek', what: 'count' | 'admit' | 'buffer', scope: string, ids: readonly string[]]
  | readonly ['scopes', kind: string, after: string | undefined, limit: number]
  | readonly ['depths']
  | readonly ['auditPage', ScanCall]
  | readonly ['auditScopes', after: string | undefined, limit: number]
  | readonly ['auditFollow', FollowCall]

/** Everything that is read and not decided on: each call is one short statement or page, and leaves no iterator open. */
export class Reads {
  readonly #db: DatabaseSync
  readonly #audit: AuditReads
  readonly #trail: Trail
  readonly #statements = new Map<string, StatementSync>()
  constructor(db: DatabaseSync) {
    this.#db = db
    this.#audit = new AuditReads((sql) => this.#sql(sql))
    this.#trail = new Trail((sql) => this.#sql(sql))
  }
  #sql(sql: string): StatementSync {
    let s = this.#statements.get(sql)
    if (s === undefined) {
      s = this.#db.prepare(sql)
      this.#statements.set(sql, s)
    }
    return s
  }

  run(call: Read, now: number): unknown {
    switch (call[0]) {
      case 'get':
        return call[1].map(([kind, scope, id]) => this.#get(kind, scope, id, now) ?? null)
      case 'list':
        return this.#list(call[1], now)
      case 'peek':
        return call[3].map((id) => this.#peek[call[1]](call[2], id, now) ?? null)
      case 'scopes':
        return seekScopes((at) => this.#sql(NEXT_SCOPE).get(call[1], at), call[2], call[3])
      case 'depths':
        return this.#depths(now)
      case 'auditPage':
        return this.#audit.page(call[1])
      case 'auditScopes':
        return this.#audit.scopes(call[1], call[2])
      case 'auditFollow':
        return this.#trail.follow(call[1])
    }
  }

  #get(kind: string, scope: string, id: string, now: number): Entry | undefined {
    const found = this.#sql(`SELECT * FROM entry WHERE kind = ? AND scope = ? AND id = ? AND ${LIVE}`).get(
      kind,
      toSql(scope),
      toSql(id),
      now,
    )
    return found && entryOf(kind, scope, id, rowOf(found), now)
  }

  #list(c: ListCall, now: number): Page {
    const [than, order] = c.descending ? ['<', 'DESC'] : ['>', 'ASC']
    const from = c.tag === undefined ? 'entry' : 'tag JOIN entry USING (kind, scope, id)'
    const key = c.tag === undefined ? 'entry' : 'tag'
    const where = [`${key}.kind = ?`, `${key}.scope = ?`]
    const args: SQLInputValue[] = [c.kind, toSql(c.scope)]
    if (c.tag !== undefined) {
      where.push('tag.tag = ?')
      args.push(toSql(c.tag))
    }
    if (c.after !== undefined) {
      where.push(`${key}.id ${than} ?`)
      args.push(toSql(c.after))
    }
    args.push(now, c.limit + 1)
    const entries: Entry[] = []
    let chars = 0
    for (const r of this.#sql(
      `SELECT entry.* FROM ${from} WHERE ${where.join(' AND ')} AND ${LIVE} ORDER BY ${key}.id ${order} LIMIT ?`,
    ).iterate(...args)) {
      // Leaving the loop ends the statement.
      if (entries.length === c.limit || chars >= PAGE_CHARS) return { entries, next: entries.at(-1)!.key.id }
      const entry = entryOf(c.kind, c.scope, fromSql(r['id']), rowOf(r), now)
      entries.push(entry)
      chars += entry.value.length
    }
    return { entries }
  }

  readonly #peek = {
    count: (scope: string, id: string, now: number): Peeked | undefined => {
      const c = this.#cell(counterShape, scope, id)
      return c && c.expiresAt > now ? { n: c.n, expiresAt: c.expiresAt } : undefined
    },
    admit: (scope: string, id: string, now: number): Peeked | undefined => {
      const w = this.#cell(windowShape, scope, id)
      if (w === undefined) return undefined
      prune(w, now)
      return { n: w.total }
    },
    buffer: (scope: string, id: string): Peeked | undefined => {
      const b = this.#cell(bufferShape, scope, id)
      if (b === undefined || b.n === 0) return undefined
      const rows = this.#sql(SELECT_ITEMS).all(toSql(scope), toSql(id))
      const value = this.#sql('SELECT value FROM entry WHERE kind = ? AND scope = ? AND id = ?').get(
        BUFFER,
        toSql(scope),
        toSql(id),
      )
      return {
        n: b.n,
        bytes: b.bytes,
        ...(b.dueAt === undefined ? {} : { dueAt: b.dueAt }),
        value: fromSql(value?.value),
        items: rows.map(itemOf),
      }
    },
  }
  #cell<T>(shape: { no: number; decode(s: SQLOutputValue): T }, scope: string, id: string): T | undefined {
    const row = this.#sql('SELECT state FROM cell WHERE shape = ? AND scope = ? AND id = ?').get(
      shape.no,
      toSql(scope),
      toSql(id),
    )
    return row && shape.decode(row.state!)
  }

  #depths(now: number): Depth[] {
    return this.#sql(`SELECT kind, count(*) AS waiting, sum(due_at <= ?) AS due, min(due_at) AS oldest
      FROM entry WHERE due_at IS NOT NULL GROUP BY kind`)
      .all(now)
      .map((r) => ({
        kind: String(r.kind),
        waiting: Number(r.waiting),
        due: Number(r.due),
        oldestDueAt: Number(r.oldest),
      }))
  }
}
const NEXT_SCOPE = 'SELECT scope FROM entry WHERE kind = ? AND scope > ? ORDER BY scope LIMIT 1'
const LIVE = '(expires_at IS NULL OR expires_at > ?)'

/** An answer as text: each call's is its own, so that one that is too long for any text spoils no other. */
export function answerText(reads: Reads, call: Read, now: number): string {
  try {
    return JSON.stringify(answerOf(reads, call, now))
  } catch (e) {
    return JSON.stringify([1, say(e)] satisfies Answer)
  }
}
export function answerOf(reads: Reads, call: Read, now: number): Answer {
  try {
    return [0, reads.run(call, now)]
  } catch (e) {
    return [1, say(e)]
  }
}
