import type { AuditRow } from '../../core/audit.ts'
import type { OpResult, Refused } from '../../core/state.ts'
import type { Row } from './row.ts'
import type { BufferHead, Counter, Semaphore } from './shapes.ts'
import type { Undo } from './undo.ts'
import type { Window } from './window.ts'

/** A small counted thing by scope and id; undefined: there is none. */
export interface CellsOf<T> {
  get(scope: string, id: string): T | undefined
  /** Replaces the value; undone with the commit. A value that was changed in place is set to itself, with `undo` to change it back. */
  set(scope: string, id: string, value: T | undefined, undo?: () => void): void
}
/** Of a buffer. */
export interface Item {
  readonly itemId: string
  readonly item: string
  readonly at: number
}

/** What the ops of a commit work on, of any store: everything is in memory until the batch is written. */
export interface Tx {
  readonly entries: {
    /** The row if it has not expired. */
    live(kind: string, scope: string, id: string, now: number): Row | undefined
    set(kind: string, scope: string, id: string, row: Row | undefined): void
    /** Sets what `made` makes of the row if it has not expired. It may be asked later, and anew: most often there is none to be read. */
    replace(kind: string, scope: string, id: string, now: number, made: (was: Row | undefined) => Row): void
  }
  readonly counters: CellsOf<Counter>
  readonly windows: CellsOf<Window>
  readonly semaphores: CellsOf<Semaphore>
  readonly buffers: CellsOf<BufferHead>
  /** Of the buffers. */
  readonly items: {
    has(scope: string, buffer: string, itemId: string): boolean
    add(scope: string, buffer: string, item: Item): void
    all(scope: string, buffer: string): readonly Item[]
    empty(scope: string, buffer: string): void
  }
  readonly audit: { add(row: AuditRow): void }
  readonly undo: Undo
  /** A claim number never given before. */
  nextNumber(): number
}

/** An op that refuses: `Refused` without its index. */
export type Refusal = Omit<Refused, 'ok' | 'at'> & { readonly refused: true }
export type OpAnswer = OpResult | Refusal
export const DONE: OpResult = {}
export const SKIPPED: OpResult = { skipped: true }
