import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { Passing } from '../../core/passing.ts'
import { NO_TAGS, type Row, unexpired } from '../decide/row.ts'
import { owned } from '../decide/text.ts'
import type { Undo } from '../decide/undo.ts'
import { fromSql, toSql } from './text.ts'

interface Slot {
  readonly kind: string
  readonly scope: string
  readonly id: string
  row: Row | undefined
  /** What the file has; the slot is written when it is not the same object. */
  stored: Row | undefined
  /** The row that may be remembered: its texts are its own. */
  readonly own: Row | undefined
  /** The file was not asked yet what it has: there most likely is none. What the row is to be made of it then. */
  unread?: Unread | undefined
}
interface Unread {
  readonly now: number
  readonly made: (was: Row | undefined) => Row
}

const COLUMNS = 'version, value, tags, due_at, expires_at, owner, number, until, woken, attempts'

/**
 * Work under a claim is written again soon, by the one who has the claim: such rows are remembered beyond their transaction, so many of
 * them and up to so many characters each. The writer is the only one who changes them.
 */
const KEPT = 2048
const KEPT_CHARACTERS = 16_384

/** The entries touched by the running transaction, each read once and written once. */
export class Entries {
  readonly #undo: Undo
  #slots = new Map<string, Slot>()
  /** From transactions before, by the same keys; oldest first. */
  readonly #kept = new Passing<string, Slot>()
  readonly #touched: Slot[] = []
  /** The one asked for last: an op looks at what it then changes. */
  #last: Slot | undefined
  readonly #select: StatementSync
  readonly #upsert: StatementSync
  readonly #note: StatementSync
  readonly #say: StatementSync
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
    this.#note = db.prepare(`INSERT OR IGNORE INTO entry (kind, scope, id, version, value, expires_at, woken, attempts)
      VALUES (?,?,?,?,?,?,0,0)`)
    this.#say = db.prepare('UPDATE entry SET version = ?, value = ?, tags = ? WHERE kind = ? AND scope = ? AND id = ?')
    this.#delete = db.prepare('DELETE FROM entry WHERE kind = ? AND scope = ? AND id = ?')
    this.#tag = db.prepare('INSERT OR IGNORE INTO tag (kind, scope, tag, id) VALUES (?,?,?,?)')
    this.#untag = db.prepare('DELETE FROM tag WHERE kind = ? AND scope = ? AND tag = ? AND id = ?')
  }

  #slot(kind: string, scope: string, id: string): Slot {
    const last = this.#last
    if (last !== undefined && last.id === id && last.scope === scope && last.kind === kind) return last
    const key = keyOf(kind, scope, id)
    let slot = this.#slots.get(key)
    if (slot === undefined) {
      slot = this.#kept.get(key)
      if (slot === undefined) {
        const row = this.#read(kind, scope, id)
        slot = { kind, scope, id, row, stored: row, own: undefined }
      }
      this.#slots.set(key, slot)
    } else if (slot.unread !== undefined) this.#catchUp(slot, slot.unread)
    this.#last = slot
    return slot
  }
  #read(kind: string, scope: string, id: string): Row | undefined {
    const found = this.#select.get(kind, toSql(scope), toSql(id))
    return found && rowOf(found)
  }
  #catchUp(slot: Slot, { now, made }: Unread): void {
    slot.unread = undefined
    slot.stored = this.#read(slot.kind, slot.scope, slot.id)
    slot.row = made(unexpired(slot.stored, now))
    if (slot.row.dueAt !== undefined) this.onDue(slot.kind, slot.scope, slot.row.dueAt)
  }
  /** The row if it has not expired. */
  live(kind: string, scope: string, id: string, now: number): Row | undefined {
    return unexpired(this.#slot(kind, scope, id).row, now)
  }
  /** A note is written without a look: one that stands in its place already is read then. */
  replace(kind: string, scope: string, id: string, now: number, made: (was: Row | undefined) => Row): void {
    const key = keyOf(kind, scope, id)
    const row = this.#slots.has(key) || this.#kept.has(key) ? undefined : made(undefined)
    if (row === undefined || !isNote(row)) {
      this.set(kind, scope, id, made(this.live(kind, scope, id, now)))
      return
    }
    const slot: Slot = { kind, scope, id, row, stored: undefined, own: undefined, unread: { now, made } }
    this.#slots.set(key, slot)
    this.#touched.push(slot)
    this.#undo.push(() => {
      slot.row = slot.stored
      slot.unread = undefined
      this.#slots.delete(key)
      if (this.#last === slot) this.#last = undefined
    })
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
      if (slot.unread !== undefined) {
        if (this.#addNote(slot, slot.row!)) {
          slot.unread = undefined
          slot.stored = slot.row
        } else this.#catchUp(slot, slot.unread)
      }
      if (slot.row === slot.stored) continue
      this.#write(slot)
      slot.stored = slot.row
    }
    this.#touched.length = 0
  }
  /** False: there is one already. */
  #addNote({ kind, scope, id }: Slot, { version, value, expiresAt }: Row): boolean {
    const { changes } = this.#note.run(kind, toSql(scope), toSql(id), toSql(version), toSql(value), expiresAt ?? null)
    return changes === 1
  }
  #write(slot: Slot): void {
    const { kind, row, stored } = slot
    if (stored === undefined && row !== undefined && isNote(row)) {
      if (!this.#addNote(slot, row)) throw new Error(`a ${kind} that was not there is`)
      return
    }
    const scope = toSql(slot.scope)
    const id = toSql(slot.id)
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
    const [version, value] = [toSql(row.version), toSql(row.value)]
    const list = tags.length === 0 ? null : JSON.stringify(tags)
    if (stored !== undefined && isSaidAnew(stored, row)) this.#say.run(version, value, list, kind, scope, id)
    else
      this.#upsert.run(
        kind,
        scope,
        id,
        version,
        value,
        list,
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
  /** Ends a transaction that was committed. */
  settle(): void {
    for (const [key, slot] of this.#slots) {
      const own = keepable(slot)
      if (own !== undefined) this.#kept.set(key, own)
      else if (this.#kept.size > 0) this.#kept.delete(key)
    }
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT) break
      this.#kept.delete(oldest)
    }
    this.#end()
  }
  /** The transaction is void, or the file was changed beside it: nothing remembered can be trusted. */
  forget(): void {
    this.#kept.clear()
    this.#end()
  }
  #end(): void {
    // Anew, see `Passing`: a batch is all that is in it.
    if (this.#slots.size > 0) this.#slots = new Map()
    this.#last = undefined
    this.#touched.length = 0
  }
}

/** The slot with texts of its own, not slices of a batch; undefined where it is not kept. */
function keepable(slot: Slot): Slot | undefined {
  const { row } = slot
  if (row?.claim === undefined || row.value.length > KEPT_CHARACTERS) return undefined
  if (row === slot.own) return slot
  const { claim } = row
  const own: Row = {
    ...row,
    version: owned(row.version),
    value: owned(row.value),
    tags: row.tags.map(owned),
    claim: { ...claim, owner: owned(claim.owner) },
  }
  return { kind: owned(slot.kind), scope: owned(slot.scope), id: owned(slot.id), row: own, stored: own, own }
}

/** Only there to be found, as the key of every deduplicated action is: half the values to bind, and nothing in its place to ask for. */
const isNote = (r: Row): boolean =>
  r.dueAt === undefined && r.claim === undefined && r.tags.length === 0 && !r.woken && r.attempts === 0

/** When it is due and who has it are as they were, and so is every index but those of its tags. */
const isSaidAnew = (was: Row, row: Row): boolean =>
  was.dueAt === row.dueAt &&
  was.expiresAt === row.expiresAt &&
  was.claim?.owner === row.claim?.owner &&
  was.claim?.number === row.claim?.number &&
  was.claim?.until === row.claim?.until &&
  was.woken === row.woken &&
  was.attempts === row.attempts

const keyOf = (kind: string, scope: string, id: string): string => `${kind.length}:${kind}${scope}${id}`

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
