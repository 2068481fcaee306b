import { keptById } from '../../core/hold.ts'
import type { Op, SealInto } from '../../core/state.ts'
import { toLine, toText } from './text.ts'

/** How an op travels to the script: a letter and its arguments one by one, those left out by the bits of a mask. */
type Pack<K extends Op['op']> = (to: string[], op: Extract<Op, { op: K }>, now: number) => void

const BIT = {
  version: 1,
  absent: 2,
  claim: 4,
  unclaimed: 8,
  orSkip: 16,
  tags: 32,
  claimed: 64,
  due: 128,
  expires: 256,
  attempts: 512,
  /** It is in no list, and goes by Redis' own expiry. */
  byId: 1024,
} as const

function conditionBits(op: Extract<Op, { op: 'put' | 'delete' }>): number {
  let mask = 0
  if (op.ifVersion === null) mask |= BIT.absent
  else if (op.ifVersion !== undefined) mask |= BIT.version
  if (op.ifClaim !== undefined) mask |= BIT.claim
  if (op.ifUnclaimed) mask |= BIT.unclaimed
  if (op.orSkip) mask |= BIT.orSkip
  if (keptById.has(op.kind)) mask |= BIT.byId
  return mask
}
function pushConditions(to: string[], { ifVersion, ifClaim }: Extract<Op, { op: 'put' | 'delete' }>): void {
  if (ifVersion != null) to.push(toLine(ifVersion))
  if (ifClaim !== undefined) to.push(toLine(ifClaim.owner), String(ifClaim.number))
}
const number = (n: number | undefined): string => (n === undefined ? '' : String(n))
const tagLine = (tags: readonly string[] | undefined): string => (tags ?? []).map((t) => `${toLine(t)}\t`).join('')
const quoted = (text: string): string => toText(JSON.stringify(text))
const pushInto = (to: string[], { kind, idPrefix, tags }: SealInto): void =>
  void to.push(toLine(kind), toLine(idPrefix), tagLine(tags))

const pack: { readonly [K in Op['op']]: Pack<K> } = {
  put(to, op) {
    const { tags, claim, dueAt, expiresAt, attempts } = op
    let mask = conditionBits(op)
    if (tags !== undefined && tags.length > 0) mask |= BIT.tags
    if (claim !== undefined) mask |= BIT.claimed
    if (dueAt !== undefined) mask |= BIT.due
    if (expiresAt !== undefined) mask |= BIT.expires
    if (attempts !== undefined) mask |= BIT.attempts
    if (mask & BIT.byId && mask & (BIT.tags | BIT.claimed | BIT.due))
      throw new TypeError(`an entry of kind ${op.kind} is kept by its id only: it has no tags and is never due`)
    to.push('p', toLine(op.kind), toLine(op.id), toText(op.value), toLine(op.version), String(mask))
    pushConditions(to, op)
    if (mask & BIT.tags) to.push(tagLine(tags))
    if (claim !== undefined) to.push(toLine(claim.owner), number(claim.until))
    if (dueAt !== undefined) to.push(number(dueAt))
    if (expiresAt !== undefined) to.push(number(expiresAt))
    if (attempts !== undefined) to.push(number(attempts))
  },
  touch(to, { kind, id, ifClaim, until, dueAt }) {
    const mode = dueAt !== undefined ? 'd' : until !== undefined ? 'u' : '-'
    to.push('t', toLine(kind), toLine(id), toLine(ifClaim.owner), number(ifClaim.number), mode)
    to.push(number(dueAt ?? until))
  },
  delete(to, op) {
    to.push('d', toLine(op.kind), toLine(op.id), String(conditionBits(op)))
    pushConditions(to, op)
  },
  wake: (to, { kind, id }) => void to.push('w', toLine(kind), toLine(id)),
  count: (to, { id, by, limit, expiresAt }) =>
    void to.push('c', toLine(id), number(by), number(limit), number(expiresAt)),
  admit: (to, { id, max, windowMs }) => void to.push('a', toLine(id), number(max), number(windowMs)),
  slot: (to, { id, holder, max, until }) => void to.push('o', toLine(id), toText(holder), number(max), number(until)),
  append(to, op, now) {
    const { id, itemId, item, value } = op
    const piece = `{"itemId":${JSON.stringify(itemId)},"item":${JSON.stringify(item)},"at":${now}}`
    to.push('b', toLine(id), quoted(id), toText(itemId), toText(piece), String(Buffer.byteLength(item)))
    to.push(toText(value), quoted(value), number(op.maxItems), number(op.maxBytes))
    to.push(number(op.waitMs), number(op.intervalMs))
    pushInto(to, op.into)
  },
  seal(to, { id, ifDue, into, dueAt }) {
    to.push('z', toLine(id), quoted(id), ifDue ? '1' : '0', number(dueAt))
    pushInto(to, into)
  },
  record: (to, { row }) => void to.push('r', toLine(row.id), toText(row.json)),
}

export interface Commit {
  readonly scope: string
  readonly ops: readonly Op[]
  readonly dry: boolean
}

/** The arguments of a batch of commits of one tag. */
export function packCommits(
  commits: readonly Commit[],
  now: number,
  latest: number | undefined,
  outboxMs: number,
): string[] {
  const many = commits.length
  const to = [String(now), String(many * 2 + SWEPT), String(many), String(latest ?? ''), String(outboxMs)]
  for (const { scope, ops, dry } of commits) {
    const head = to.push(scope, dry ? '1' : '0', '', String(ops.length))
    for (const op of ops) (pack[op.op] as Pack<Op['op']>)(to, op as never, now)
    to[head - 2] = String(to.length - head)
  }
  return to
}
/** More expired entries are taken away in a batch than can have been made in it, so that they never pile up. */
const SWEPT = 10
