import type { Op } from '../../core/state.ts'
import { BUFFER } from '../decide/ops/buffers.ts'
import type { Client } from './client.ts'
import { type Item, idOfItem, noteItem } from './items.ts'
import { partitionKey, sortKey } from './text.ts'

/** Notes that a process has made, so that each is made once; forgotten when they are many. */
const REMEMBERED = 100_000

/** What DynamoDB cannot be asked for otherwise: a partition's notes say what there has ever been. Made before what they tell of. */
export interface Registry {
  note(pk: string, id: string): Promise<void>
  /** Ids in order, after the given one. */
  page(pk: string, after: string | undefined, limit: number): Promise<string[]>
}

export function openRegistry(client: Client, table: string): Registry {
  const made = new Map<string, Promise<void>>()
  async function make(pk: string, id: string): Promise<void> {
    // The same whoever makes it, and however often.
    await client.read((db, o) =>
      db.send(new client.sdk.PutItemCommand({ TableName: table, Item: noteItem(pk, id) }), o),
    )
  }
  return {
    note(pk, id) {
      const key = `${pk}\n${id}`
      let making = made.get(key)
      if (making === undefined) {
        if (made.size > REMEMBERED) made.clear()
        making = make(pk, id)
        made.set(key, making)
        making.catch(() => made.delete(key)) // whoever waits for it is told; the next one tries again
      }
      return making
    },
    async page(pk, after, limit) {
      const { Items = [] } = await client.read((db, o) =>
        db.send(
          new client.sdk.QueryCommand({
            TableName: table,
            ConsistentRead: true,
            KeyConditionExpression: after === undefined ? 'pk = :pk' : 'pk = :pk AND sk > :after',
            ExpressionAttributeValues: {
              ':pk': { S: pk },
              ...(after !== undefined && { ':after': { S: sortKey(after) } }),
            },
            Limit: limit,
          }),
          o,
        ),
      )
      return Items.map((item: Item) => idOfItem(item))
    },
  }
}

export const scopesKey = (kind: string): string => partitionKey('scopes', kind)
export const KINDS_KEY = partitionKey('kinds')

/** Kinds of entries that ops may write, and whether with a due time. */
export function kindsOf(ops: readonly Op[]): Map<string, boolean> {
  const kinds = new Map<string, boolean>()
  const add = (kind: string, due: boolean): void => void kinds.set(kind, due || kinds.get(kind) === true)
  for (const op of ops) {
    if (op.op === 'put') add(op.kind, op.dueAt !== undefined || op.claim !== undefined)
    else if (op.op === 'wake') add(op.kind, true)
    else if (op.op === 'append' || op.op === 'seal') {
      add(BUFFER, true)
      add(op.into.kind, true)
    }
  }
  return kinds
}
