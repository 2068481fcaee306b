import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { AuditFollow, AuditFollowed } from '../../core/audit.ts'
import { fromSql, toSql } from './text.ts'

export type FollowCall = Omit<AuditFollow, 'scope'> & { readonly scope: string | undefined }

/**
 * The audit in the order of its commits. There is one writer, so numbers are given in the order in which they become visible. A
 * position is the number, and when the file began: in another file, or a new one in its place, it would be the number of something else.
 */
export class Trail {
  readonly #sql: (sql: string) => StatementSync
  #began: number | undefined
  constructor(sql: (sql: string) => StatementSync) {
    this.#sql = sql
  }

  follow({ after, limit, maxChars, scope }: FollowCall): AuditFollowed {
    if (after === undefined) return { rows: [], next: this.#position(this.#last()), more: false }
    const from = this.#number(after)
    if (from === undefined)
      return { rows: [], next: this.#position(this.#last()), more: false, missed: { why: 'unknown' } }
    // One moment: rows read before a purge, and that purge, would look like rows missed.
    this.#sql('BEGIN').run()
    try {
      return this.#page(after, from, { limit, maxChars, scope })
    } finally {
      this.#sql('COMMIT').run()
    }
  }

  #page(after: string, from: number, { limit, maxChars, scope }: Omit<FollowCall, 'after'>): AuditFollowed {
    const rows: { position: string; json: string }[] = []
    let chars = 0
    let more = false
    for (const row of this.#sql('SELECT seq, json FROM audit WHERE seq > ? ORDER BY seq LIMIT ?').iterate(
      from,
      limit + 1,
    )) {
      more = rows.length === limit || chars >= maxChars
      if (more) break // which ends the statement
      const json = fromSql(row['json'])
      rows.push({ position: this.#position(Number(row['seq'])), json })
      chars += json.length
    }
    const upTo = this.#purged(from, scope)
    return {
      rows,
      next: rows.at(-1)?.position ?? after,
      more,
      ...(upTo !== undefined && { missed: { why: 'purged', upTo: this.#position(upTo) } }),
    }
  }

  /** The last number given, of a row that may be gone. */
  #last(): number {
    return Number(this.#sql("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").get()?.['seq'] ?? 0)
  }
  /** The last row deleted after a number. */
  #purged(from: number, scope: string | undefined): number | undefined {
    const upTo =
      scope === undefined
        ? this.#sql('SELECT max(seq) AS seq FROM audit_purged').get()
        : this.#sql('SELECT seq FROM audit_purged WHERE scope = ?').get(toSql(scope))
    const seq = Number(upTo?.['seq'] ?? 0)
    return seq > from ? seq : undefined
  }
  #start(): number {
    this.#began ??= Number(this.#sql("SELECT n FROM meta WHERE name = 'began'").get()?.['n'])
    return this.#began
  }
  #position(seq: number): string {
    return `${this.#start().toString(36)}-${seq}`
  }
  #number(position: string): number | undefined {
    const [, began, digits] = /^([0-9a-z]+)-(\d{1,15})$/.exec(position) ?? []
    const seq = Number(digits)
    return began === this.#start().toString(36) && seq <= this.#last() ? seq : undefined
  }
}

/** Numbers left out at each start: what a power cut took from a file that is not `synchronous = full` had numbers that somebody may have seen. */
const SKIPPED = 1_000_000

/** When a process takes the file: positions of an older file, or of what this one has lost, never stand for other rows. */
export function beginTrail(db: DatabaseSync, now: number): void {
  db.prepare("INSERT OR IGNORE INTO meta (name, n) VALUES ('began', ?)").run(now)
  db.prepare("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'audit'").run(SKIPPED)
}

/** A copy that takes the place of a store goes another way from here: positions of the one never stand for rows of the other. */
export function forkTrail(db: DatabaseSync, now: number): void {
  db.prepare("UPDATE meta SET n = max(n + 1, ?) WHERE name = 'began'").run(now)
}
