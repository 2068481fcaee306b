import type { BufferHead, Counter, Semaphore } from '../decide/shapes.ts'
import type { Tx } from '../decide/tx.ts'
import type { Window } from '../decide/window.ts'
import type { AuditWriter } from './audit-writer.ts'
import type { Cells } from './cells.ts'
import type { Entries } from './entries.ts'
import type { Items } from './items.ts'

/** What ops work on, of a file: written once a batch. */
export interface FileTx extends Tx {
  readonly entries: Entries
  readonly counters: Cells<Counter>
  readonly windows: Cells<Window>
  readonly semaphores: Cells<Semaphore>
  readonly buffers: Cells<BufferHead>
  readonly items: Items
  readonly audit: AuditWriter
}
