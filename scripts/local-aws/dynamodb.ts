/** DynamoDB comes from dynalite, in memory; what it lacks is added here. */
import dynalite from 'dynalite'
import { AwsError, asAwsError, type Call, header, json, jsonError, type Service } from './wire.ts'

const CONTENT_TYPE = 'application/x-amz-json-1.0'
const PREFIX = 'com.amazonaws.dynamodb.v20120810#'

/** What dynalite answers itself, besides the operations on tables and items. */
const NATIVE = new Set([
  ...['CreateTable', 'DeleteTable', 'DescribeTable', 'ListTables', 'UpdateTable'],
  ...['PutItem', 'GetItem', 'UpdateItem', 'DeleteItem', 'Query', 'Scan', 'BatchGetItem', 'BatchWriteItem'],
  ...['TagResource', 'UntagResource', 'ListTagsOfResource'],
])

interface TtlInput {
  TableName?: string
  TimeToLiveSpecification?: { Enabled: boolean; AttributeName: string }
}

export const openDynamoDb = (): Service => {
  // It never listens: requests are handed to it as they come.
  const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
  const timeToLive = new Map<string, { Enabled: boolean; AttributeName: string }>()

  // Kept and shown, not acted on: on AWS too an expired item may stay for days.
  const operations: Record<string, (input: TtlInput) => unknown> = {
    UpdateTimeToLive: ({ TableName = '', TimeToLiveSpecification: wanted }) => {
      if (!wanted) throw new AwsError(`${PREFIX}ValidationException`, 'TimeToLiveSpecification is required')
      timeToLive.set(TableName, wanted)
      return { TimeToLiveSpecification: wanted }
    },
    DescribeTimeToLive: ({ TableName = '' }) => {
      const set = timeToLive.get(TableName)
      const status = set?.Enabled ? 'ENABLED' : 'DISABLED'
      return {
        TimeToLiveDescription: { TimeToLiveStatus: status, ...(set ? { AttributeName: set.AttributeName } : {}) },
      }
    },
  }

  return async (call: Call) => {
    const name = header(call, 'x-amz-target').split('.')[1] ?? ''
    if (NATIVE.has(name)) {
      server.emit('request', call.request, call.response)
      return undefined
    }
    try {
      const run = operations[name]
      if (!run) throw new AwsError(`${PREFIX}UnknownOperationException`, `The operation ${name} is not implemented`)
      return json(run(JSON.parse((await call.body()).toString()) as TtlInput), 200, { 'content-type': CONTENT_TYPE })
    } catch (error) {
      return jsonError(asAwsError(error), CONTENT_TYPE)
    }
  }
}
