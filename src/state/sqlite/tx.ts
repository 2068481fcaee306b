import type { OpResult, Refused } from '../../core/state.ts'
import type { AuditWriter } from './audit-writer.ts'
import type { Cells } from './cells.ts'
import type { Entries } from './entries.ts'
import type { Items } from './items.ts'
import type { BufferHead, Counter, Semaphore } from './shapes.ts'
import type { Window } from './window.ts'

/** How to take back what the running commit has changed in memory, newest last. */
export class Undo {
  readonly #steps: (() => void)[] = []
  push(step: () => void): void {
    this.#steps.push(step)
  }
  /** The commit stands. */
  keep(): void {
    this.#steps.length = 0
  }
  /** The commit falls: nothing of it was written yet, so memory is all there is to undo. */
  back(): void {
    for (let i = this.#steps.length - 1; i >= 0; i--) this.#steps[i]!()
    this.#steps.length = 0
  }
}

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
