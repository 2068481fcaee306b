import type { AuditRow } from '../../core/audit.ts'
import type { ClaimRef, Op, SealInto } from '../../core/state.ts'
import type { KeptRow } from './audit-writer.ts'
import type { Write } from './engine.ts'
import { type Packed, Packer, Unpacker } from './packing.ts'

type OpOf<K extends Op['op']> = Extract<Op, { op: K }>
/** With every field there is, so that one which is not read does not compile. */
type Whole<T> = { readonly [F in keyof Required<T>]: T[F] }
type Claim = NonNullable<OpOf<'put'>['claim']>

/** How each op travels, field by field in one order: written out, because fields asked for by a name that varies cost four times as much. */
type Ways = {
  readonly [K in Op['op']]: {
    pack(to: Packer, op: OpOf<K>): void
    unpack(from: Unpacker): K extends 'record' ? { op: K; row: Whole<KeptRow> } : Whole<OpOf<K>>
  }
}
const ways: Ways = {
  put: {
    pack(to, op) {
      to.again('kind', op.kind)
      to.text(op.id)
      to.text(op.value)
      to.text(op.version)
      packTexts(to, op.tags)
      to.maybeText(op.claim?.owner)
      to.maybeNumber(op.claim?.until)
      to.maybeNumber(op.dueAt)
      to.maybeNumber(op.expiresAt)
      to.maybeNumber(op.attempts)
      packConditions(to, op)
    },
    unpack: (from) => ({
      op: 'put',
      kind: from.again('kind'),
      id: from.text(),
      value: from.text(),
      version: from.text(),
      tags: unpackTexts(from),
      claim: unpackClaim(from),
      dueAt: from.maybeNumber(),
      expiresAt: from.maybeNumber(),
      attempts: from.maybeNumber(),
      ifVersion: from.nullableText(),
      ifClaim: unpackRef(from),
      ifUnclaimed: from.maybeFlag(),
      orSkip: from.maybeFlag(),
    }),
  },
  touch: {
    pack(to, op) {
      to.again('kind', op.kind)
      to.text(op.id)
      packRef(to, op.ifClaim)
      to.maybeNumber(op.until)
      to.maybeNumber(op.dueAt)
    },
    unpack: (from) => ({
      op: 'touch',
      kind: from.again('kind'),
      id: from.text(),
      ifClaim: { owner: from.text(), number: from.number() },
      until: from.maybeNumber(),
      dueAt: from.maybeNumber(),
    }),
  },
  delete: {
    pack(to, op) {
      to.again('kind', op.kind)
      to.text(op.id)
      packConditions(to, op)
    },
    unpack: (from) => ({
      op: 'delete',
      kind: from.again('kind'),
      id: from.text(),
      ifVersion: from.nullableText(),
      ifClaim: unpackRef(from),
      ifUnclaimed: from.maybeFlag(),
      orSkip: from.maybeFlag(),
    }),
  },
  wake: {
    pack(to, op) {
      to.again('kind', op.kind)
      to.text(op.id)
    },
    unpack: (from) => ({ op: 'wake', kind: from.again('kind'), id: from.text() }),
  },
  count: {
    pack(to, op) {
      to.again('counted', op.id)
      to.number(op.by)
      to.maybeNumber(op.limit)
      to.number(op.expiresAt)
    },
    unpack: (from) => ({
      op: 'count',
      id: from.again('counted'),
      by: from.number(),
      limit: from.maybeNumber(),
      expiresAt: from.number(),
    }),
  },
  admit: {
    pack(to, op) {
      to.again('admitted', op.id)
      to.number(op.max)
      to.number(op.windowMs)
    },
    unpack: (from) => ({ op: 'admit', id: from.again('admitted'), max: from.number(), windowMs: from.number() }),
  },
  append: {
    pack(to, op) {
      to.text(op.id)
      to.text(op.itemId)
      to.text(op.item)
      to.text(op.value)
      to.number(op.maxItems)
      to.number(op.maxBytes)
      to.number(op.waitMs)
      to.number(op.intervalMs)
      packInto(to, op.into)
    },
    unpack: (from) => ({
      op: 'append',
      id: from.text(),
      itemId: from.text(),
      item: from.text(),
      value: from.text(),
      maxItems: from.number(),
      maxBytes: from.number(),
      waitMs: from.number(),
      intervalMs: from.number(),
      into: unpackInto(from),
    }),
  },
  seal: {
    pack(to, op) {
      to.text(op.id)
      packInto(to, op.into)
      to.maybeFlag(op.ifDue)
      to.maybeNumber(op.dueAt)
    },
    unpack: (from) => ({
      op: 'seal',
      id: from.text(),
      into: unpackInto(from),
      ifDue: from.maybeFlag(),
      dueAt: from.maybeNumber(),
    }),
  },
  slot: {
    pack(to, op) {
      to.text(op.id)
      to.text(op.holder)
      to.number(op.max)
      to.number(op.until)
    },
    unpack: (from) => ({
      op: 'slot',
      id: from.text(),
      holder: from.text(),
      max: from.number(),
      until: from.number(),
    }),
  },
  record: {
    pack: (to, { row }) => packRow(to, row),
    unpack: (from) => ({ op: 'record', row: unpackRow(from) }),
  },
}

