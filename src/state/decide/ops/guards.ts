import type { Op } from '../../../core/state.ts'
import { owned } from '../text.ts'
import { DONE, type OpAnswer, type Tx } from '../tx.ts'
import { add, emptyWindow, prune, refusal, remove } from '../window.ts'

type OpOf<K extends Op['op']> = Extract<Op, { op: K }>

export function count(tx: Tx, scope: string, op: OpOf<'count'>, now: number): OpAnswer {
  const found = tx.counters.get(scope, op.id)
  const was = found !== undefined && found.expiresAt > now ? found : undefined
  const n = (was?.n ?? 0) + op.by
  if (op.limit !== undefined && n > op.limit) return { refused: true, n: was?.n ?? 0 }
  if (op.by !== 0) tx.counters.set(scope, op.id, { n, expiresAt: was?.expiresAt ?? op.expiresAt })
  return { n }
}

export function admit(tx: Tx, scope: string, op: OpOf<'admit'>, now: number): OpAnswer {
  const w = tx.windows.get(scope, op.id) ?? emptyWindow(op.windowMs)
  w.windowMs = op.windowMs
  prune(w, now)
  const retryAt = refusal(w, now, op.max)
  if (retryAt !== undefined) return { refused: true, n: w.total, retryAt }
  const stamp = add(w, now, op.max)
  tx.windows.set(scope, op.id, w, () => remove(w, stamp))
  return { n: w.total }
}

export function slot(tx: Tx, scope: string, op: OpOf<'slot'>, now: number): OpAnswer {
  const found = tx.semaphores.get(scope, op.id) ?? []
  const others = found.filter(([holder, until]) => until > now && holder !== op.holder)
  if (op.until <= now) {
    if (found.some(([holder]) => holder === op.holder))
      tx.semaphores.set(scope, op.id, others.length === 0 ? undefined : others)
    return { n: others.length }
  }
  if (others.length >= op.max) {
    const free = others.map(([, until]) => until).sort((a, b) => a - b)[others.length - Math.max(op.max, 1)]
    return { refused: true, n: others.length, ...(free === undefined ? {} : { retryAt: free }) }
  }
  tx.semaphores.set(scope, op.id, [...others, [owned(op.holder), op.until]])
  return { n: others.length + 1 }
}

export function record(tx: Tx, _scope: string, op: OpOf<'record'>): OpAnswer {
  tx.audit.add(op.row)
  return DONE
}
