import type { MessagePort } from 'node:worker_threads'
import type { FileOptions } from './schema.ts'

/**
 * What a worker is started with; `other` leads to the other worker: the writer asks there for a copy of the log, the reader says that it
 * is made. Its first message says how opening went; then writes come and their answers go as `Packed`, reads come as [now, reads] and their answers go as one JSON text.
 */
export type WorkerData = FileOptions & {
  readonly role: 'writer' | 'reader'
  readonly now: number
  readonly other: MessagePort
}
export type Hello = { readonly ready: true } | { readonly refused: string } | { readonly failed: string }
/** In place of answers: the medium failed, and the thread is ending. */
export interface Dying {
  readonly fatal: string
}
/** The last batch: the connection is to be closed. */
export const CLOSE = ''
