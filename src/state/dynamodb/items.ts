import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Key } from '../../core/state.ts'
import { NO_TAGS, type Row } from '../decide/row.ts'
import type { Shape } from '../decide/shapes.ts'
import { scopeParts, scopeText } from '../scope.ts'
import { TTL } from './tables.ts'
import { ALONE, fromValue, type Partition, partitionKey, partsOf, sortedId, sortKey, toValue } from './text.ts'

export type Item = Record<string, AttributeValue>
/** Where an item lies in the state table. */
export interface Name {
  readonly pk: string
  readonly sk: string
}
export const keyOf = ({ pk, sk }: Name): Item => ({ pk: { S: pk }, sk: { S: sk } })
export const nameText = ({ pk, sk }: Name): string => `${pk}\n${sk}`
export const nameOfItem = (item: Item): Name => ({ pk: item['pk']?.S ?? '', sk: item['sk']?.S ?? '' })

/** Scopes travel as one text (see `scopeText`). */
export const entryName = (kind: string, scope: string, id: string): Name => ({
  pk: partitionKey('entries', kind, ...scopeParts(scope)),
  sk: sortKey(id),
})
export const tagName = (kind: string, scope: string, tag: string, id: string): Name => ({
  pk: partitionKey('tag', kind, ...scopeParts(scope), tag),
  sk: sortKey(id),
})
export const cellName = (of: Partition, scope: string, id: string): Name => ({
  pk: partitionKey(of, ...scopeParts(scope), id),
  sk: ALONE,
})
export const rowName = (scope: string, buffer: string, itemId: string): Name => ({
  pk: partitionKey('items', ...scopeParts(scope), buffer),
  sk: sortKey(itemId),
})

/** Shards of the index of due entries: each takes about a thousand writes a second. */
export const SHARDS = 4
export const dueKey = (kind: string, shard: number): string => partitionKey('entries', kind, String(shard))
function shardOf({ pk, sk }: Name): number {
  let h = 0
  for (const text of [pk, sk]) for (let i = 0; i < text.length; i++) h = (Math.imul(h, 31) + text.charCodeAt(i)) | 0
  return (h >>> 8) % SHARDS
}

/** Items outlive what they hold by this, by whatever clock the sweeper goes. */
const SLACK_S = 3600
export const ttlOf = (expiresAt: number): AttributeValue => ({ N: String(Math.ceil(expiresAt / 1000) + SLACK_S) })
const num = (v: AttributeValue | undefined): number | undefined => (v?.N === undefined ? undefined : Number(v.N))

/** What a long key does not say itself. */
const WHOLE = 'key'
const whole = (name: Name, parts: readonly string[]): Item =>
  partsOf(name.pk) === undefined || sortedId(name.sk) === undefined ? { [WHOLE]: { S: JSON.stringify(parts) } } : {}

export interface Found {
  readonly kind: string
  readonly scope: string
  readonly id: string
  readonly row: Row
}

