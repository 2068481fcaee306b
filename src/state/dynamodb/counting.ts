import { StateUnavailable } from '../../core/errors.ts'
import { type Client, Failed } from './client.ts'
import { keyOf, nameText } from './items.ts'
import type { Count } from './plan.ts'

/** How counting ended: by how much each counter had grown since it was read; or it was undone, and why. */
export type Counted = { readonly more: ReadonlyMap<string, number> } | { readonly failed: Failed }

/**
 * Counters, each by one conditional update, so that a hot one holds nobody up. Where one does not hold, those that did are taken back;
 * what cannot be taken back stays counted, never the other way round.
 */
export async function countAll(client: Client, table: string, counts: readonly Count[]): Promise<Counted> {
  const ends = await Promise.all(counts.map((c) => settled(c)))
  const failed = ends.find((e) => e instanceof Failed)
  if (failed === undefined) return { more: new Map(counts.map((c, i) => [nameText(c.cell.name), Number(ends[i])])) }
  await uncount(
    client,
    table,
    counts.filter((_, i) => !(ends[i] instanceof Failed)),
  )
  return { failed }

  async function settled(count: Count): Promise<number | Failed> {
    const wait = client.patience()
    for (;;) {
      try {
        const n = await one(count)
        return n - (count.cell.value?.n ?? 0)
      } catch (e) {
        if (!(e instanceof Failed)) throw e
        if (e.fate === 'ambiguous') return (await tell(count)) ?? e
        if (e.fate !== 'throttled' || !(await wait.again())) return e
      }
    }
  }
  async function one({ Key, UpdateExpression, ConditionExpression, ExpressionAttributeValues, goesOn }: Count) {
    const { Attributes } = await client.once((db, o) =>
      db.send(
        new client.sdk.UpdateItemCommand({
          TableName: table,
          Key,
          UpdateExpression,
          ConditionExpression,
          ExpressionAttributeValues,
          ...(!goesOn && { ExpressionAttributeNames: { '#ttl': 'ttl' } }),
          ReturnValues: 'UPDATED_NEW',
        }),
        o,
      ),
    )
    return Number(Attributes?.['n']?.N)
  }
  /** After a lost answer: the counter shows who changed it last. Undefined: it may have been us, before another. */
  async function tell(count: Count): Promise<number | undefined> {
    try {
      const { Item } = await client.read((db, o) =>
        db.send(new client.sdk.GetItemCommand({ TableName: table, Key: count.Key, ConsistentRead: true }), o),
      )
      const mine = Item?.['tok']?.S === count.ExpressionAttributeValues[':t']?.S
      return mine ? Number(Item?.['n']?.N) - (count.cell.value?.n ?? 0) : undefined
    } catch (e) {
      if (e instanceof StateUnavailable) return undefined
      throw e
    }
  }
}

/** Takes back what was counted for a commit that was not done. */
export async function uncount(client: Client, table: string, counts: readonly Count[]): Promise<void> {
  await Promise.all(
    counts.map(async ({ cell, by }) => {
      try {
        await client.once((db, o) =>
          db.send(
            new client.sdk.UpdateItemCommand({
              TableName: table,
              Key: keyOf(cell.name),
              UpdateExpression: 'SET n = n - :by REMOVE tok',
              ConditionExpression: 'ex = :ex',
              ExpressionAttributeValues: {
                ':by': { N: String(by) },
                ':ex': { N: String(cell.value?.expiresAt ?? 0) },
              },
            }),
            o,
          ),
        )
      } catch (e) {
        // It stays counted, until it expires: a guard may be, after a failure.
        if (!(e instanceof Failed)) throw e
      }
    }),
  )
}
