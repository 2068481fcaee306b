import { StateUnavailable } from '../../core/errors.ts'
import type { Op } from '../../core/state.ts'
import { BUFFER } from '../decide/ops/buffers.ts'
import type { Client } from './client.ts'
import { cellName, entryName, type Item, keyOf, type Name, nameOfItem, nameText, rowName } from './items.ts'
import type { Read, Unread } from './view.ts'

/** DynamoDB's own limits of one request. */
const KEYS_AT_ONCE = 100

/** Items a commit's ops ask for, as far as it shows before anything is read. */
export function asked(scope: string, ops: readonly Op[]): { readonly names: Name[]; readonly buffers: string[] } {
  const names: Name[] = []
  const buffers: string[] = []
  for (const op of ops) {
    switch (op.op) {
      case 'put':
      case 'touch':
      case 'delete':
      case 'wake':
        names.push(entryName(op.kind, scope, op.id))
        break
      case 'count':
        names.push(cellName('counter', scope, op.id))
        break
      case 'admit':
        names.push(cellName('window', scope, op.id))
        break
      case 'slot':
        names.push(cellName('semaphore', scope, op.id))
        break
      case 'append':
        names.push(cellName('buffer', scope, op.id), entryName(BUFFER, scope, op.id), rowName(scope, op.id, op.itemId))
        break
      case 'seal':
        names.push(cellName('buffer', scope, op.id), entryName(BUFFER, scope, op.id))
        buffers.push(rowName(scope, op.id, '').pk)
    }
  }
  return { names, buffers }
}

/** Reads what is asked for into `read`; consistent, each item by itself. Rejects with StateUnavailable. */
export async function readInto(
  client: Client,
  table: string,
  read: Read,
  wanted: Pick<Unread, 'names' | 'buffers'>,
): Promise<void> {
  const names = new Map(wanted.names.map((n) => [nameText(n), n]))
  const buffers = [...new Set(wanted.buffers)].map(async (pk) => read.buffers.set(pk, await itemsOf(client, table, pk)))
  const [found] = await Promise.all([getItems(client, table, [...names.values()]), ...buffers])
  for (const key of names.keys()) read.items.set(key, found.get(key) ?? null)
}

/** Items by name, as they are now. */
export async function getItems(client: Client, table: string, names: readonly Name[]): Promise<Map<string, Item>> {
  const found = new Map<string, Item>()
  const pages: Promise<void>[] = []
  for (let i = 0; i < names.length; i += KEYS_AT_ONCE) pages.push(page(names.slice(i, i + KEYS_AT_ONCE).map(keyOf)))
  await Promise.all(pages)
  return found

  async function page(keys: Item[]): Promise<void> {
    const wait = client.patience()
    for (let left = keys; left.length > 0; ) {
      const { Responses, UnprocessedKeys } = await client.read((db, o) =>
        db.send(
          new client.sdk.BatchGetItemCommand({ RequestItems: { [table]: { Keys: left, ConsistentRead: true } } }),
          o,
        ),
      )
      for (const item of Responses?.[table] ?? []) found.set(nameText(nameOfItem(item)), item)
      left = UnprocessedKeys?.[table]?.Keys ?? []
      // Some are left out of an answer that would be too large, or where the table has too much to do.
      if (left.length > 0 && !(await wait.again())) throw new StateUnavailable('DynamoDB has too much to do')
    }
  }
}

/** All items of a partition. */
export async function itemsOf(client: Client, table: string, pk: string): Promise<Item[]> {
  const all: Item[] = []
  for (let from: Item | undefined, more = true; more; more = from !== undefined) {
    const page = await client.read((db, o) =>
      db.send(
        new client.sdk.QueryCommand({
          TableName: table,
          ConsistentRead: true,
          KeyConditionExpression: 'pk = :pk',
          ExpressionAttributeValues: { ':pk': { S: pk } },
          ...(from !== undefined && { ExclusiveStartKey: from }),
        }),
        o,
      ),
    )
    all.push(...(page.Items ?? []))
    from = page.LastEvaluatedKey
  }
  return all
}