function packRow(to: Packer, { scope, id, actionId, chainId, json }: Pick<AuditRow, keyof KeptRow>): void {
  to.again('namespace', scope[0])
  to.again('tenant', scope[1])
  to.text(id)
  to.text(actionId)
  to.maybeText(chainId)
  to.text(json)
}
/** What the writer keeps; the rest is in its JSON. */
const unpackRow = (from: Unpacker): Whole<KeptRow> => ({
  scope: [from.again('namespace'), from.again('tenant')],
  id: from.text(),
  actionId: from.text(),
  chainId: from.maybeText(),
  json: from.textOrBytes(),
})
function packTexts(to: Packer, texts: readonly string[] | undefined): void {
  to.maybeNumber(texts?.length)
  if (texts !== undefined) for (const t of texts) to.text(t)
}
function unpackTexts(from: Unpacker): readonly string[] | undefined {
  const length = from.maybeNumber()
  return length === undefined ? undefined : Array.from({ length }, () => from.text())
}
function unpackClaim(from: Unpacker): Claim | undefined {
  const owner = from.maybeText()
  const until = from.number()
  return owner === undefined ? undefined : { owner, until }
}
function packRef(to: Packer, ref: ClaimRef | undefined): void {
  to.maybeText(ref?.owner)
  to.maybeNumber(ref?.number)
}
function unpackRef(from: Unpacker): ClaimRef | undefined {
  const owner = from.maybeText()
  const number = from.number()
  return owner === undefined ? undefined : { owner, number }
}
function packConditions(to: Packer, op: OpOf<'put'> | OpOf<'delete'>): void {
  to.maybeText(op.ifVersion)
  packRef(to, op.ifClaim)
  to.maybeFlag(op.ifUnclaimed)
  to.maybeFlag(op.orSkip)
}
function packInto(to: Packer, into: SealInto): void {
  to.text(into.kind)
  to.text(into.idPrefix)
  packTexts(to, into.tags)
}
function unpackInto(from: Unpacker): SealInto {
  const kind = from.text()
  const idPrefix = from.text()
  const tags = unpackTexts(from)
  return { kind, idPrefix, ...(tags && { tags }) }
}

/** An op travels under its place in this list. */
const NAMES = Object.keys(ways) as readonly Op['op'][]
const placeOf = new Map(NAMES.map((name, i) => [name, i]))
const packers = NAMES.map((name) => ways[name].pack as (to: Packer, op: Op) => void)
const unpackers = NAMES.map((name) => ways[name].unpack as (from: Unpacker) => unknown)
/** How a call travels. */
const OTHER = 0
const COMMIT = 1
const APPEND = 2

/** Batches of writes from one thread to another, one under way at a time. */
export function writesPacker(): (now: number, batch: readonly Write[]) => Packed {
  const to = new Packer()
  return (now, batch) => {
    to.begin()
    to.number(now)
    to.number(batch.length)
    for (const call of batch) {
      if (call[0] === 'append') {
        to.number(APPEND)
        to.number(call[1].length)
        // Bytes they are on the other side only.
        for (const row of call[1] as readonly AuditRow[]) packRow(to, row)
        continue
      }
      if (call[0] !== 'commit') {
        to.number(OTHER)
        to.json(call)
        continue
      }
      const [, scope, ops, dry] = call
      to.number(COMMIT)
      to.again('scope', scope)
      to.maybeFlag(dry)
      to.number(ops.length)
      for (const op of ops) {
        const place = placeOf.get(op.op)!
        to.number(place)
        packers[place]!(to, op)
      }
    }
    return to.done()
  }
}

export function writesUnpacker(): (packed: Packed) => readonly [now: number, batch: readonly Write[]] {
  const from = new Unpacker()
  const op = (): Op => unpackers[from.number()]!(from) as Op
  const call = (): Write => {
    const how = from.number()
    if (how === OTHER) return from.json() as Write
    if (how === APPEND) return ['append', Array.from({ length: from.number() }, () => unpackRow(from))]
    const scope = from.again('scope')
    const dry = from.maybeFlag() === true
    const ops: Op[] = []
    for (let left = from.number(); left > 0; left--) ops.push(op())
    return ['commit', scope, ops, dry]
  }
  return (packed) => {
    from.begin(packed)
    const now = from.number()
    const batch: Write[] = []
    for (let left = from.number(); left > 0; left--) batch.push(call())
    return [now, batch]
  }
}