/** `stamp` is new with every write, whatever it changes: conditions are on it, so nothing between a read and a write goes unseen. */
export function entryItem({ kind, scope, id, row }: Found, stamp: string): Item {
  const name = entryName(kind, scope, id)
  const { claim } = row
  return {
    ...keyOf(name),
    ...whole(name, [kind, ...scopeParts(scope), id]),
    r: { S: stamp },
    vn: toValue(row.version),
    val: toValue(row.value),
    at: { N: String(row.attempts) },
    ...(row.tags.length > 0 && { tg: { S: JSON.stringify(row.tags) } }),
    ...(row.dueAt !== undefined && { dk: { S: dueKey(kind, shardOf(name)) }, due: { N: String(row.dueAt) } }),
    ...(row.expiresAt !== undefined && { ex: { N: String(row.expiresAt) }, [TTL]: ttlOf(row.expiresAt) }),
    ...(claim !== undefined && {
      co: toValue(claim.owner),
      cn: { N: String(claim.number) },
      cu: { N: String(claim.until) },
    }),
    ...(row.woken && { wk: { BOOL: true } }),
  }
}
export function rowOfItem(item: Item): Row {
  const number = num(item['cn'])
  return {
    version: fromValue(item['vn']),
    value: fromValue(item['val']),
    tags: item['tg']?.S === undefined ? NO_TAGS : (JSON.parse(item['tg'].S) as string[]),
    dueAt: num(item['due']),
    expiresAt: num(item['ex']),
    claim: number === undefined ? undefined : { owner: fromValue(item['co']), number, until: num(item['cu']) ?? 0 },
    woken: item['wk']?.BOOL === true,
    attempts: num(item['at']) ?? 0,
  }
}
export function entryOfItem(item: Item): Found {
  const row = rowOfItem(item)
  if (item[WHOLE]?.S !== undefined) {
    const [kind, ns, tenant, id] = JSON.parse(item[WHOLE].S) as [string, string, string, string]
    return { kind, scope: scopeText([ns, tenant]), id, row }
  }
  const { pk, sk } = nameOfItem(item)
  const [kind = '', ns = '', tenant = ''] = partsOf(pk) ?? []
  return { kind, scope: scopeText([ns, tenant]), id: sortedId(sk) ?? '', row }
}
export const keyOfEntry = ({ kind, scope, id }: Found): Key => ({ kind, scope: scopeParts(scope), id })
/** The id of an item in a partition of its own kind: an entry, or what points to one. */
export function idOfItem(item: Item): string {
  if (item[WHOLE]?.S !== undefined) return (JSON.parse(item[WHOLE].S) as string[]).at(-1) ?? ''
  return sortedId(item['sk']?.S ?? '') ?? ''
}

export function tagItem(found: Found, tag: string): Item {
  const { kind, scope, id, row } = found
  const name = tagName(kind, scope, tag, id)
  return {
    ...keyOf(name),
    ...whole(name, [kind, ...scopeParts(scope), tag, id]),
    ...(row.expiresAt !== undefined && { [TTL]: ttlOf(row.expiresAt) }),
  }
}
/** Something that is only there to be found, like a scope. */
export const noteItem = (pk: string, id: string): Item => {
  const name = { pk, sk: sortKey(id) }
  return { ...keyOf(name), ...(sortedId(name.sk) === undefined && { [WHOLE]: { S: JSON.stringify([id]) } }) }
}

/** Windows, semaphores, heads of buffers. `generation`: whose items are a buffer's. */
export function cellItem<T>(name: Name, shape: Shape<T>, value: T, stamp: string, generation?: string): Item {
  const expiresAt = shape.expiresAt(value)
  return {
    ...keyOf(name),
    r: { S: stamp },
    s: toValue(String(shape.encode(value))),
    ...(expiresAt !== undefined && { [TTL]: ttlOf(expiresAt) }),
    ...(generation !== undefined && { g: { S: generation } }),
  }
}

/** An item of a buffer; `place` is its place in the order they came. */
export interface BufferRow {
  readonly itemId: string
  readonly item: string
  readonly at: number
}
export function bufferItem(scope: string, buffer: string, row: BufferRow, generation: string, place: number): Item {
  const name = rowName(scope, buffer, row.itemId)
  return {
    ...keyOf(name),
    ...whole(name, [...scopeParts(scope), buffer, row.itemId]),
    g: { S: generation },
    q: { N: String(place) },
    i: toValue(row.item),
    t: { N: String(row.at) },
  }
}
export const rowsOfItems = (items: readonly Item[], generation: string | undefined): BufferRow[] =>
  items
    .filter((i) => i['g']?.S === generation)
    .sort((a, b) => (num(a['q']) ?? 0) - (num(b['q']) ?? 0))
    .map((i) => ({ itemId: idOfItem(i), item: fromValue(i['i']), at: num(i['t']) ?? 0 }))

/** Bytes of an item, as DynamoDB counts them, and a little over. */
export function sizeOf(item: Item): number {
  let bytes = 100
  for (const [name, v] of Object.entries(item))
    bytes += name.length + (v.S === undefined ? (v.B?.byteLength ?? 21) : Buffer.byteLength(v.S))
  return bytes
}
