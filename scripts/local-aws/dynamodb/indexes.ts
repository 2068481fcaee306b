/** An index made on a table that is there: dynalite knows them from a table's birth only, so the table is made anew with its items. */
import { AwsError } from '../wire.ts'
import type { Ask } from './backend.ts'

interface Table {
  TableName: string
  TableStatus: string
  BillingModeSummary?: { BillingMode: string }
  ProvisionedThroughput?: { ReadCapacityUnits: number; WriteCapacityUnits: number }
  KeySchema: object[]
  AttributeDefinitions: { AttributeName: string }[]
  GlobalSecondaryIndexes?: { IndexName: string; KeySchema: object[]; Projection: object }[]
}
interface Update {
  TableName: string
  AttributeDefinitions?: { AttributeName: string }[]
  GlobalSecondaryIndexUpdates?: { Create?: { IndexName: string; KeySchema: object[]; Projection: object } }[]
}

export const createsIndex = (body: string): boolean => /"Create"\s*:/.test(body)

/** Runs alone: nobody may see the table while it is gone. Answers as UpdateTable does. */
export async function createIndex(ask: Ask, update: Update): Promise<object> {
  const run = async <T>(name: string, input: object): Promise<T> => {
    const { status, body } = await ask(name, JSON.stringify(input))
    const answer = JSON.parse(body) as T & { __type?: string; message?: string }
    if (status === 200) return answer
    throw new AwsError(String(answer.__type), answer.message ?? '', status)
  }
  const { TableName } = update
  const describe = async () => (await run<{ Table: Table }>('DescribeTable', { TableName })).Table
  const table = await describe()
  const onDemand = table.BillingModeSummary?.BillingMode === 'PAY_PER_REQUEST'
  const created = (update.GlobalSecondaryIndexUpdates ?? []).flatMap(({ Create }) => Create ?? [])
  const had = table.GlobalSecondaryIndexes ?? []
  const twice = created.find((c) => had.some((h) => h.IndexName === c.IndexName))
  if (twice)
    throw new AwsError(
      'com.amazonaws.dynamodb.v20120810#ValidationException',
      `Attempting to create an index which already exists: ${twice.IndexName}`,
    )
  const throughput = { ReadCapacityUnits: 1, WriteCapacityUnits: 1 }
  const index = ({ IndexName, KeySchema, Projection }: (typeof created)[number]) => ({
    IndexName,
    KeySchema,
    Projection,
    ...(!onDemand && { ProvisionedThroughput: throughput }),
  })
  const definitions = new Map(
    [...table.AttributeDefinitions, ...(update.AttributeDefinitions ?? [])].map((d) => [d.AttributeName, d]),
  )

  const items: object[] = []
  for (let from: unknown, more = true; more; ) {
    const page = await run<{ Items: object[]; LastEvaluatedKey?: unknown }>('Scan', {
      TableName,
      ...(from !== undefined && { ExclusiveStartKey: from }),
    })
    items.push(...page.Items)
    from = page.LastEvaluatedKey
    more = from !== undefined
  }
  await run('DeleteTable', { TableName })
  const gone = async () => (await ask('DescribeTable', JSON.stringify({ TableName }))).status !== 200
  while (!(await gone()));
  await run('CreateTable', {
    TableName,
    KeySchema: table.KeySchema,
    AttributeDefinitions: [...definitions.values()],
    GlobalSecondaryIndexes: [...had, ...created].map(index),
    ...(onDemand ? { BillingMode: 'PAY_PER_REQUEST' } : { ProvisionedThroughput: throughput }),
  })
  let made = await describe()
  while (made.TableStatus !== 'ACTIVE') made = await describe()
  for (const Item of items) await run('PutItem', { TableName, Item })
  return { TableDescription: made }
}
