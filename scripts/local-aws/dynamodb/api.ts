/** DynamoDB comes from dynalite, in memory; transactions, time to live and some answers it lacks are added here. */
import { randomUUID } from 'node:crypto'
import { type Answer, AwsError, asAwsError, header, json, jsonError, parseBody, type Service } from '../wire.ts'
import { openDynalite, type Reply } from './backend.ts'
import { openGate } from './gate.ts'
import { createIndex, createsIndex } from './indexes.ts'
import { openTimeToLive } from './time-to-live.ts'
import { openTransactions } from './transactions.ts'

const CONTENT_TYPE = 'application/x-amz-json-1.0'
const PREFIX = 'com.amazonaws.dynamodb.v20120810#'

/** What dynalite answers itself. */
const NATIVE = new Set([
  ...['CreateTable', 'DeleteTable', 'DescribeTable', 'ListTables', 'UpdateTable'],
  ...['PutItem', 'GetItem', 'UpdateItem', 'DeleteItem', 'Query', 'Scan', 'BatchGetItem', 'BatchWriteItem'],
  ...['TagResource', 'UntagResource', 'ListTagsOfResource'],
])
const SHOWS_ITEM = 'ReturnValuesOnConditionCheckFailure'

/** Single writes: each is refused while a transaction has its item in hand. */
const WRITES = new Set(['PutItem', 'UpdateItem', 'DeleteItem'])
/** AWS takes hours or days; nobody may count on either. */
const SWEEP_EVERY_MS = 1000

/** @param now for the time to live alone */
export const openDynamoDb = (now: () => number = Date.now): Service => {
  const ask = openDynalite()
  const gate = openGate()
  const transactions = openTransactions(ask, gate)
  const timeToLive = openTimeToLive((name, body) => gate.together(() => ask(name, body)))
  setInterval(() => void timeToLive.sweep(now()).catch(console.error), SWEEP_EVERY_MS).unref()

  const native = async (name: string, body: string): Promise<Reply> => {
    const reply = await ask(name, body)
    if (name === 'CreateTable' && reply.status === 200)
      transactions.made(String(parseBody<{ TableName?: string }>(body).TableName))
    const failed = reply.status !== 200 && body.includes(SHOWS_ITEM) && reply.body.includes('#ConditionalCheckFailed')
    if (!failed) return reply
    const input = JSON.parse(body) as Parameters<typeof transactions.current>[0]
    const item = input[SHOWS_ITEM] === 'ALL_OLD' ? await transactions.current(input) : undefined
    return item ? { ...reply, body: JSON.stringify({ ...JSON.parse(reply.body), Item: item }) } : reply
  }

  const operations: Record<string, (body: string) => Promise<unknown>> = {
    TransactWriteItems: transactions.write,
    TransactGetItems: transactions.get,
    UpdateTimeToLive: timeToLive.update,
    DescribeTimeToLive: timeToLive.describe,
  }

  const answer = async (name: string, body: string): Promise<Answer> => {
    const headers = { 'content-type': CONTENT_TYPE, 'x-amzn-requestid': randomUUID() }
    if (WRITES.has(name)) await transactions.refuseConflict(parseBody(body))
    if (name === 'UpdateTable' && createsIndex(body))
      return json(await gate.alone(() => createIndex(ask, parseBody(body))), 200, headers)
    if (NATIVE.has(name)) return { headers, ...(await gate.together(() => native(name, body))) }
    const run = operations[name]
    if (run) return json(await run(body), 200, headers)
    throw new AwsError(`${PREFIX}UnknownOperationException`, `The operation ${name} is not implemented`)
  }

  return async (call) => {
    try {
      return await answer(header(call, 'x-amz-target').split('.')[1] ?? '', (await call.body()).toString())
    } catch (error) {
      return jsonError(asAwsError(error), CONTENT_TYPE)
    }
  }
}
