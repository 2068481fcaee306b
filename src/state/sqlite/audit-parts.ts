import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { fromSql } from './text.ts'

/** Records of a part before the next one begins: an index of some twenty pages, which a busy writer has in its cache. */
const FULL = 4096

interface Part {
  readonly number: number
  /** It holds ids from here, */
  readonly first: string
  /** of which this is the greatest, */
  last: string
  /** and there are so many. */
  rows: number
}
/** Where one record's action is found. */
interface Placed {
  readonly seq: number
  readonly id: string
  /** As text. */
  readonly scope: string
  readonly actionId: string
}

/**
 * The index of the audit by action. Ids of actions come at random (UUID version 4), and a B-tree of all of them writes a page for each:
 * a third of what a dispatch cost. So the index is cut into parts by the ids of the records, which sort by time: only the newest
 * part grows, and it is small. Whoever looks for an action asks each part, newest first (one seek each: two thousand for ten million
 * records). Within a part an action is known by a number made of it: 14 bytes a record in place of a hundred; that two may have the same
 * number is for the reader to see. (The idea is that of time-partitioned tables, and of the runs of a log-structured merge tree.)
 *
 * 1 The ids of one part are all before those of the next, so parts in their order and ids within are ids in order.
 * 2 A part that is full takes what is not after its greatest id all the same; so does an older one what comes late.
 * 3 What is remembered here is void with the transaction it was learned in (`forget`).
 */
export class AuditParts {
  readonly #newestPart: StatementSync
  readonly #grown: StatementSync
  readonly #begin: StatementSync
  readonly #at: StatementSync
  readonly #insert: StatementSync
  readonly #delete: StatementSync
  readonly #end: StatementSync
  /** The one with the greatest ids; undefined: not asked yet. */
  #newest: Part | undefined
  readonly #full: number
  constructor(db: DatabaseSync, full = FULL) {
    this.#full = full
    this.#newestPart = db.prepare('SELECT first, part FROM audit_part ORDER BY first DESC LIMIT 1')
    this.#grown = db.prepare(`SELECT count(*) AS n, max(a.id) AS last FROM audit_action x
      CROSS JOIN audit a ON a.seq = x.seq WHERE x.part = ?`)
    this.#begin = db.prepare(`INSERT INTO audit_part (first, part)
      SELECT ?, coalesce(max(part), 0) + 1 FROM audit_part RETURNING part`)
    this.#at = db.prepare('SELECT part FROM audit_part WHERE first <= ? ORDER BY first DESC LIMIT 1')
    this.#insert = db.prepare('INSERT INTO audit_action (part, hash, seq) VALUES (?,?,?)')
    this.#delete = db.prepare('DELETE FROM audit_action WHERE part = ? AND hash = ? AND seq = ?')
    this.#end = db.prepare(`DELETE FROM audit_part WHERE part = ?1
      AND NOT EXISTS (SELECT 1 FROM audit_action WHERE part = ?1)`)
  }

  add({ seq, id, scope, actionId }: Placed): void {
    this.#insert.run(this.#for(id), hashOf(scope, actionId), seq)
  }

  /** `rows` of one scope; parts that are left empty are no more. */
  remove(scope: string, rows: Iterable<Pick<Placed, 'seq' | 'id' | 'actionId'>>): void {
    const touched = new Set<number>()
    for (const { seq, id, actionId } of rows) {
      const part = this.#of(id)
      if (part === undefined) continue
      this.#delete.run(part, hashOf(scope, actionId), seq)
      touched.add(part)
    }
    for (const part of touched) this.#end.run(part)
    if (this.#newest !== undefined && touched.has(this.#newest.number)) this.forget()
  }

  forget(): void {
    this.#newest = undefined
  }

  #for(id: string): number {
    const newest = this.#newest ?? this.#look()
    if (id < newest.first) return this.#of(id) ?? this.#start('').number
    const part = newest.rows >= this.#full && id > newest.last ? this.#start(id) : newest
    part.rows++
    if (id > part.last) part.last = id
    return part.number
  }
  #look(): Part {
    const found = this.#newestPart.get()
    if (found === undefined) return this.#start('')
    const { n, last } = this.#grown.get(found['part']!) ?? {}
    const { first, part: number } = found
    this.#newest = { number: Number(number), first: fromSql(first), last: fromSql(last ?? first), rows: Number(n) }
    return this.#newest
  }
  #start(first: string): Part {
    const part = { number: Number(this.#begin.get(first)?.['part']), first, last: first, rows: 0 }
    if (this.#newest === undefined || first > this.#newest.first) this.#newest = part
    return part
  }
  #of(id: string): number | undefined {
    const part = this.#at.get(id)?.['part']
    return part === undefined ? undefined : Number(part)
  }
}

/** FNV-1a over UTF-16 units, 32 bits, signed as SQLite keeps it shortest. http://www.isthe.com/chongo/tech/comp/fnv/ */
export function hashOf(scope: string, actionId: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < scope.length; i++) h = Math.imul(h ^ scope.charCodeAt(i), 0x01000193)
  for (let i = 0; i < actionId.length; i++) h = Math.imul(h ^ actionId.charCodeAt(i), 0x01000193)
  return h | 0
}
