import { Redis } from 'ioredis'
import pg from 'pg'
import { quantile } from '../table.ts'

/**
 * What the store itself can do: one small write after another from each of `connections`, nothing else. A process of its own, on the core
 * the gateway has otherwise.
 */
export interface FloorRequest {
  readonly kind: 'redis' | 'postgres' | 'dynamodb'
  readonly url: string
  readonly connections: number
  readonly warmupMs: number
  readonly measureMs: number
}
export interface FloorResult {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}
/** About as long as an audit record. */
const VALUE = 'x'.repeat(400)
type Write = (n: number) => Promise<unknown>

async function redis(url: string, connections: number) {
  const clients = Array.from({ length: connections }, () => new Redis(url))
  const writes = clients.map(
    (c): Write =>
      (n) =>
        c.set(`floor:${n}`, VALUE),
  )
  return { writes, close: async () => void (await Promise.all(clients.map((c) => c.quit()))) }
}
async function postgres(url: string, connections: number) {
  const clients = Array.from({ length: connections }, () => new pg.Client(url))
  await Promise.all(clients.map((c) => c.connect()))
  await clients[0]!.query('CREATE TABLE IF NOT EXISTS floor (id text PRIMARY KEY, value text NOT NULL)')
  const insert = { name: 'insert', text: 'INSERT INTO floor VALUES ($1, $2)' }
  const writes = clients.map(
    (c): Write =>
      (n) =>
        c.query({ ...insert, values: [`${process.pid}-${n}`, VALUE] }),
  )
  return { writes, close: async () => void (await Promise.all(clients.map((c) => c.end()))) }
}
async function dynamodb(url: string, connections: number) {
  const { CreateTableCommand, DynamoDBClient, PutItemCommand } = await import('@aws-sdk/client-dynamodb')
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const client = new DynamoDBClient({ endpoint: url, region: 'us-east-1', credentials, maxAttempts: 1 })
  const TableName = `floor-${process.pid}`
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    }),
  )
  const put: Write = (n) =>
    client.send(new PutItemCommand({ TableName, Item: { id: { S: `${n}` }, value: { S: VALUE } } }))
  return { writes: Array.from({ length: connections }, () => put), close: async () => client.destroy() }
}

async function measure({ kind, url, connections, warmupMs, measureMs }: FloorRequest): Promise<FloorResult> {
  const { writes, close } = await { redis, postgres, dynamodb }[kind](url, connections)
  const from = performance.now() + warmupMs
  const until = from + measureMs
  const times: number[] = []
  let n = 0
  const one = async (write: Write): Promise<void> => {
    for (;;) {
      const began = performance.now()
      if (began >= until) return
      await write(++n)
      const now = performance.now()
      if (began >= from && now < until) times.push(now - began)
    }
  }
  await Promise.all(writes.map(one))
  await close()
  times.sort((a, b) => a - b)
  return { perSecond: (times.length * 1000) / measureMs, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) }
}

process.stdout.write(JSON.stringify(await measure(JSON.parse(process.argv[2]!) as FloorRequest)))
