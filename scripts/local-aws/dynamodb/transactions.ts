/**
 * TransactWriteItems and TransactGetItems over single operations. Each runs alone (see gate.ts): each write is tried under its
 * own condition, and when one refuses, those before it are taken back. Nobody sees what lies between. Whoever comes for an
 * item that a transaction under way has in hand is told of the conflict, as on AWS, and does not wait.
 */
import { z } from 'zod'
import { AwsError, parseBody } from '../wire.ts'
import type { Ask } from './backend.ts'
import type { Gate } from './gate.ts'

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
  /** For a single write: throws when a transaction under way has its item in hand. */
  refuseConflict(of: Operation): Promise<void>
  /** The table was made, perhaps anew: what was known of one of its name is of another. */
  made(table: string): void
}

const PREFIX = 'com.amazonaws.dynamodb.v20120810#'
const invalid = (message: string): AwsError => new AwsError(`${PREFIX}ValidationException`, message)
const TOKEN_MS = 600_000
const CONFLICT: Reason = {
  Code: 'TransactionConflict',
  Message: 'Transaction is ongoing for the item',
}
const cancelled = (reasons: readonly Reason[]): AwsError => {
  const codes = reasons.map(({ Code }) => Code).join(', ')
  const message = `Transaction cancelled, please refer cancellation reasons for specific reasons [${codes}]`
  return new AwsError(`${PREFIX}TransactionCanceledException`, message, 400, { CancellationReasons: reasons })
}

