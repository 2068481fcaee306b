import type { OpResult, Refused } from '../../core/state.ts'
import type { AuditWriter } from './audit-writer.ts'
import type { Cells } from './cells.ts'
import type { Entries } from './entries.ts'
import type { Items } from './items.ts'
import type { BufferHead, Counter, Semaphore } from './shapes.ts'
import type { Undo } from './undo.ts'
import type { Window } from './window.ts'

/** What the ops of a commit work on. Everything is in memory until the batch is flushed. */
export interface Tx {
  readonly entries: Entries
  readonly counters: Cells<Counter>
  readonly windows: Cells<Window>
  readonly semaphores: Cells<Semaphore>
  readonly buffers: Cells<BufferHead>
  readonly items: Items
  readonly audit: AuditWriter
  readonly undo: Undo
  /** A claim number never given before. */
  nextNumber(): number
}

/** An op that refuses: `Refused` without its index. */
export type Refusal = Omit<Refused, 'ok' | 'at'> & { readonly refused: true }
export type OpAnswer = OpResult | Refusal
export const DONE: OpResult = {}
export const SKIPPED: OpResult = { skipped: true }
