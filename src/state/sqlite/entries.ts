import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { NO_TAGS, type Row } from '../decide/row.ts'
import type { Undo } from '../decide/undo.ts'
import { fromSql, toSql } from './text.ts'

interface Slot {
  readonly kind: string
  readonly scope: string
  readonly id: string
  row: Row | undefined
  /** What the file has; the slot is written when it is not the same object. */
  stored: Row | undefined
}

const COLUMNS = 'version, value, tags, due_at, expires_at, owner, number, until, woken, attempts'

/** The entries touched by the running transaction, each read once and written once. */
export class Entries {
  readonly #undo: Undo
  readonly #slots = new Map<string, Slot>()
  readonly #touched: Slot[] = []
  /** The one asked for last: an op looks at what it then changes. */
  #last: Slot | undefined
  readonly #select: StatementSync
  readonly #upsert: StatementSync
  readonly #note: StatementSync
  readonly #delete: StatementSync
  readonly #tag: StatementSync
  readonly #untag: StatementSync
  /** Told of every due time set; may be told of one that is undone. */
  onDue: (kind: string, scope: string, dueAt: number) => void = () => {}

  constructor(db: DatabaseSync, undo: Undo) {
    this.#undo = undo
    this.#select = db.prepare(`SELECT ${COLUMNS} FROM entry WHERE kind = ? AND scope = ? AND id = ?`)
    this.#upsert = db.prepare(`INSERT INTO entry (kind, scope, id, ${COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
      ON CONFLICT DO UPDATE SET version=excluded.version, value=excluded.value, tags=excluded.tags, due_at=excluded.due_at,
      expires_at=excluded.expires_at, owner=excluded.owner, number=excluded.number, until=excluded.until, woken=excluded.woken,
      attempts=excluded.attempts`)
    this.#note = db.prepare(`INSERT INTO entry (kind, scope, id, version, value, expires_at, woken, attempts)
      VALUES (?,?,?,?,?,?,0,0)`)
    this.#delete = db.prepare('DELETE FROM entry WHERE kind = ? AND scope = ? AND id = ?')
    this.#tag = db.prepare('INSERT OR IGNORE INTO tag (kind, scope, tag, id) VALUES (?,?,?,?)')
    this.#untag = db.prepare('DELETE FROM tag WHERE kind = ? AND scope = ? AND tag = ? AND id = ?')
  }

  #slot(kind: string, scope: string, id: string): Slot {
    const last = this.#last
    if (last !== undefined && last.id === id && last.scope === scope && last.kind === kind) return last
    const key = `${kind.length}:${kind}${scope}${id}`
    let slot = this.#slots.get(key)
    if (slot === undefined) {
      const found = this.#select.get(kind, toSql(scope), toSql(id))
      const row = found && rowOf(found)
      slot = { kind, scope, id, row, stored: row }
      this.#slots.set(key, slot)
    }
    this.#last = slot
    return slot
  }
  /** The row if it has not expired. */
  live(kind: string, scope: string, id: string, now: number): Row | undefined {
    const { row } = this.#slot(kind, scope, id)
    return row !== undefined && (row.expiresAt === undefined || row.expiresAt > now) ? row : undefined
  }
  set(kind: string, scope: string, id: string, row: Row | undefined): void {
    const slot = this.#slot(kind, scope, id)
    const was = slot.row
    slot.row = row
    this.#touched.push(slot)
    this.#undo.push(() => {
      slot.row = was
    })
    if (row?.dueAt !== undefined) this.onDue(kind, scope, row.dueAt)
  }

  flush(): void {
    for (const slot of this.#touched) {
      if (slot.row === slot.stored) continue
      this.#write(slot)
      slot.stored = slot.row
    }
    this.#touched.length = 0
  }
  #write({ kind, scope: s, id: i, row, stored }: Slot): void {
    const scope = toSql(s)
    const id = toSql(i)
    const before = stored?.tags ?? NO_TAGS
    const after = row?.tags ?? NO_TAGS
    if (before !== after) {
      for (const tag of before) if (!after.includes(tag)) this.#untag.run(kind, scope, toSql(tag), id)
    }
    if (row === undefined) {
      this.#delete.run(kind, scope, id)
      return
    }
    const { claim, tags } = row
    if (stored === undefined && isNote(row)) {
      this.#note.run(kind, scope, id, toSql(row.version), toSql(row.value), row.expiresAt ?? null)
      return
    }
    this.#upsert.run(
      kind,
      scope,
      id,
      toSql(row.version),
      toSql(row.value),
      tags.length === 0 ? null : JSON.stringify(tags),
      row.dueAt ?? null,
      row.expiresAt ?? null,
      claim === undefined ? null : toSql(claim.owner),
      claim?.number ?? null,
      claim?.until ?? null,
      row.woken ? 1 : 0,
      row.attempts,
    )
    for (const tag of tags) if (!before.includes(tag)) this.#tag.run(kind, scope, toSql(tag), id)
  }
  /** Between transactions nothing is remembered: entries are many and seldom asked for twice. */
  forget(): void {
    this.#slots.clear()
    this.#last = undefined
    this.#touched.length = 0
  }
}

/** Only there to be found, as the key of every deduplicated action is: half the values to bind, and nothing in its place to ask for. */
const isNote = (r: Row): boolean =>
  r.dueAt === undefined && r.claim === undefined && r.tags.length === 0 && !r.woken && r.attempts === 0

type Found = Record<string, SQLOutputValue>
const time = (v: SQLOutputValue | undefined): number | undefined => (v == null ? undefined : Number(v))

export function rowOf(r: Found): Row {
  const number = time(r.number)
  return {
    version: fromSql(r.version),
    value: fromSql(r.value),
    tags: r.tags == null ? NO_TAGS : (JSON.parse(String(r.tags)) as string[]),
    dueAt: time(r.due_at),
    expiresAt: time(r.expires_at),
    claim: number === undefined ? undefined : { owner: fromSql(r.owner), number, until: time(r.until) ?? 0 },
    woken: r.woken === 1,
    attempts: Number(r.attempts),
  }
}
