import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { AuditOld, AuditPurged, AuditRow } from '../../core/audit.ts'
import type { Undo } from '../decide/undo.ts'
import { scopeText } from '../scope.ts'
import { AuditParts } from './audit-parts.ts'
import { fromSql, toSql } from './text.ts'

const orNull = (text: string | undefined | null) => (text == null ? null : toSql(text))

/** What is kept of a row: its keys, and the record. JSON text has no lone surrogates, so it is kept as it is, or as it crossed: in UTF-8. */
export interface KeptRow extends Pick<AuditRow, 'id' | 'scope' | 'actionId' | 'chainId'> {
  readonly json: string | Uint8Array
}

interface Looked {
  readonly looked: number
  readonly last: string | null
  readonly seq: number | null
}

/** Audit rows of the running transaction. */
export class AuditWriter {
  readonly #undo: Undo
  readonly #rows: KeptRow[] = []
  readonly #insert: StatementSync
  readonly #look: StatementSync
  readonly #remember: StatementSync
  readonly #purge: StatementSync
  readonly #parts: AuditParts
  /** `partRows`: see AuditParts. */
  constructor(db: DatabaseSync, undo: Undo, partRows?: number) {
    this.#undo = undo
    this.#insert = db.prepare(
      `INSERT OR IGNORE INTO audit (scope, id, action_id, chain_id, json) VALUES (?,?,?,?,CAST(? AS TEXT))`,
    )
    const old = `coalesce(json ->> '$.completed_at', '') < ?4`
    this.#look = db.prepare(`SELECT count(*) AS looked, max(id) AS last, max(seq) FILTER (WHERE old) AS seq FROM
      (SELECT id, seq, ${old} AS old FROM audit WHERE scope = ?1 AND id > ?2 AND id < ?3 ORDER BY id LIMIT ?5)`)
    this.#remember = db.prepare(`INSERT INTO audit_purged (scope, seq) VALUES (?,?)
      ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)`)
    this.#purge = db.prepare(`DELETE FROM audit WHERE scope = ?1 AND id > ?2 AND id <= ?3 AND ${old}
      RETURNING seq, id, action_id`)
    this.#parts = new AuditParts(db, partRows)
  }
  add(row: KeptRow): void {
    this.#rows.push(row)
    this.#undo.push(() => this.#rows.pop())
  }
  flush(): void {
    for (const r of this.#rows) {
      const scope = scopeText(r.scope)
      const done = this.#insert.run(toSql(scope), r.id, toSql(r.actionId), orNull(r.chainId), r.json)
      // Written before, it has its place.
      if (done.changes === 1)
        this.#parts.add({ seq: Number(done.lastInsertRowid), id: r.id, scope, actionId: r.actionId })
    }
    this.#rows.length = 0
  }
  forget(): void {
    this.#rows.length = 0
  }
  /** The transaction is void: so is what was learned of the index in it. */
  forgetParts(): void {
    this.#parts.forget()
  }
  /** The last number among those deleted stays known to those who follow. */
  purge(scope: string, { after = '', below, completedBefore }: AuditOld, looks: number): AuditPurged {
    this.flush()
    const text = toSql(scope)
    const { looked, last, seq } = this.#look.get(text, after, below, completedBefore, looks) as unknown as Looked
    let gone = 0
    if (seq !== null) {
      this.#remember.run(text, seq)
      const rows = this.#purge.all(text, after, last, completedBefore)
      this.#parts.remove(
        scope,
        rows.map((r) => ({ seq: Number(r['seq']), id: fromSql(r['id']), actionId: fromSql(r['action_id']) })),
      )
      gone = rows.length
    }
    return { gone, ...(last !== null && looked >= looks && { after: last }) }
  }
}
