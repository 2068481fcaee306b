import { StateUnavailable } from '../../../core/errors.ts'
import { type Client, Failed } from '../client.ts'
import { type Item, idOfItem, noteItem } from '../items.ts'
import { itemsOf } from '../reading.ts'
import { partitionKey, sortKey } from '../text.ts'
import { FOLLOWED_MS } from './ages.ts'
import type { Name } from './names.ts'
import { isAfter, type Places, type Position } from './positions.ts'
import { numberKey } from './trail.ts'

/** The last record of each node that was purged of a scope. */
export interface Purged {
  readonly scope: string
  readonly upTo: Places
}
const PURGED_KEY = partitionKey('tag', 'purged')
/** A node's last purged record in one note of the scope: `p` and its name. */
const FIELD = 'p:'
const FORGOTTEN_AT_ONCE = 100
const placeText = ([seq, taken]: readonly [number, number]): string =>
  `${numberKey(seq)}.${String(taken).padStart(3, '0')}`
const placeOf = (text: string): readonly [number, number] => {
  const [seq, taken] = text.split('.')
  return [Number(seq), Number(taken)]
}

/** Where in the trail a record is, as it says itself. */
export const placeOfRow = (item: Item): readonly [node: string, place: readonly [number, number]] | undefined =>
  item['tn']?.S === undefined ? undefined : [item['tn'].S, [Number(item['ts']?.N), Number(item['ti']?.N)]]

export async function readPurged(client: Client, table: string): Promise<Purged[]> {
  return (await itemsOf(client, table, PURGED_KEY)).map((item) => ({ scope: idOfItem(item), upTo: placesOf(item) }))
}
const placesOf = (item: Item): Places =>
  new Map(
    Object.entries(item).flatMap(([name, v]) =>
      name.startsWith(FIELD) && v.S !== undefined ? [[name.slice(FIELD.length), placeOf(v.S)] as const] : [],
    ),
  )

/** Whether there may be positions from which a node's records are still to be followed. */
export const isFollowed = (name: Name | undefined, now: number): boolean =>
  name !== undefined && name.until > now - FOLLOWED_MS

/** Forgets of the nodes of a scope's note those that nobody follows any more. */
export async function forgetPurged(client: Client, table: string, scope: string, gone: (node: string) => boolean) {
  const { pk, sk } = noteItem(PURGED_KEY, scope)
  const Key = { pk: pk!, sk: sk! }
  const { Item } = await client.read((db, o) =>
    db.send(new client.sdk.GetItemCommand({ TableName: table, Key, ConsistentRead: true }), o),
  )
  const fields = [...placesOf(Item ?? {}).keys()].filter(gone).slice(0, FORGOTTEN_AT_ONCE)
  if (fields.length === 0) return
  await client.read((db, o) =>
    db.send(
      new client.sdk.UpdateItemCommand({
        TableName: table,
        Key,
        UpdateExpression: `REMOVE ${fields.map((_, i) => `#f${i}`).join(', ')}`,
        ExpressionAttributeNames: Object.fromEntries(fields.map((node, i) => [`#f${i}`, FIELD + node])),
      }),
      o,
    ),
  )
}

/** Says that rows are about to be deleted: before they are, so that nobody misses one untold. */
export async function notePurged(client: Client, table: string, scope: string, upTo: Places): Promise<void> {
  const note = noteItem(PURGED_KEY, scope)
  const { pk, sk, ...rest } = note
  for (const [node, place] of upTo) {
    const sets = ['#p = :p', ...Object.keys(rest).map((name) => `#k = :${name}`)]
    try {
      // Said twice is said once, so that a lost answer is asked for again.
      await client.read((db, o) =>
        db.send(
          new client.sdk.UpdateItemCommand({
            TableName: table,
            Key: { pk: pk!, sk: sk! ?? { S: sortKey(scope) } },
            UpdateExpression: `SET ${sets.join(', ')}`,
            // Places compare as their texts do.
            ConditionExpression: 'attribute_not_exists(#p) OR #p < :p',
            ExpressionAttributeNames: { '#p': FIELD + node, ...(Object.keys(rest).length > 0 && { '#k': 'key' }) },
            ExpressionAttributeValues: {
              ':p': { S: placeText(place) },
              ...Object.fromEntries(Object.entries(rest).map(([name, v]) => [`:${name}`, v])),
            },
          }),
          o,
        ),
      )
    } catch (e) {
      const further = e instanceof StateUnavailable && e.cause instanceof Failed && e.cause.fate === 'condition'
      if (!further) throw e
    }
  }
}

/** What was purged of what is after the position, as far as that can be followed; undefined: nothing. */
export function purgedAfter(
  all: readonly Purged[],
  from: Position,
  scope: string | undefined,
  isAhead: (node: string) => boolean,
): Position | undefined {
  const upTo = new Map(from.places)
  let any = false
  for (const p of all) {
    if (scope !== undefined && p.scope !== scope) continue
    for (const [node, place] of p.upTo)
      if (isAhead(node) && isAfter(place, upTo.get(node))) {
        upTo.set(node, place)
        any = true
      }
  }
  return any ? { hour: from.hour, places: upTo } : undefined
}
