import type { AuditRow } from '../../core/audit.ts'
import { type Row, unexpired } from '../decide/row.ts'
import type { Shape } from '../decide/shapes.ts'
import { type BufferHead, bufferShape, type Counter, semaphoreShape, windowShape } from '../decide/shapes.ts'
import type { Tx } from '../decide/tx.ts'
import { Undo } from '../decide/undo.ts'
import {
  type BufferRow,
  cellName,
  entryName,
  type Item,
  type Name,
  nameText,
  rowName,
  rowOfItem,
  rowsOfItems,
} from './items.ts'
import { fromValue, type Partition } from './text.ts'

/** What was read of the table before a decision: items by name, null where there is none, and all items of some buffers. */
export interface Read {
  readonly items: Map<string, Item | null>
  /** By the partition of a buffer's items. */
  readonly buffers: Map<string, readonly Item[]>
}
/** Thrown where a decision turns out to need what was not read: it is read, and all is decided again. */
export class Unread extends Error {
  readonly names: readonly Name[]
  /** Partitions of buffers' items. */
  readonly buffers: readonly string[]
  constructor(names: readonly Name[], buffers: readonly string[] = []) {
    super('not read yet')
    this.names = names
    this.buffers = buffers
  }
}

/** An item the decision has to do with: as it was read, and as it is to be. */
export interface Cell<T> {
  readonly name: Name
  readonly was: Item | undefined
  readonly before: T | undefined
  value: T | undefined
  /** Changes that stand; those of a commit that refused are taken back. */
  writes: number
}
export interface EntryCell extends Cell<Row> {
  readonly kind: string
  readonly scope: string
  readonly id: string
}
/** The items of a buffer. */
export interface Contents {
  readonly scope: string
  readonly buffer: string
  /** Those in the table are to go. */
  emptied: boolean
  added: Map<string, BufferRow>
  /** Marks the items of the open buffer; those of an earlier one are rubbish. */
  generation: string
}
export interface Head extends Cell<BufferHead> {
  readonly contents: Contents
}
export type PlainCell = Cell<unknown> & { readonly shape: Shape<unknown> }

/** What a batch of commits works on, in memory: all it decides rests on what was read, and is written under that condition. */
export class View implements Tx {
  readonly undo = new Undo()
  readonly entryCells = new Map<string, EntryCell>()
  readonly plainCells = new Map<string, PlainCell>()
  readonly counterCells = new Map<string, Cell<Counter>>()
  readonly heads = new Map<string, Head>()
  readonly rows: AuditRow[] = []
  /** Items looked at by the commit being decided. */
  readonly looked = new Set<Cell<unknown>>()
  readonly windows: Tx['windows']
  readonly semaphores: Tx['semaphores']
  readonly #read: Read
  readonly #generation: () => string
  readonly #number: () => number
  /** `generation` makes a mark never used before, `number` a claim's number. */
  constructor(read: Read, generation: () => string, number: () => number) {
    this.#read = read
    this.#generation = generation
    this.#number = number
    this.windows = this.#plain('window', windowShape)
    this.semaphores = this.#plain('semaphore', semaphoreShape)
  }
  nextNumber(): number {
    return this.#number()
  }

