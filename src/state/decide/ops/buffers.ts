import type { Op, OpResult, SealInto } from '../../../core/state.ts'
import { NO_TAGS } from '../row.ts'
import type { BufferHead } from '../shapes.ts'
import { type OpAnswer, SKIPPED, type Tx } from '../tx.ts'

type OpOf<K extends Op['op']> = Extract<Op, { op: K }>

/** Open buffers are entries of this kind, so that they are claimed and listed like all due work. */
export const BUFFER = 'buffer'
const EMPTY: BufferHead = { seal: 0, n: 0, bytes: 0, intervalMs: 0 }

export function append(tx: Tx, scope: string, op: OpOf<'append'>, now: number): OpAnswer {
  const { id } = op
  let head = tx.buffers.get(scope, id) ?? EMPTY
  if (head.n > 0 && tx.items.has(scope, id, op.itemId)) return { ...SKIPPED, n: head.n, ...due(head.dueAt) }
  const sealed: string[] = []
  const bytes = Buffer.byteLength(op.item)
  if (head.n > 0 && (head.n + 1 > op.maxItems || head.bytes + bytes > op.maxBytes)) {
    sealed.push(close(tx, scope, id, head, op.into, now))
    head = tx.buffers.get(scope, id) ?? EMPTY
  }
  const opens = head.n === 0
  const dueAt = opens
    ? Math.max(now + op.waitMs, head.sealedAt === undefined ? 0 : head.sealedAt + op.intervalMs)
    : head.dueAt
  head = { ...head, n: head.n + 1, bytes: head.bytes + bytes, intervalMs: op.intervalMs, ...due(dueAt) }
  tx.items.add(scope, id, { itemId: op.itemId, item: op.item, at: now })
  tx.buffers.set(scope, id, head)
  if (opens)
    tx.entries.set(BUFFER, scope, id, {
      version: `${head.seal + 1}@${now}`,
      value: op.value,
      tags: NO_TAGS,
      dueAt,
      expiresAt: undefined,
      claim: undefined,
      woken: false,
      attempts: 0,
    })
  const full = head.n >= op.maxItems || head.bytes >= op.maxBytes
  if (full) sealed.push(close(tx, scope, id, head, op.into, now))
  return { n: head.n, ...due(full ? now : dueAt), ...(sealed.length === 0 ? {} : { sealed }) }
}

export function seal(tx: Tx, scope: string, op: OpOf<'seal'>, now: number): OpAnswer {
  const head = tx.buffers.get(scope, op.id)
  if (head === undefined || head.n === 0 || (op.ifDue && (head.dueAt ?? 0) > now)) return SKIPPED
  return { n: head.n, sealed: [close(tx, scope, op.id, head, op.into, now, op.dueAt)] }
}

/** The items become one frozen entry and the buffer is empty: in one step, so an event is never in neither and never in both. */
function close(tx: Tx, scope: string, id: string, head: BufferHead, into: SealInto, now: number, dueAt = now): string {
  let number = head.seal + 1
  // Only a buffer that was forgotten can begin again at 1; what it sealed before is never overwritten.
  while (tx.entries.live(into.kind, scope, into.idPrefix + number, now) !== undefined) number++
  const entryId = into.idPrefix + number
  const value = tx.entries.live(BUFFER, scope, id, now)?.value ?? ''
  tx.entries.set(into.kind, scope, entryId, {
    version: `sealed:${id}:${number}@${now}`,
    value: JSON.stringify({ buffer: id, value, seal: number, sealed_at: now, items: tx.items.all(scope, id) }),
    tags: into.tags ?? NO_TAGS,
    dueAt,
    expiresAt: undefined,
    claim: undefined,
    woken: false,
    attempts: 0,
  })
  empty(tx, scope, id, { seal: number, sealedAt: now, n: 0, bytes: 0, intervalMs: head.intervalMs })
  return entryId
}

function empty(tx: Tx, scope: string, id: string, head: BufferHead): void {
  const { dueAt: _, ...rest } = head
  tx.items.empty(scope, id)
  tx.buffers.set(scope, id, head.seal === 0 ? undefined : rest)
  tx.entries.set(BUFFER, scope, id, undefined)
}
const due = (dueAt: number | undefined): Pick<OpResult, 'dueAt'> => (dueAt === undefined ? {} : { dueAt })
