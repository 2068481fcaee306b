import type { Committed, Op, OpResult, Refused } from '../../../core/state.ts'
import type { OpAnswer, Tx } from '../tx.ts'
import { append, seal } from './buffers.ts'
import { put, remove, touch, wake } from './entries.ts'
import { admit, count, record, slot } from './guards.ts'

type Apply<K extends Op['op']> = (tx: Tx, scope: string, op: Extract<Op, { op: K }>, now: number) => OpAnswer

/** Every op of the port and what it does. */
const ops: { readonly [K in Op['op']]: Apply<K> } = {
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

/** Applies the ops of a commit in order, up to the first that refuses. What they have changed is the caller's to keep or take back. */
export function decide(tx: Tx, scope: string, list: readonly Op[], now: number): Committed | Refused {
  const results: OpResult[] = []
  for (let at = 0; at < list.length; at++) {
    const op = list[at]!
    const answer = (ops[op.op] as (tx: Tx, scope: string, op: Op, now: number) => OpAnswer)(tx, scope, op, now)
    if ('refused' in answer) {
      const { refused: _, ...saw } = answer
      return { ok: false, at, ...saw }
    }
    results.push(answer)
  }
  return { ok: true, results }
}
