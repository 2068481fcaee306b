import type { TransactWriteItem } from '@aws-sdk/client-dynamodb'
import type { Clock } from '../../../core/clock.ts'
import { type Client, Failed } from '../client.ts'
import type { Item } from '../items.ts'
import { TTL } from '../tables.ts'
import { partitionKey } from '../text.ts'
import { KEPT_MS, SETTLED_MS } from './ages.ts'

/** A node's part of the trail. */
export const trailKey = (node: string): string => partitionKey('buffer', node)
/** Numbers as sort keys. */
export const numberKey = (n: number): string => String(n).padStart(16, '0')

/** A number was given to a transaction that carries records, and here is its item. */
export interface Numbered {
  readonly node: string
  readonly seq: number
  /** `names` of its records, in their order. */
  item(names: readonly (readonly [pk: string, sk: string])[]): TransactWriteItem
  /** Undefined: it may have been done, or may still be. */
  ended(done: boolean | undefined): void
}

/**
 * The order in which a node's records become visible, without a place that all transactions of all nodes would have to change.
 *
 * 1 Each transaction with records also puts one item into its node's own partition, under the node's next number. They become visible
 *   together.
 * 2 Transactions of one node overlap, so a number may become visible before a smaller one. Each item says below which number all have
 *   ended when it was sent; a gap that nothing yet says this of is waited for.
 * 3 A number whose transaction was not done stays a gap: the node's next one says so, and where none is to come it says so itself.
 */
export function openTrail(client: Client, table: string, node: string, clock: Pick<Clock, 'now' | 'timer'>) {
  let last = 0
  let lastDone = 0
  /** Numbers that have not ended, and those that came to nothing and of which nothing visible says so yet. */
  const underWay = new Set<number>()
  const untold = new Set<number>()
  const background = new Set<Promise<void>>()

  const itemOf = (seq: number, low: number, names: readonly (readonly string[])[]): Item => {
    const now = clock.now()
    return {
      pk: { S: trailKey(node) },
      sk: { S: numberKey(seq) },
      low: { N: String(low) },
      at: { N: String(now) },
      rows: { S: JSON.stringify(names) },
      [TTL]: { N: String(Math.ceil((now + KEPT_MS) / 1000)) },
    }
  }
  function settle(seq: number, low: number, done: boolean | undefined): void {
    // Nobody may be told that it has ended before that is so.
    if (done === undefined) return void clock.timer(SETTLED_MS, () => settle(seq, low, false))
    underWay.delete(seq)
    if (done) {
      lastDone = Math.max(lastDone, seq)
      for (const n of untold) if (n < low) untold.delete(n)
    } else untold.add(seq)
    if (underWay.size > 0) return
    const waitedFor = [...untold].some((n) => n < lastDone)
    untold.clear()
    if (!waitedFor) return
    const telling = tell(++last).finally(() => background.delete(telling))
    background.add(telling)
  }
  async function tell(seq: number): Promise<void> {
    try {
      await client.once((db, o) =>
        db.send(new client.sdk.PutItemCommand({ TableName: table, Item: itemOf(seq, seq, []) }), o),
      )
    } catch (e) {
      // The next transaction says it; without one the gap is settled when it is old.
      if (!(e instanceof Failed)) throw e
    }
  }

  return {
    number(): Numbered {
      const seq = ++last
      underWay.add(seq)
      const low = Math.min(...underWay)
      return {
        node,
        seq,
        item: (names) => ({ Put: { TableName: table, Item: itemOf(seq, low, names) } }),
        ended: (done) => settle(seq, low, done),
      }
    },
    /** Waits for what is under way. */
    async close() {
      await Promise.all(background)
    },
  }
}
export type Trail = ReturnType<typeof openTrail>
