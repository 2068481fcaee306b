import type { AuditRow } from '../../core/audit.ts'
import type { Committed, Entry, Op, Refused, SealInto } from '../../core/state.ts'
import { scopeParts, scopeText } from '../scope.ts'
import { fromPg, toPg, whole } from './text.ts'

/** A commit on its way: texts as the server keeps them, in JSON. */
export interface Call {
  readonly scope: string
  readonly ops: readonly object[]
  readonly dry?: true
  /** A control topic the commit changes: others may be told. */
  readonly topic?: string
}

/** Documents of control topics are entries of kinds that begin so. */
const CONTROL = 'control:'

export function callOf(scope: string, ops: readonly Op[], dry: boolean): Call {
  const control = ops.find((op) => (op.op === 'put' || op.op === 'delete') && op.kind.startsWith(CONTROL))
  return {
    scope: toPg(scope),
    ops: ops.map(opOut),
    ...(dry && { dry }),
    ...(control !== undefined && 'kind' in control && { topic: toPg(control.kind.slice(CONTROL.length)) }),
  }
}

function opOut(op: Op): object {
  switch (op.op) {
    case 'put':
      return {
        ...conditionsOut(op),
        op: op.op,
        value: toPg(op.value),
        version: toPg(op.version),
        ...(op.tags && op.tags.length > 0 && { tags: op.tags.map(toPg) }),
        ...(op.claim && { claim: { owner: toPg(op.claim.owner), until: whole(op.claim.until) } }),
        ...(op.dueAt !== undefined && { dueAt: whole(op.dueAt) }),
        ...(op.expiresAt !== undefined && { expiresAt: whole(op.expiresAt) }),
        ...(op.attempts !== undefined && { attempts: op.attempts }),
      }
    case 'delete':
      return { ...conditionsOut(op), op: op.op }
    case 'touch':
      return {
        ...conditionsOut(op),
        op: op.op,
        ...(op.until !== undefined && { until: whole(op.until) }),
        ...(op.dueAt !== undefined && { dueAt: whole(op.dueAt) }),
      }
    case 'wake':
      return { op: op.op, kind: toPg(op.kind), id: toPg(op.id) }
    case 'count':
      return {
        ...op,
        id: toPg(op.id),
        expiresAt: whole(op.expiresAt),
        ...(op.limit !== undefined && { limit: whole(op.limit) }),
      }
    case 'admit':
      return { ...op, id: toPg(op.id), max: whole(op.max) }
    case 'slot':
      return { ...op, id: toPg(op.id), holder: toPg(op.holder), max: whole(op.max), until: whole(op.until) }
    case 'append': {
      const { itemId, item, id, value } = op
      return {
        ...op,
        id: toPg(id),
        itemId: toPg(itemId),
        value: toPg(value),
        item: open(JSON.stringify({ itemId, item })),
        opening: open(JSON.stringify({ buffer: id, value })),
        bytes: Buffer.byteLength(item),
        maxItems: whole(op.maxItems),
        maxBytes: whole(op.maxBytes),
        into: intoOut(op.into),
      }
    }
    case 'seal':
      return {
        op: op.op,
        id: toPg(op.id),
        into: intoOut(op.into),
        ...(op.ifDue && { ifDue: true }),
        ...(op.dueAt !== undefined && { dueAt: whole(op.dueAt) }),
      }
    case 'record':
      return { op: op.op, row: rowOut(op.row) }
  }
}
/** More is to be added before it is closed. */
const open = (json: string): string => json.slice(0, -1)

type Put = Extract<Op, { op: 'put' }>
type Conditioned = Pick<Put, 'kind' | 'id' | 'ifVersion' | 'ifClaim' | 'ifUnclaimed' | 'orSkip'>
function conditionsOut(c: Conditioned): object {
  const { ifClaim } = c
  return {
    kind: toPg(c.kind),
    id: toPg(c.id),
    ...(c.ifVersion !== undefined && { ifVersion: c.ifVersion === null ? null : toPg(c.ifVersion) }),
    ...(ifClaim && { ifClaim: { owner: toPg(ifClaim.owner), number: ifClaim.number } }),
    ...(c.ifUnclaimed && { ifUnclaimed: true }),
    ...(c.orSkip && { orSkip: true }),
  }
}
const intoOut = ({ kind, idPrefix, tags }: SealInto): object => ({
  kind: toPg(kind),
  idPrefix: toPg(idPrefix),
  ...(tags && tags.length > 0 && { tags: tags.map(toPg) }),
})
/** JSON text has neither NUL nor lone surrogates: it is kept as it is. */
export const rowOut = (r: AuditRow): object => ({
  scope: toPg(scopeText(r.scope)),
  id: toPg(r.id),
  actionId: toPg(r.actionId),
  chainId: maybe(r.chainId),
  kind: toPg(r.kind),
  outcome: toPg(r.outcome),
  provider: maybe(r.provider),
  requestedProvider: maybe(r.requestedProvider),
  actionType: toPg(r.actionType),
  rule: maybe(r.rule),
  caller: maybe(r.caller),
  groupId: maybe(r.groupId),
  json: r.json,
})
const maybe = (text: string | undefined): string | undefined => (text === undefined ? undefined : toPg(text))

/** An entry as its table has it. */
export interface EntryRow {
  readonly kind: string
  readonly scope: string
  readonly id: string
  readonly long_id: string | null
  readonly version: string
  readonly value: string
  readonly tags: readonly string[] | null
  readonly due_at: number | null
  readonly expires_at: number | null
  readonly owner: string | null
  readonly number: number | null
  readonly until: number | null
  readonly attempts: number
}
/** As callers see it: a claim that has run out is not shown. */
export function entryIn(r: EntryRow, now: number): Entry {
  return {
    key: { kind: fromPg(r.kind), scope: scopeParts(fromPg(r.scope)), id: fromPg(r.long_id ?? r.id) },
    value: fromPg(r.value),
    version: fromPg(r.version),
    tags: r.tags?.map(fromPg) ?? [],
    attempts: r.attempts,
    ...(r.due_at !== null && { dueAt: r.due_at }),
    ...(r.expires_at !== null && { expiresAt: r.expires_at }),
    ...(r.number !== null &&
      r.until !== null &&
      r.until > now && { claim: { owner: fromPg(r.owner ?? ''), number: r.number, until: r.until } }),
  }
}

type Answered = Committed | (Omit<Refused, 'saw'> & { readonly saw?: EntryRow })
export function answerIn(answered: unknown, now: number): Committed | Refused {
  const a = answered as Answered
  if (a.ok) {
    if (!a.results.some((r) => r.sealed)) return a
    return { ok: true, results: a.results.map((r) => (r.sealed ? { ...r, sealed: r.sealed.map(fromPg) } : r)) }
  }
  const { saw, ...rest } = a
  return { ...rest, ...(saw && { saw: entryIn(saw, now) }) }
}
