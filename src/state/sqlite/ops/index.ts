import type { Op } from '../../../core/state.ts'
import type { OpAnswer, Tx } from '../tx.ts'
import { append, seal } from './buffers.ts'
import { put, remove, touch, wake } from './entries.ts'
import { admit, count, record, slot } from './guards.ts'

type Apply<K extends Op['op']> = (tx: Tx, scope: string, op: Extract<Op, { op: K }>, now: number) => OpAnswer

/** Every op of the port and what it does. */
export const ops: { readonly [K in Op['op']]: Apply<K> } = {
  put,
  touch,
  delete: remove,
  wake,
  count,
  admit,
  slot,
  append,
  seal,
  record,
}
