import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Shape } from '../decide/shapes.ts'
import { owned } from '../decide/text.ts'
import type { Undo } from '../decide/undo.ts'
import { toSql } from './text.ts'

interface Cell<T> {
  readonly scope: string
  readonly id: string
  value: T | undefined
  /** The expiry in the row, which may be later than the value's; undefined = no expiry. */
  rowExpiry: number | undefined
  stored: boolean
  dirty: boolean
}

/** Decoded cells kept across transactions: the writer is the only one, so what it remembers is what is there. */
const KEPT = 4096

/**
 * Cells of one shape. Changes are made in memory and written once a transaction, however many commits of the batch touched the
 * cell: this is what makes a hot counter cheap.
 */
export class Cells<T> {
  readonly #shape: Shape<T>
  readonly #undo: Undo
  #cells = new Map<string, Cell<T>>()
  readonly #dirty: Cell<T>[] = []
  /** The one asked for last: an op looks at what it then changes. */
  #last: Cell<T> | undefined
  readonly #select: StatementSync
  readonly #insert: StatementSync
  readonly #update: StatementSync
  readonly #updateState: StatementSync
  readonly #delete: StatementSync
  constructor(db: DatabaseSync, shape: Shape<T>, undo: Undo) {
    this.#shape = shape
    this.#undo = undo
    const at = `shape = ${shape.no} AND scope = ? AND id = ?`
    this.#select = db.prepare(`SELECT state, expires_at FROM cell WHERE ${at}`)
    this.#insert = db.prepare(`INSERT INTO cell (shape, state, expires_at, scope, id) VALUES (${shape.no}, ?, ?, ?, ?)`)
    this.#update = db.prepare(`UPDATE cell SET state = ?, expires_at = ? WHERE ${at}`)
    this.#updateState = db.prepare(`UPDATE cell SET state = ? WHERE ${at}`)
    this.#delete = db.prepare(`DELETE FROM cell WHERE ${at}`)
  }

  #cell(scope: string, id: string): Cell<T> {
    const last = this.#last
    if (last !== undefined && last.id === id && last.scope === scope) return last
    const key = scope + id // a scope's text says where it ends
    let cell = this.#cells.get(key)
    if (cell === undefined) {
      const row = this.#select.get(toSql(scope), toSql(id))
      cell = {
        scope: owned(scope),
        id: owned(id),
        value: row === undefined ? undefined : this.#shape.decode(row.state!),
        rowExpiry: row?.expires_at == null ? undefined : Number(row.expires_at),
        stored: row !== undefined,
        dirty: false,
      }
      this.#cells.set(key, cell)
    }
    this.#last = cell
    return cell
  }
  get(scope: string, id: string): T | undefined {
    return this.#cell(scope, id).value
  }
  /** Replaces the value; undone with the commit. A value that was changed in place is set to itself, with `undo` to change it back. */
  set(scope: string, id: string, value: T | undefined, undo?: () => void): void {
    const cell = this.#cell(scope, id)
    const was = cell.value
    cell.value = value
    this.#undo.push(() => {
      undo?.()
      cell.value = was
    })
    if (!cell.dirty) {
      cell.dirty = true
      this.#dirty.push(cell)
    }
  }

  flush(): void {
    for (const cell of this.#dirty) {
      this.#write(cell)
      cell.dirty = false
    }
    this.#dirty.length = 0
  }
  #write(cell: Cell<T>): void {
    const scope = toSql(cell.scope)
    const id = toSql(cell.id)
    if (cell.value === undefined) {
      if (cell.stored) this.#delete.run(scope, id)
      cell.stored = false
      return
    }
    const state = this.#shape.encode(cell.value)
    const needed = this.#shape.expiresAt(cell.value)
    // The indexed expiry moves only when the row would be swept too early: a hot window moves its end all the time.
    const kept = cell.rowExpiry === undefined ? needed === undefined : needed !== undefined && needed <= cell.rowExpiry
    if (cell.stored && kept) this.#updateState.run(state, scope, id)
    else {
      cell.rowExpiry = needed === undefined ? undefined : needed + SLACK_MS
      const write = cell.stored ? this.#update : this.#insert
      write.run(state, cell.rowExpiry ?? null, scope, id)
    }
    cell.stored = true
  }

  /** Ends a transaction that was committed. */
  settle(): void {
    if (this.#cells.size > KEPT) this.#drop()
  }
  /** The transaction is void: nothing remembered can be trusted. */
  forget(): void {
    this.#drop()
    this.#dirty.length = 0
  }
  #drop(): void {
    this.#cells = new Map()
    this.#last = undefined
  }
}

/** Rows outlive their value by a minute, so that a window in use rarely moves its expiry. */
const SLACK_MS = 60_000
