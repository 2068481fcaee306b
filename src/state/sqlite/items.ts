import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Item } from '../decide/tx.ts'
import type { Undo } from '../decide/undo.ts'
import { fromSql, toSql } from './text.ts'

/** What the running transaction has done to a buffer's items. */
interface Pending {
  readonly scope: string
  readonly buffer: string
  /** Those in the file are to go. */
  emptied: boolean
  added: Map<string, Item>
}

export const SELECT_ITEMS = 'SELECT item_id, item, at FROM item WHERE scope = ? AND buffer = ? ORDER BY seq'
export const itemOf = (r: Record<string, unknown>): Item => ({
  itemId: fromSql(r.item_id as string),
  item: fromSql(r.item as string),
  at: Number(r.at),
})

/** Items of open buffers, in the order they came. */
export class Items {
  readonly #undo: Undo
  #pending = new Map<string, Pending>()
  readonly #find: StatementSync
  readonly #all: StatementSync
  readonly #insert: StatementSync
  readonly #clear: StatementSync
  constructor(db: DatabaseSync, undo: Undo) {
    this.#undo = undo
    this.#find = db.prepare('SELECT 1 FROM item WHERE scope = ? AND buffer = ? AND item_id = ?')
    this.#all = db.prepare(SELECT_ITEMS)
    this.#insert = db.prepare('INSERT INTO item (scope, buffer, item_id, at, item) VALUES (?,?,?,?,?)')
    this.#clear = db.prepare('DELETE FROM item WHERE scope = ? AND buffer = ?')
  }
  #of(scope: string, buffer: string): Pending {
    const key = scope + buffer
    let p = this.#pending.get(key)
    if (p === undefined) {
      p = { scope, buffer, emptied: false, added: new Map() }
      this.#pending.set(key, p)
    }
    return p
  }
  has(scope: string, buffer: string, itemId: string): boolean {
    const p = this.#of(scope, buffer)
    if (p.added.has(itemId)) return true
    return !p.emptied && this.#find.get(toSql(scope), toSql(buffer), toSql(itemId)) !== undefined
  }
  add(scope: string, buffer: string, item: Item): void {
    const { added } = this.#of(scope, buffer)
    added.set(item.itemId, item)
    this.#undo.push(() => added.delete(item.itemId))
  }
  all(scope: string, buffer: string): Item[] {
    const p = this.#of(scope, buffer)
    const stored = p.emptied ? [] : this.#all.all(toSql(scope), toSql(buffer)).map(itemOf)
    return [...stored, ...p.added.values()]
  }
  empty(scope: string, buffer: string): void {
    const p = this.#of(scope, buffer)
    const { emptied, added } = p
    p.emptied = true
    p.added = new Map()
    this.#undo.push(() => {
      p.emptied = emptied
      p.added = added
    })
  }
  flush(): void {
    for (const p of this.#pending.values()) {
      const scope = toSql(p.scope)
      const buffer = toSql(p.buffer)
      if (p.emptied) this.#clear.run(scope, buffer)
      for (const i of p.added.values()) this.#insert.run(scope, buffer, toSql(i.itemId), i.at, toSql(i.item))
    }
    this.forget()
  }
  forget(): void {
    if (this.#pending.size > 0) this.#pending = new Map()
  }
}