  #item(name: Name): Item | undefined {
    const found = this.#read.items.get(nameText(name))
    if (found === undefined) throw new Unread([name])
    return found ?? undefined
  }
  #set<T>(cell: Cell<T>, value: T | undefined, undo?: () => void): void {
    const was = cell.value
    cell.value = value
    cell.writes++
    this.undo.push(() => {
      undo?.()
      cell.value = was
      cell.writes--
    })
  }

  #entry(kind: string, scope: string, id: string): EntryCell {
    const name = entryName(kind, scope, id)
    const key = nameText(name)
    let cell = this.entryCells.get(key)
    if (cell === undefined) {
      const was = this.#item(name)
      const before = was && rowOfItem(was)
      cell = { name, was, before, value: before, writes: 0, kind, scope, id }
      this.entryCells.set(key, cell)
    }
    this.looked.add(cell)
    return cell
  }
  readonly entries: Tx['entries'] = {
    live: (kind, scope, id, now) => unexpired(this.#entry(kind, scope, id).value, now),
    set: (kind, scope, id, row) => this.#set(this.#entry(kind, scope, id), row),
    replace: (kind, scope, id, now, made) =>
      this.entries.set(kind, scope, id, made(this.entries.live(kind, scope, id, now))),
  }

  #plain<T>(
    of: Partition,
    shape: Shape<T>,
  ): Pick<Tx, never> & {
    get(scope: string, id: string): T | undefined
    set(scope: string, id: string, value: T | undefined, undo?: () => void): void
  } {
    const cell = (scope: string, id: string): Cell<T> => {
      const name = cellName(of, scope, id)
      const key = nameText(name)
      let found = this.plainCells.get(key)
      if (found === undefined) {
        const was = this.#item(name)
        // Decoded twice: a window is changed in place.
        const decoded = () => was && shape.decode(fromValue(was['s']))
        found = { name, was, before: decoded(), value: decoded(), writes: 0, shape: shape as Shape<unknown> }
        this.plainCells.set(key, found)
      }
      this.looked.add(found)
      return found as Cell<T>
    }
    return {
      get: (scope, id) => cell(scope, id).value,
      set: (scope, id, value, undo) => this.#set(cell(scope, id), value, undo),
    }
  }

  #counter(scope: string, id: string): Cell<Counter> {
    const name = cellName('counter', scope, id)
    const key = nameText(name)
    let cell = this.counterCells.get(key)
    if (cell === undefined) {
      const was = this.#item(name)
      const before = was && { n: Number(was['n']?.N), expiresAt: Number(was['ex']?.N) }
      cell = { name, was, before, value: before, writes: 0 }
      this.counterCells.set(key, cell)
    }
    return cell
  }
  readonly counters: Tx['counters'] = {
    get: (scope, id) => this.#counter(scope, id).value,
    set: (scope, id, value, undo) => this.#set(this.#counter(scope, id), value, undo),
  }

  #head(scope: string, id: string): Head {
    const name = cellName('buffer', scope, id)
    const key = nameText(name)
    let head = this.heads.get(key)
    if (head === undefined) {
      const was = this.#item(name)
      const before = was && bufferShape.decode(fromValue(was['s']))
      const generation = (before?.n ?? 0) > 0 ? (was?.['g']?.S ?? '') : this.#generation()
      const contents = { scope, buffer: id, emptied: false, added: new Map(), generation }
      head = { name, was, before, value: before, writes: 0, contents }
      this.heads.set(key, head)
    }
    this.looked.add(head)
    return head
  }
  readonly buffers: Tx['buffers'] = {
    get: (scope, id) => this.#head(scope, id).value,
    set: (scope, id, value, undo) => this.#set(this.#head(scope, id), value, undo),
  }
  readonly items: Tx['items'] = {
    has: (scope, buffer, itemId) => {
      const { contents } = this.#head(scope, buffer)
      if (contents.added.has(itemId)) return true
      return !contents.emptied && this.#item(rowName(scope, buffer, itemId))?.['g']?.S === contents.generation
    },
    add: (scope, buffer, item) => {
      const { added } = this.#head(scope, buffer).contents
      added.set(item.itemId, item)
      this.undo.push(() => added.delete(item.itemId))
    },
    all: (scope, buffer) => {
      const { contents, before } = this.#head(scope, buffer)
      const added = [...contents.added.values()]
      if (contents.emptied || (before?.n ?? 0) === 0) return added
      const { pk } = rowName(scope, buffer, '')
      const read = this.#read.buffers.get(pk)
      const stored = read && rowsOfItems(read, contents.generation)
      // Read beside the head, not with it: as many as it says, or it is read again.
      if (stored?.length !== before?.n) throw new Unread([], [pk])
      return [...(stored ?? []), ...added]
    },
    empty: (scope, buffer) => {
      const { contents } = this.#head(scope, buffer)
      const { emptied, added, generation } = contents
      contents.emptied = true
      contents.added = new Map()
      contents.generation = this.#generation()
      this.undo.push(() => {
        contents.emptied = emptied
        contents.added = added
        contents.generation = generation
      })
    },
  }

  readonly audit: Tx['audit'] = {
    add: (row) => {
      this.rows.push(row as AuditRow)
      this.undo.push(() => this.rows.pop())
    },
  }
}
