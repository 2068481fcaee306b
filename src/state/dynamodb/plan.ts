import type { AttributeValue, TransactWriteItem } from '@aws-sdk/client-dynamodb'
import { StateTooLarge } from '../../core/errors.ts'
import { NO_TAGS } from '../decide/row.ts'
import { bufferShape, type Counter } from '../decide/shapes.ts'
import {
  bufferItem,
  cellItem,
  entryItem,
  type Item,
  keyOf,
  type Name,
  sizeOf,
  tagItem,
  tagName,
  ttlOf,
} from './items.ts'
import { LARGEST_ENTRY, LARGEST_ITEM, MOST_ITEMS } from './largest.ts'
import { TTL } from './tables.ts'
import type { Cell, EntryCell, Head, PlainCell, View } from './view.ts'

/** Conditions as the SDK takes them. */
interface Condition {
  readonly ConditionExpression: string
  readonly ExpressionAttributeValues?: Record<string, AttributeValue>
}
const ABSENT: Condition = { ConditionExpression: 'attribute_not_exists(pk)' }

/** As it was read. What had expired may have been swept since. */
function unchanged(cell: Cell<unknown>, now: number): Condition {
  const stamp = cell.was?.['r']
  if (stamp === undefined) return ABSENT
  const ttl = Number(cell.was?.[TTL]?.N ?? Number.POSITIVE_INFINITY)
  const same = { ':r': stamp }
  // The sweeper takes it a good while after its time, which is also a good while before it could be of use to anybody.
  if (ttl * 1000 > now) return { ConditionExpression: 'r = :r', ExpressionAttributeValues: same }
  return { ConditionExpression: 'attribute_not_exists(pk) OR r = :r', ExpressionAttributeValues: same }
}

/** The largest that goes to the store at once: DynamoDB takes 100 items of 4 MB together. */
export const LARGEST_TRANSACTION = { items: MOST_ITEMS, bytes: 3_500_000 } as const

/** What is written of a batch, in one transaction. */
export interface Plan {
  readonly items: readonly TransactWriteItem[]
  readonly bytes: number
}

/** `checked`: what was looked at and decided on, and must still be so though it is not changed. Throws StateTooLarge for an item that is. */
export function planOf(
  view: View,
  checked: ReadonlySet<Cell<unknown>>,
  { table, stamp, now }: { readonly table: string; readonly stamp: string; readonly now: number },
): Plan {
  const items: TransactWriteItem[] = []
  let bytes = 0
  const put = (Item: Item, condition: Partial<Condition> = {}, most = LARGEST_ITEM): void => {
    const size = sizeOf(Item)
    if (size > most)
      throw new StateTooLarge(`an entry of ${Math.ceil(size / 1024)} KB; DynamoDB keeps up to ${most / 1024} KB`)
    bytes += size
    items.push({ Put: { TableName: table, Item, ...condition } })
  }
  const remove = (name: Name, condition: Partial<Condition> = {}): void => {
    items.push({ Delete: { TableName: table, Key: keyOf(name), ...condition } })
  }
  const check = (cell: Cell<unknown>): void => {
    items.push({ ConditionCheck: { TableName: table, Key: keyOf(cell.name), ...unchanged(cell, now) } })
  }

  function entry(cell: EntryCell): void {
    const { kind, scope, id, value: row, before } = cell
    const found = row && { kind, scope, id, row }
    const isWork = row?.dueAt !== undefined
    if (found === undefined) remove(cell.name, unchanged(cell, now))
    else
      put(entryItem(found, stamp), unchanged(cell, now), isWork && before === undefined ? LARGEST_ENTRY : LARGEST_ITEM)
    const [was, is] = [before?.tags ?? NO_TAGS, row?.tags ?? NO_TAGS]
    for (const tag of new Set(was)) if (!is.includes(tag)) remove(tagName(kind, scope, tag, id))
    // Tags go on as long as their entry.
    const renewed = before?.expiresAt !== row?.expiresAt
    if (found) for (const tag of new Set(is)) if (renewed || !was.includes(tag)) put(tagItem(found, tag))
  }
  function plain(cell: PlainCell): void {
    if (cell.value === undefined) remove(cell.name, unchanged(cell, now))
    else put(cellItem(cell.name, cell.shape, cell.value, stamp), unchanged(cell, now))
  }
  function head(cell: Head): void {
    const { contents } = cell
    if (cell.value === undefined) remove(cell.name, unchanged(cell, now))
    else put(cellItem(cell.name, bufferShape, cell.value, stamp, contents.generation), unchanged(cell, now))
    const place = contents.emptied ? 0 : (cell.before?.n ?? 0)
    for (const [i, row] of [...contents.added.values()].entries())
      put(bufferItem(contents.scope, contents.buffer, row, contents.generation, place + i))
  }

  /** What there is not, and was not, is as little to be written as what only was looked at. */
  const each = <C extends Cell<unknown>>(cells: Iterable<C>, write: (cell: C) => void): void => {
    for (const cell of cells) {
      if (cell.writes > 0 && (cell.value !== undefined || cell.was !== undefined)) write(cell)
      else if (checked.has(cell)) check(cell)
    }
  }
  each(view.entryCells.values(), entry)
  each(view.plainCells.values(), plain)
  each(view.heads.values(), head)
  return { items, bytes }
}

/** A change to a counter: one update by itself, under a condition that makes it right whoever else counts. */
export interface Count {
  readonly cell: Cell<Counter>
  readonly by: number
  /** It goes on from what was read; else it begins anew. */
  readonly goesOn: boolean
  readonly Key: Item
  readonly UpdateExpression: string
  readonly ConditionExpression: string
  readonly ExpressionAttributeValues: Record<string, AttributeValue>
}

/** `room`: by how much a counter may have grown since it was read, so that no limit is passed. `token` tells, after a lost answer, whether it was done. */
export function countOf(cell: Cell<Counter>, room: number, token: string, now: number): Count {
  const { before, value } = cell
  const goesOn = before !== undefined && before.expiresAt > now
  const by = (value?.n ?? 0) - (goesOn ? before.n : 0)
  const number = (n: number): AttributeValue => ({ N: String(n) })
  const values = {
    ':t': { S: token },
    ':ex': number(value?.expiresAt ?? 0),
    ':by': number(by),
    ':at': number(now),
  }
  if (!goesOn)
    return {
      cell,
      by,
      goesOn,
      Key: keyOf(cell.name),
      UpdateExpression: 'SET n = :by, ex = :ex, tok = :t, ct = :at, #ttl = :ttl',
      ConditionExpression: 'attribute_not_exists(pk) OR ex <= :at',
      ExpressionAttributeValues: { ...values, ':ttl': ttlOf(value?.expiresAt ?? 0) },
    }
  const most = Number.isFinite(room) ? before.n + room : undefined
  return {
    cell,
    by,
    goesOn,
    Key: keyOf(cell.name),
    UpdateExpression: 'SET n = n + :by, tok = :t, ct = :at',
    ConditionExpression: most === undefined ? 'ex = :ex' : 'ex = :ex AND n <= :most',
    ExpressionAttributeValues: { ...values, ...(most !== undefined && { ':most': number(most) }) },
  }
}
