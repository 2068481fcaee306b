/** DynamoDB comes from dynalite, in memory; transactions, time to live and some answers it lacks are added here. */
import { randomUUID } from 'node:crypto'
import { type Answer, AwsError, asAwsError, header, json, jsonError, parseBody, type Service } from '../wire.ts'
import { openDynalite, type Reply } from './backend.ts'
import { openGate } from './gate.ts'
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

interface TtlInput {
  TableName?: string
  TimeToLiveSpecification?: { Enabled: boolean; AttributeName: string }
}

export const openDynamoDb = (): Service => {
  const ask = openDynalite()
  const gate = openGate()
  const transactions = openTransactions(ask)
  const timeToLive = new Map<string, { Enabled: boolean; AttributeName: string }>()

  const native = async (name: string, body: string): Promise<Reply> => {
    const reply = await ask(name, body)
    const failed = reply.status !== 200 && body.includes(SHOWS_ITEM) && reply.body.includes('#ConditionalCheckFailed')
    if (!failed) return reply
    const input = JSON.parse(body) as Parameters<typeof transactions.current>[0]
    const item = input[SHOWS_ITEM] === 'ALL_OLD' ? await transactions.current(input) : undefined
    return item ? { ...reply, body: JSON.stringify({ ...JSON.parse(reply.body), Item: item }) } : reply
  }

  // Kept and shown, not acted on: on AWS too an expired item may stay for days.
  const operations: Record<string, (body: string) => Promise<unknown>> = {
    TransactWriteItems: (body) => gate.alone(() => transactions.write(body)),
    TransactGetItems: (body) => gate.alone(() => transactions.get(body)),
    UpdateTimeToLive: async (body) => {
      const { TableName = '', TimeToLiveSpecification: wanted } = parseBody<TtlInput>(body)
      if (!wanted) throw new AwsError(`${PREFIX}ValidationException`, 'TimeToLiveSpecification is required')
      timeToLive.set(TableName, wanted)
      return { TimeToLiveSpecification: wanted }
    },
    DescribeTimeToLive: async (body) => {
      const { TableName = '' } = parseBody<TtlInput>(body)
      const set = timeToLive.get(TableName)
      const status = set?.Enabled ? 'ENABLED' : 'DISABLED'
      return { TimeToLiveDescription: { TimeToLiveStatus: status, ...(set && { AttributeName: set.AttributeName }) } }
    },
  }

  const answer = async (name: string, body: string): Promise<Answer> => {
    const headers = { 'content-type': CONTENT_TYPE, 'x-amzn-requestid': randomUUID() }
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
