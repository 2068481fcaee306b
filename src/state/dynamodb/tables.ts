import type {
  AttributeDefinition,
  CreateTableCommandInput,
  GlobalSecondaryIndex,
  KeySchemaElement,
  TableDescription,
} from '@aws-sdk/client-dynamodb'
import { StateUnavailable } from '../../core/errors.ts'
import { type Client, Failed } from './client.ts'

/** The tables of a deployment, and how they are made. */
export interface Tables {
  readonly state: string
  readonly audit: string
}
/** Entries with a due time, by kind and shard: a hint, some moments old. */
export const DUE_INDEX = 'due'
/** Records by action, and by chain. */
export const ACTION_INDEX = 'action'
export const CHAIN_INDEX = 'chain'
/** Seconds, as DynamoDB's sweeper wants them. */
export const TTL = 'ttl'

interface Shape {
  readonly indexes: readonly { readonly name: string; readonly keys: readonly string[] }[]
}
const KEYS = ['pk', 'sk']
const NUMBERS = new Set(['due'])
const shapes: { readonly [T in keyof Tables]: Shape } = {
  state: { indexes: [{ name: DUE_INDEX, keys: ['dk', 'due'] }] },
  audit: {
    indexes: [
      { name: ACTION_INDEX, keys: ['ak', 'sk'] },
      { name: CHAIN_INDEX, keys: ['ck', 'sk'] },
    ],
  },
}

const schema = (names: readonly string[]): KeySchemaElement[] =>
  names.map((AttributeName, i) => ({ AttributeName, KeyType: i === 0 ? 'HASH' : 'RANGE' }))
const attributes = (names: readonly string[]): AttributeDefinition[] =>
  [...new Set(names)].map((AttributeName) => ({ AttributeName, AttributeType: NUMBERS.has(AttributeName) ? 'N' : 'S' }))
const index = ({ name, keys }: Shape['indexes'][number]): GlobalSecondaryIndex => ({
  IndexName: name,
  KeySchema: schema(keys),
  // The table itself is asked for the rest: what an index says may be old.
  Projection: { ProjectionType: 'KEYS_ONLY' },
})
const creation = (TableName: string, { indexes }: Shape): CreateTableCommandInput => ({
  TableName,
  BillingMode: 'PAY_PER_REQUEST',
  KeySchema: schema(KEYS),
  AttributeDefinitions: attributes([...KEYS, ...indexes.flatMap((i) => i.keys)]),
  GlobalSecondaryIndexes: indexes.map(index),
})
const showKeys = (keys: readonly KeySchemaElement[] | undefined, types: readonly AttributeDefinition[] | undefined) =>
  `(${(keys ?? [])
    .map((k) => {
      const type = types?.find((t) => t.AttributeName === k.AttributeName)?.AttributeType
      return `${k.AttributeName} ${type} ${k.KeyType}`
    })
    .join(', ')})`
const showWanted = (keys: readonly string[]) => showKeys(schema(keys), attributes(keys))

const STEP_MS = 250
const MAKING_MS = 600_000

/**
 * Sees to it that both tables are there with our keys and indexes. `make`: what lacks is made, and waited for; without it that is an
 * error, and so is a table that has other keys, always.
 */
