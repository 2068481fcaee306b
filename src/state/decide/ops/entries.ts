import type { ClaimRef, Op } from '../../../core/state.ts'
import { entryOf, NO_TAGS, type Row } from '../row.ts'
import { DONE, type OpAnswer, type Refusal, SKIPPED, type Tx } from '../tx.ts'

type OpOf<K extends Op['op']> = Extract<Op, { op: K }>
type Conditions = Pick<OpOf<'put'>, 'ifVersion' | 'ifClaim' | 'ifUnclaimed'>

/** A claim stays current after it has run out, until another is made: finished work is not turned into an error. */
const isCurrent = (row: Row | undefined, ref: ClaimRef): boolean =>
  row?.claim !== undefined && row.claim.number === ref.number && row.claim.owner === ref.owner

function holds(row: Row | undefined, c: Conditions, now: number): boolean {
  if (c.ifVersion !== undefined && (row?.version ?? null) !== c.ifVersion) return false
  if (c.ifClaim !== undefined && !isCurrent(row, c.ifClaim)) return false
  return !(c.ifUnclaimed && row?.claim !== undefined && row.claim.until > now)
}
const refusal = (kind: string, scope: string, id: string, row: Row | undefined, now: number): Refusal => ({
  refused: true,
  ...(row === undefined ? {} : { saw: entryOf(kind, scope, id, row, now) }),
})

export function put(tx: Tx, scope: string, op: OpOf<'put'>, now: number): OpAnswer {
  const { kind, id, claim } = op
  if (isUnconditional(op)) {
    tx.entries.replace(kind, scope, id, now, (was) => rowOf(op, was, undefined, now))
    return DONE
  }
  const was = tx.entries.live(kind, scope, id, now)
  if (!holds(was, op, now)) return op.orSkip ? SKIPPED : refusal(kind, scope, id, was, now)
  const number = claim === undefined ? undefined : (op.ifClaim?.number ?? tx.nextNumber())
  tx.entries.set(kind, scope, id, rowOf(op, was, number, now))
  return number === undefined ? DONE : { claimNumber: number }
}
/** Whatever is there, its answer is the same. */
const isUnconditional = ({ ifVersion, ifClaim, ifUnclaimed, claim }: OpOf<'put'>): boolean =>
  ifVersion === undefined && ifClaim === undefined && !ifUnclaimed && claim === undefined

function rowOf(op: OpOf<'put'>, was: Row | undefined, number: number | undefined, now: number): Row {
  const { claim } = op
  const ending = was?.woken === true && claim === undefined
  const dueAt = claim?.until ?? (ending ? wokenDue(op.dueAt, op.expiresAt, now) : op.dueAt)
  return {
    version: op.version,
    value: op.value,
    tags: op.tags === undefined || op.tags.length === 0 ? NO_TAGS : op.tags,
    dueAt,
    expiresAt: dueAt === undefined ? op.expiresAt : undefined, // work never expires
    claim: claim === undefined ? undefined : { owner: claim.owner, number: number!, until: claim.until },
    woken: claim !== undefined && op.ifClaim !== undefined && was?.woken === true,
    attempts: op.attempts ?? was?.attempts ?? 0,
  }
}
/** Where a woken claim ends: due at once, but what has ended (it only expires) stays ended. */
const wokenDue = (dueAt: number | undefined, expiresAt: number | undefined, now: number): number | undefined =>
  dueAt === undefined && expiresAt !== undefined ? undefined : Math.min(dueAt ?? now, now)

export function touch(tx: Tx, scope: string, op: OpOf<'touch'>, now: number): OpAnswer {
  const was = tx.entries.live(op.kind, scope, op.id, now)
  if (was === undefined || !isCurrent(was, op.ifClaim)) return refusal(op.kind, scope, op.id, was, now)
  if (op.dueAt !== undefined) {
    const dueAt = was.woken ? Math.min(op.dueAt, now) : op.dueAt
    tx.entries.set(op.kind, scope, op.id, { ...was, dueAt, claim: undefined, woken: false })
  } else if (op.until !== undefined) {
    tx.entries.set(op.kind, scope, op.id, { ...was, dueAt: op.until, claim: { ...was.claim!, until: op.until } })
  }
  return DONE
}

export function remove(tx: Tx, scope: string, op: OpOf<'delete'>, now: number): OpAnswer {
  const was = tx.entries.live(op.kind, scope, op.id, now)
  if (!holds(was, op, now)) return op.orSkip ? SKIPPED : refusal(op.kind, scope, op.id, was, now)
  if (was === undefined) return SKIPPED
  tx.entries.set(op.kind, scope, op.id, undefined)
  return DONE
}

export function wake(tx: Tx, scope: string, op: OpOf<'wake'>, now: number): OpAnswer {
  const was = tx.entries.live(op.kind, scope, op.id, now)
  if (was === undefined || was.expiresAt !== undefined) return SKIPPED
  const claimed = was.claim !== undefined && was.claim.until > now
  tx.entries.set(op.kind, scope, op.id, {
    ...was,
    woken: was.claim !== undefined,
    dueAt: claimed ? was.dueAt : Math.min(was.dueAt ?? now, now),
  })
  return DONE
}
