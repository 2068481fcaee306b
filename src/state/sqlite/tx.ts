import type { OpResult, Refused } from '../../core/state.ts'
import type { AuditWriter } from './audit-writer.ts'
import type { Cells } from './cells.ts'
import type { Entries } from './entries.ts'
import type { Items } from './items.ts'
import type { BufferHead, Counter, Semaphore } from './shapes.ts'
import type { Undo } from './undo.ts'
import type { Window } from './window.ts'

type CellsOf<T> = Pick<Cells<T>, 'get' | 'set'>

/** What the ops of a commit work on, of any store: everything is in memory until the batch is written. */
export interface Tx {
  readonly entries: Pick<Entries, 'live' | 'set'>
  readonly counters: CellsOf<Counter>
  readonly windows: CellsOf<Window>
  readonly semaphores: CellsOf<Semaphore>
  readonly buffers: CellsOf<BufferHead>
  readonly items: Pick<Items, 'has' | 'add' | 'all' | 'empty'>
  readonly audit: Pick<AuditWriter, 'add'>
  readonly undo: Undo
  /** A claim number never given before. */
  nextNumber(): number
}

/** Those of a file, which are written once a batch. */
export interface FileTx extends Tx {
  readonly entries: Entries
  readonly counters: Cells<Counter>
  readonly windows: Cells<Window>
  readonly semaphores: Cells<Semaphore>
  readonly buffers: Cells<BufferHead>
  readonly items: Items
  readonly audit: AuditWriter
}

/** An op that refuses: `Refused` without its index. */
export type Refusal = Omit<Refused, 'ok' | 'at'> & { readonly refused: true }
export type OpAnswer = OpResult | Refusal
export const DONE: OpResult = {}
export const SKIPPED: OpResult = { skipped: true }
