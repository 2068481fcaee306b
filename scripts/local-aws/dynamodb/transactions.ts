/**
 * TransactWriteItems and TransactGetItems over single operations. Runs alone (see gate.ts): each write is tried under its
 * own condition, and when one refuses, those before it are taken back. Nobody sees what lies between.
 */
import { z } from 'zod'
import { AwsError, parseBody } from '../wire.ts'
import type { Ask } from './backend.ts'

const item = z.record(z.string(), z.unknown())
type Item = z.infer<typeof item>
const operation = z.looseObject({
  TableName: z.string(),
  Key: item.optional(),
  Item: item.optional(),
  ReturnValuesOnConditionCheckFailure: z.string().optional(),
})
type Operation = z.infer<typeof operation>

const KINDS = { Put: 'PutItem', Update: 'UpdateItem', Delete: 'DeleteItem', ConditionCheck: 'PutItem' } as const
type Kind = keyof typeof KINDS
const writes = z.looseObject({
  TransactItems: z
    .array(z.partialRecord(z.enum(['Put', 'Update', 'Delete', 'ConditionCheck']), operation))
    .min(1)
    .max(100),
  ClientRequestToken: z.string().min(1).max(36).optional(),
})
const reads = z.looseObject({
  TransactItems: z
    .array(z.looseObject({ Get: operation }))
    .min(1)
    .max(100),
})

interface Reason {
  Code: string
  Message?: string
  Item?: Item
}
export interface Transactions {
  write(body: string): Promise<object>
  get(body: string): Promise<object>
  /** The item a failed condition met, where the caller wants to see it. */
  current(of: Operation): Promise<Item | undefined>
}

const PREFIX = 'com.amazonaws.dynamodb.v20120810#'
const invalid = (message: string): AwsError => new AwsError(`${PREFIX}ValidationException`, message)
const TOKEN_MS = 600_000

export const openTransactions = (ask: Ask): Transactions => {
  const tokens = new Map<string, { request: string; until: number }>()

  const run = async (name: string, input: object): Promise<Record<string, unknown>> => {
    const { status, body } = await ask(name, JSON.stringify(input))
    const answer = JSON.parse(body) as Record<string, unknown>
    if (status === 200) return answer
    throw new AwsError(String(answer.__type), String(answer.message ?? answer.Message ?? ''), status)
  }
  const read = async (TableName: string, Key: Item): Promise<Item | undefined> =>
    (await run('GetItem', { TableName, Key, ConsistentRead: true })).Item as Item | undefined
  const keyOf = async ({ TableName, Key, Item = {} }: Operation): Promise<Item> => {
    if (Key) return Key
    const { Table } = (await run('DescribeTable', { TableName })) as {
      Table: { KeySchema: { AttributeName: string }[] }
    }
    return Object.fromEntries(Table.KeySchema.map(({ AttributeName }) => [AttributeName, Item[AttributeName]]))
  }
  const restore = (TableName: string, key: Item, before: Item | undefined) =>
    before ? run('PutItem', { TableName, Item: before }) : run('DeleteItem', { TableName, Key: key })

  /** Tries one write; the answer says why it refused, if it did. A check writes the item back as it was. */
  const attempt = async (kind: Kind, given: Operation, key: Item, before: Item | undefined): Promise<Reason> => {
    const { ReturnValuesOnConditionCheckFailure: wanted, ...input } = given
    try {
      if (kind === 'ConditionCheck') {
        const { Key: _, ...check } = input
        await run('PutItem', { ...check, Item: before ?? key })
        if (!before) await restore(given.TableName, key, undefined)
      } else await run(KINDS[kind], input)
      return { Code: 'None' }
    } catch (error) {
      if (!(error instanceof AwsError) || !error.code.endsWith('#ConditionalCheckFailedException')) throw error
      const seen = wanted === 'ALL_OLD' && before ? { Item: before } : {}
      return { Code: 'ConditionalCheckFailed', Message: 'The conditional request failed', ...seen }
    }
  }

  const writeAll = async (items: Partial<Record<Kind, Operation>>[]): Promise<void> => {
    const plan: { kind: Kind; given: Operation; key: Item }[] = []
    const touched = new Set<string>()
    for (const each of items) {
      const [[kind, given] = [], more] = Object.entries(each) as [Kind, Operation][]
      if (!kind || !given || more) throw invalid('TransactItems can only contain one of Check, Put, Update or Delete')
      const key = await keyOf(given)
      const name = JSON.stringify([given.TableName, Object.entries(key).sort()])
      if (touched.has(name)) throw invalid('Transaction request cannot include multiple operations on one item')
      touched.add(name)
      plan.push({ kind, given, key })
    }
    const undo: (() => Promise<unknown>)[] = []
    const takeBack = async () => {
      for (const step of undo.reverse()) await step()
    }
    const reasons: Reason[] = []
    for (const { kind, given, key } of plan) {
      try {
        const before = await read(given.TableName, key)
        const reason = await attempt(kind, given, key, before)
        reasons.push(reason)
        if (reason.Code === 'None' && kind !== 'ConditionCheck') undo.push(() => restore(given.TableName, key, before))
      } catch (error) {
        await takeBack()
        throw error
      }
    }
    if (reasons.every(({ Code }) => Code === 'None')) return
    await takeBack()
    const codes = reasons.map(({ Code }) => Code).join(', ')
    const message = `Transaction cancelled, please refer cancellation reasons for specific reasons [${codes}]`
    throw new AwsError(`${PREFIX}TransactionCanceledException`, message, 400, { CancellationReasons: reasons })
  }

  const parse = <T>(shape: z.ZodType<T>, body: string): T => {
    const parsed = shape.safeParse(parseBody(body))
    if (parsed.success) return parsed.data
    throw invalid(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
  }

  return {
    write: async (body) => {
      const { TransactItems, ClientRequestToken: token } = parse(writes, body)
      const request = JSON.stringify(TransactItems)
      const known = token === undefined ? undefined : tokens.get(token)
      if (known && known.until > Date.now()) {
        if (known.request === request) return {}
        throw new AwsError(`${PREFIX}IdempotentParameterMismatchException`, 'The token was used with other parameters')
      }
      await writeAll(TransactItems)
      if (token !== undefined) {
        for (const [old, { until }] of tokens) if (until <= Date.now()) tokens.delete(old)
        tokens.set(token, { request, until: Date.now() + TOKEN_MS })
      }
      return {}
    },
    get: async (body) => {
      const Responses: object[] = []
      for (const { Get } of parse(reads, body).TransactItems) {
        const { Item } = await run('GetItem', Get)
        Responses.push(Item === undefined ? {} : { Item })
      }
      return { Responses }
    },
    current: async (of) => read(of.TableName, await keyOf(of)),
  }
}
