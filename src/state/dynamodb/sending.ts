import type { TransactWriteItem } from '@aws-sdk/client-dynamodb'
import { type Client, Failed, type Waiting } from './client.ts'
import { isError, reasonsOf } from './failure.ts'

/** How a transaction ended. */
export type Sent =
  | { readonly end: 'done' }
  /** Nothing was done: others have changed what it rests on, or have it in hand. `failed`: places of the conditions that did not hold. */
  | { readonly end: 'stale'; readonly failed: readonly number[] }
  /** Nothing was done, and nothing will be. `wrong`: for what it is, as an item that is too large; else for the table, or the rights to it. */
  | { readonly end: 'refused'; readonly why: string; readonly wrong: boolean }
  | { readonly end: 'unavailable'; readonly why: string }
  /** It may be done. */
  | { readonly end: 'unknown'; readonly why: string }

/**
 * One transaction. A lost answer is asked for again under the same token: DynamoDB does a token's request once, so the second answer
 * says what became of both, for ten minutes and whatever others have written since. But for one that others are in the way of: the first
 * may still be on its way, and be done when they are not.
 */
export async function send(
  client: Client,
  TransactItems: TransactWriteItem[],
  token: string,
  wait: Waiting,
): Promise<Sent> {
  let doubt: string | undefined
  for (;;) {
    try {
      await client.once((db, o) =>
        db.send(new client.sdk.TransactWriteItemsCommand({ TransactItems, ClientRequestToken: token }), o),
      )
      return { end: 'done' }
    } catch (e) {
      if (!(e instanceof Failed)) throw e
      const inProgress = e.message.startsWith('TransactionInProgressException')
      if (e.fate === 'ambiguous') doubt = e.message
      else if (e.fate === 'condition' || (e.fate === 'conflict' && !inProgress && doubt === undefined))
        return { end: 'stale', failed: failedPlaces(e) }
      else if (e.fate === 'refused')
        return doubt ? { end: 'unknown', why: doubt } : { end: 'refused', why: e.message, wrong: isWrong(e) }
      else if (e.fate === 'unreachable' && doubt === undefined) return { end: 'unavailable', why: e.message }
      if (!(await wait.again())) return doubt ? { end: 'unknown', why: doubt } : { end: 'unavailable', why: e.message }
    }
  }
}

const failedPlaces = (e: Failed): number[] =>
  reasonsOf(e.cause).flatMap((r, i) => (r.Code === 'ConditionalCheckFailed' ? [i] : []))
/** A transaction's items are refused each for itself. */
const isWrong = ({ cause }: Failed): boolean =>
  reasonsOf(cause).some((r) => r.Code === 'ValidationError') || (isError(cause) && cause.name === 'ValidationException')
