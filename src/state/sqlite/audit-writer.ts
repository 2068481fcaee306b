import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { AuditRow } from '../../core/audit.ts'
import { scopeText, toSql } from './text.ts'
import type { Undo } from './undo.ts'

const orNull = (text: string | undefined | null) => (text == null ? null : toSql(text))

/** What is kept of a row: its keys, and the record. JSON text has no lone surrogates, so it is kept as it is. */
export type KeptRow = Pick<AuditRow, 'id' | 'scope' | 'actionId' | 'chainId' | 'json'>

/** Audit rows of the running transaction. */
export class AuditWriter {
  readonly #undo: Undo
  readonly #rows: KeptRow[] = []
  readonly #insert: StatementSync
  readonly #purge: StatementSync
  constructor(db: DatabaseSync, undo: Undo) {
    this.#undo = undo
    this.#insert = db.prepare(`INSERT OR IGNORE INTO audit (scope, id, action_id, chain_id, json) VALUES (?,?,?,?,?)`)
    this.#purge = db.prepare(`DELETE FROM audit WHERE scope = ?1 AND id IN
      (SELECT id FROM audit WHERE scope = ?1 AND id < ?2 ORDER BY id LIMIT ?3)`)
  }
  add(row: KeptRow): void {
    this.#rows.push(row)
    this.#undo.push(() => this.#rows.pop())
  }
  flush(): void {
    for (const r of this.#rows)
      this.#insert.run(toSql(scopeText(r.scope)), r.id, toSql(r.actionId), orNull(r.chainId), r.json)
    this.#rows.length = 0
  }
  forget(): void {
    this.#rows.length = 0
  }
  /** Deletes up to `limit` rows of the scope with smaller ids, oldest first. */
  purge(scope: string, below: string, limit: number): number {
    return Number(this.#purge.run(toSql(scope), below, limit).changes)
  }
}
