import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { toSql } from './text.ts'

/** Pages given back to the file system at a time: a small bite, between commits. */
const VACUUM_PAGES = 256

/** What is kept of a file beside its commits. Its statements are made when it is first tidied. */
export class Tidying {
  readonly #db: DatabaseSync
  #made: ReturnType<typeof statements> | undefined

  constructor(db: DatabaseSync) {
    this.#db = db
  }
  get #sql() {
    this.#made ??= statements(this.#db)
    return this.#made
  }

  /** Deletes up to `limit` expired rows; answers how many. They were absent to every reader before. */
  sweep(now: number, limit: number): number {
    const { expired, cells } = this.#sql
    const rows = expired.all(now, limit)
    if (rows.length > 0) this.#remove(rows)
    const left = limit - rows.length
    return rows.length + (left > 0 ? Number(cells.run(now, left).changes) : 0)
  }
  #remove(rows: ReturnType<StatementSync['all']>): void {
    const remove = this.#db.prepare('DELETE FROM entry WHERE kind = ? AND scope = ? AND id = ?')
    const untag = this.#db.prepare('DELETE FROM tag WHERE kind = ? AND scope = ? AND tag = ? AND id = ?')
    for (const { kind, scope, id, tags } of rows) {
      if (tags != null) {
        const list = JSON.parse(String(tags)) as string[]
        for (const tag of list) untag.run(kind!, scope!, toSql(tag), id!)
      }
      remove.run(kind!, scope!, id!)
    }
  }

  /** Shrinks the file when over a quarter of it is free; less than that is soon used again. Outside a transaction. */
  giveBackPages(): void {
    const free = numberOf(this.#sql.free)
    if (free > VACUUM_PAGES && free * 4 > numberOf(this.#sql.pages))
      this.#db.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`)
  }
}

const statements = (db: DatabaseSync) => ({
  expired: db.prepare('SELECT kind, scope, id, tags FROM entry WHERE expires_at <= ? ORDER BY expires_at LIMIT ?'),
  cells: db.prepare(`DELETE FROM cell WHERE (shape, scope, id) IN
      (SELECT shape, scope, id FROM cell WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`),
  free: db.prepare('PRAGMA freelist_count'),
  pages: db.prepare('PRAGMA page_count'),
})
/** The one value of a pragma. */
const numberOf = (pragma: StatementSync): number => Number(Object.values(pragma.get() ?? {})[0])
