import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { AuditRow } from '../../core/audit.ts'
import type { Undo } from '../decide/undo.ts'
import { scopeText } from '../scope.ts'
import { toSql } from './text.ts'

const orNull = (text: string | undefined | null) => (text == null ? null : toSql(text))

/** What is kept of a row: its keys, and the record. JSON text has no lone surrogates, so it is kept as it is, or as it crossed: in UTF-8. */
export interface KeptRow extends Pick<AuditRow, 'id' | 'scope' | 'actionId' | 'chainId'> {
  readonly json: string | Uint8Array
}

/** Audit rows of the running transaction. */
export class AuditWriter {
  readonly #undo: Undo
  readonly #rows: KeptRow[] = []
  readonly #insert: StatementSync
  readonly #remember: StatementSync
  readonly #purge: StatementSync
  constructor(db: DatabaseSync, undo: Undo) {
    this.#undo = undo
    this.#insert = db.prepare(
      `INSERT OR IGNORE INTO audit (scope, id, action_id, chain_id, json) VALUES (?,?,?,?,CAST(? AS TEXT))`,
    )
    this.#remember = db.prepare(`INSERT INTO audit_purged (scope, seq)
      SELECT ?1, max(seq) FROM (SELECT seq FROM audit WHERE scope = ?1 AND id < ?2 ORDER BY id LIMIT ?3) HAVING max(seq) IS NOT NULL
      ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)`)
    this.#purge = db.prepare(`DELETE FROM audit WHERE seq IN
      (SELECT seq FROM audit WHERE scope = ?1 AND id < ?2 ORDER BY id LIMIT ?3)`)
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
  /** Deletes up to `limit` rows of the scope with smaller ids, oldest first; the last number among them stays known to those who follow. */
  purge(scope: string, below: string, limit: number): number {
    this.flush()
    this.#remember.run(toSql(scope), below, limit)
    return Number(this.#purge.run(toSql(scope), below, limit).changes)
  }
}