export const openTransactions = (ask: Ask, gate: Gate): Transactions => {
  const tokens = new Map<string, { request: string; until: number; done: boolean }>()
  /** Names of the items transactions under way have in hand. */
  const inHand = new Set<string>()
  /** The names of the attributes that are a table's key: a description of it for each item would cost as much as the write. */
  const keyNames = new Map<string, readonly string[]>()

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
    let names = keyNames.get(TableName)
    if (names === undefined) {
      const { Table } = (await run('DescribeTable', { TableName })) as {
        Table: { KeySchema: { AttributeName: string }[] }
      }
      names = Table.KeySchema.map(({ AttributeName }) => AttributeName)
      keyNames.set(TableName, names)
    }
    return Object.fromEntries(names.map((name) => [name, Item[name]]))
  }
  const restore = (TableName: string, key: Item, before: Item | undefined) =>
    before ? run('PutItem', { TableName, Item: before }) : run('DeleteItem', { TableName, Key: key })

  /** Tries one write; the answer says why it refused, if it did, or else what takes it back. A check writes the item back as it was. */
  const attempt = async (kind: Kind, given: Operation, key: Item): Promise<Reason | (() => Promise<unknown>)> => {
    const { ReturnValuesOnConditionCheckFailure: wanted, ...input } = given
    const { TableName } = given
    try {
      if (kind === 'ConditionCheck') {
        const { Key: _, ...check } = input
        const before = await read(TableName, key)
        await run('PutItem', { ...check, Item: before ?? key })
        if (!before) await restore(TableName, key, undefined)
        return async () => {}
      }
      const { Attributes: before } = await run(KINDS[kind], { ...input, ReturnValues: 'ALL_OLD' })
      return () => restore(TableName, key, before as Item | undefined)
    } catch (error) {
      if (!(error instanceof AwsError) || !error.code.endsWith('#ConditionalCheckFailedException')) throw error
      const before = wanted === 'ALL_OLD' ? await read(TableName, key) : undefined
      return {
        Code: 'ConditionalCheckFailed',
        Message: 'The conditional request failed',
        ...(before && { Item: before }),
      }
    }
  }

  const nameOf = (TableName: string, key: Item) => JSON.stringify([TableName, Object.entries(key).sort()])

  /** Has the items in hand while it works, or says which of them another has. */
  const holding = async <T>(names: readonly string[], work: () => Promise<T>): Promise<T> => {
    if (names.some((name) => inHand.has(name)))
      throw cancelled(names.map((name) => (inHand.has(name) ? CONFLICT : { Code: 'None' })))
    for (const name of names) inHand.add(name)
    try {
      return await gate.alone(work)
    } finally {
      for (const name of names) inHand.delete(name)
    }
  }

  type Planned = { kind: Kind; given: Operation; key: Item; name: string }
  const planOf = async (items: Partial<Record<Kind, Operation>>[]): Promise<Planned[]> => {
    const plan: Planned[] = []
    const touched = new Set<string>()
    for (const each of items) {
      const [[kind, given] = [], more] = Object.entries(each) as [Kind, Operation][]
      if (!kind || !given || more) throw invalid('TransactItems can only contain one of Check, Put, Update or Delete')
      const key = await keyOf(given)
      const name = nameOf(given.TableName, key)
      if (touched.has(name)) throw invalid('Transaction request cannot include multiple operations on one item')
      touched.add(name)
      plan.push({ kind, given, key, name })
    }
    return plan
  }

  const writeAll = async (plan: readonly Planned[]): Promise<void> => {
    const undo: (() => Promise<unknown>)[] = []
    const takeBack = async () => {
      for (const step of undo.reverse()) await step()
    }
    const reasons: Reason[] = []
    for (const { kind, given, key } of plan) {
      try {
        const done = await attempt(kind, given, key)
        if (typeof done === 'function') undo.push(done)
        reasons.push(typeof done === 'function' ? { Code: 'None' } : done)
      } catch (error) {
        await takeBack()
        throw error
      }
    }
    if (reasons.every(({ Code }) => Code === 'None')) return
    await takeBack()
    throw cancelled(reasons)
  }

  const parse = <T>(shape: z.ZodType<T>, body: string): T => {
    const parsed = shape.safeParse(parseBody(body))
    if (parsed.success) return parsed.data
    throw invalid(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
  }

  /** A token's request is done once; only one that was done is remembered. */
  const once = async (token: string, request: string, work: () => Promise<void>): Promise<void> => {
    const known = tokens.get(token)
    if (known && known.until > Date.now()) {
      if (known.request !== request)
        throw new AwsError(`${PREFIX}IdempotentParameterMismatchException`, 'The token was used with other parameters')
      if (known.done) return
      throw new AwsError(`${PREFIX}TransactionInProgressException`, 'The transaction with the token is in progress')
    }
    for (const [old, { until }] of tokens) if (until <= Date.now()) tokens.delete(old)
    const mine = { request, until: Date.now() + TOKEN_MS, done: false }
    tokens.set(token, mine)
    try {
      await work()
      mine.done = true
    } finally {
      if (!mine.done) tokens.delete(token)
    }
  }

  return {
    write: async (body) => {
      const { TransactItems, ClientRequestToken: token } = parse(writes, body)
      const plan = await planOf(TransactItems)
      const run = () =>
        holding(
          plan.map(({ name }) => name),
          () => writeAll(plan),
        )
      if (token === undefined) await run()
      else await once(token, JSON.stringify(TransactItems), run)
      return {}
    },
    get: async (body) => {
      const gets = parse(reads, body).TransactItems.map(({ Get }) => Get)
      const names = gets.map(({ TableName, Key = {} }) => nameOf(TableName, Key))
      return holding(names, async () => {
        const Responses: object[] = []
        for (const Get of gets) {
          const { Item } = await run('GetItem', Get)
          Responses.push(Item === undefined ? {} : { Item })
        }
        return { Responses }
      })
    },
    current: async (of) => read(of.TableName, await keyOf(of)),
    refuseConflict: async (of) => {
      if (inHand.size === 0 || !inHand.has(nameOf(of.TableName, await keyOf(of)))) return
      throw new AwsError(`${PREFIX}TransactionConflictException`, CONFLICT.Message ?? '')
    },
    made: (table) => void keyNames.delete(table),
  }
}
