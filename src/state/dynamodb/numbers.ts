import { StateUnavailable } from '../../core/errors.ts'
import { type Client, Failed, unavailable } from './client.ts'
import { keyOf } from './items.ts'
import { ALONE, partitionKey } from './text.ts'

const BLOCK = 1_000_000
/** With fewer left, the next block is fetched. */
const FEW = 100_000

/** Claim numbers, never given twice: reserved in blocks, so that a claim costs no request; a block whose answer was lost is skipped. */
export async function openNumbers(client: Client, table: string): Promise<() => number> {
  const Key = keyOf({ pk: partitionKey('numbers'), sk: ALONE })
  let [last, end] = [0, 0]
  let fetching: Promise<void> | undefined

  async function fetchBlock(): Promise<void> {
    const wait = client.patience()
    for (;;) {
      try {
        const { Attributes } = await client.once((db, o) =>
          db.send(
            new client.sdk.UpdateItemCommand({
              TableName: table,
              Key,
              UpdateExpression: 'ADD n :block',
              ExpressionAttributeValues: { ':block': { N: String(BLOCK) } },
              ReturnValues: 'UPDATED_NEW',
            }),
            o,
          ),
        )
        end = Number(Attributes?.['n']?.N)
        last = Math.max(last, end - BLOCK)
        return
      } catch (e) {
        if (!(e instanceof Failed)) throw e
        if (e.fate === 'refused' || e.fate === 'unreachable' || !(await wait.again())) throw unavailable(e)
      }
    }
  }
  await fetchBlock()
  return () => {
    if (end - last < FEW && fetching === undefined) {
      // Whoever finds none left is told so; until then there is time to try again.
      fetching = fetchBlock()
        .catch(() => {})
        .finally(() => {
          fetching = undefined
        })
    }
    if (last >= end) throw new StateUnavailable('no claim numbers are left; DynamoDB gives no more')
    return ++last
  }
}