export async function ensureTables(
  client: Client,
  tables: Tables,
  make: boolean,
  sleep: (ms: number) => Promise<void>,
): Promise<void> {
  for (const which of ['state', 'audit'] as const) await ensure(tables[which], shapes[which])

  async function ensure(name: string, shape: Shape): Promise<void> {
    let found = await describe(name)
    if (found === undefined) {
      if (!make) throw new StateUnavailable(`there is no DynamoDB table "${name}": signalbox migrate makes it`)
      await unlessThere(() =>
        client.read((db, o) => db.send(new client.sdk.CreateTableCommand(creation(name, shape)), o)),
      )
      found = await active(name)
    }
    const has = showKeys(found.KeySchema, found.AttributeDefinitions)
    if (has !== showWanted(KEYS)) throw otherKeys(`the DynamoDB table "${name}"`, has, showWanted(KEYS))
    for (const wanted of shape.indexes) {
      const there = found.GlobalSecondaryIndexes?.find((i) => i.IndexName === wanted.name)
      const keys = showKeys(there?.KeySchema, found.AttributeDefinitions)
      if (there !== undefined && keys !== showWanted(wanted.keys))
        throw otherKeys(`the index "${wanted.name}" of the DynamoDB table "${name}"`, keys, showWanted(wanted.keys))
      if (there !== undefined) continue
      if (!make)
        throw new StateUnavailable(
          `the DynamoDB table "${name}" has no index "${wanted.name}" ${showWanted(wanted.keys)}: signalbox migrate makes it`,
        )
      await addIndex(name, wanted)
    }
    if (make) await ensureTtl(name)
  }
  async function describe(name: string): Promise<TableDescription | undefined> {
    try {
      const { Table } = await client.read((db, o) =>
        db.send(new client.sdk.DescribeTableCommand({ TableName: name }), o),
      )
      return Table?.TableStatus === 'CREATING' ? await active(name) : Table
    } catch (e) {
      if (says(e, /^ResourceNotFound/)) return undefined
      throw e
    }
  }
  /** When it and all its indexes can be used. */
  async function active(name: string): Promise<TableDescription> {
    for (let waited = 0; waited < MAKING_MS; waited += STEP_MS) {
      try {
        const { Table } = await client.read((db, o) =>
          db.send(new client.sdk.DescribeTableCommand({ TableName: name }), o),
        )
        const all = [Table?.TableStatus, ...(Table?.GlobalSecondaryIndexes ?? []).map((i) => i.IndexStatus)]
        if (Table && all.every((status) => status === 'ACTIVE')) return Table
      } catch (e) {
        // A table that was just asked for may not be known yet.
        if (!says(e, /^ResourceNotFound/)) throw e
      }
      await sleep(waited === 0 ? 1 : STEP_MS)
    }
    throw new StateUnavailable(`the DynamoDB table "${name}" is not ready`)
  }
  async function addIndex(name: string, wanted: Shape['indexes'][number]): Promise<void> {
    await unlessThere(() =>
      client.read((db, o) =>
        db.send(
          new client.sdk.UpdateTableCommand({
            TableName: name,
            AttributeDefinitions: attributes([...KEYS, ...wanted.keys]),
            GlobalSecondaryIndexUpdates: [{ Create: index(wanted) }],
          }),
          o,
        ),
      ),
    )
    await active(name)
  }
  async function ensureTtl(name: string): Promise<void> {
    try {
      const { TimeToLiveDescription: ttl } = await client.read((db, o) =>
        db.send(new client.sdk.DescribeTimeToLiveCommand({ TableName: name }), o),
      )
      if (ttl?.TimeToLiveStatus === 'ENABLED' || ttl?.TimeToLiveStatus === 'ENABLING') return
      await client.read((db, o) =>
        db.send(
          new client.sdk.UpdateTimeToLiveCommand({
            TableName: name,
            TimeToLiveSpecification: { Enabled: true, AttributeName: TTL },
          }),
          o,
        ),
      )
    } catch (e) {
      // Another node has just switched it on.
      if (!says(e, /already enabled/i)) throw e
    }
  }
  /** Another node may make the same thing at the same time. */
  async function unlessThere(act: () => Promise<unknown>): Promise<void> {
    try {
      await act()
    } catch (e) {
      if (!says(e, /^ResourceInUse|already exist/)) throw e
    }
  }
}

const says = (e: unknown, what: RegExp): boolean =>
  e instanceof StateUnavailable && e.cause instanceof Failed && what.test(e.cause.message)
const otherKeys = (what: string, has: string, wanted: string): StateUnavailable =>
  new StateUnavailable(`${what} has the keys ${has}; signalbox needs ${wanted}`)
