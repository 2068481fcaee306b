import {
  ConditionalCheckFailedException,
  CreateTableCommand,
  DeleteItemCommand,
  DeleteTableCommand,
  DescribeTimeToLiveCommand,
  DynamoDBClient,
  GetItemCommand,
  ListBackupsCommand,
  PutItemCommand,
  QueryCommand,
  TransactGetItemsCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { beforeAll, describe, expect, it } from 'vitest'
import { openDynalite } from '../../scripts/local-aws/dynamodb/backend.ts'
import { openTimeToLive } from '../../scripts/local-aws/dynamodb/time-to-live.ts'
import { client, useLocalAws } from './setup.ts'

useLocalAws()

describe('S3', () => {
  let s3: S3Client
  const Bucket = 'archive'
  beforeAll(async () => {
    s3 = new S3Client({ ...client(), forcePathStyle: true })
    await s3.send(new CreateBucketCommand({ Bucket }))
  })

  it('puts, gets, lists and deletes', async () => {
    const Key = 'a/b c.json'
    const { ETag } = await s3.send(
      new PutObjectCommand({ Bucket, Key, Body: '{"a":1}', ContentType: 'application/json', Metadata: { k: 'v' } }),
    )
    const got = await s3.send(new GetObjectCommand({ Bucket, Key }))
    expect(await got.Body?.transformToString()).toBe('{"a":1}')
    expect(got).toMatchObject({ ETag, ContentType: 'application/json', Metadata: { k: 'v' } })
    const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'a/' }))
    expect(listed.Contents?.map((object) => object.Key)).toEqual([Key])
    await s3.send(new DeleteObjectCommand({ Bucket, Key }))
    await expect(s3.send(new GetObjectCommand({ Bucket, Key }))).rejects.toMatchObject({ name: 'NoSuchKey' })
  })

  it('says what does not exist, and refuses what it does not have', async () => {
    const nowhere = new PutObjectCommand({ Bucket: 'nowhere', Key: 'k', Body: 'x' })
    await expect(s3.send(nowhere)).rejects.toMatchObject({ name: 'NoSuchBucket' })
    await expect(s3.send(new GetBucketVersioningCommand({ Bucket }))).rejects.toMatchObject({ name: 'NotImplemented' })
  })

  it('writes and deletes only where the condition holds, and of many at once one wins', async () => {
    const Key = 'lock/ä 1'
    const put = (Body: string, more: object) => s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
    const many = await Promise.allSettled(['a', 'b', 'c', 'd'].map((Body) => put(Body, { IfNoneMatch: '*' })))
    expect(many.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
    const lost = { name: 'PreconditionFailed', $metadata: expect.objectContaining({ httpStatusCode: 412 }) }
    for (const one of many) if (one.status === 'rejected') expect(one.reason).toMatchObject(lost)
    const { ETag } = await put('e', {})
    await expect(put('f', { IfMatch: '"other"' })).rejects.toMatchObject(lost)
    await expect(s3.send(new DeleteObjectCommand({ Bucket, Key, IfMatch: '"other"' }))).rejects.toMatchObject(lost)
    const got = await s3.send(new GetObjectCommand({ Bucket, Key }))
    expect(await got.Body?.transformToString()).toBe('e')
    await put('g', { IfMatch: ETag })
    await s3.send(new DeleteObjectCommand({ Bucket, Key }))
    await expect(put('h', { IfMatch: ETag })).rejects.toMatchObject({ name: 'NoSuchKey' })
  })
})

describe('DynamoDB', () => {
  let db: DynamoDBClient
  const TableName = 'things'
  const Key = { pk: { S: 'p' }, sk: { N: '1' } }
  beforeAll(async () => {
    db = new DynamoDBClient(client())
    await db.send(
      new CreateTableCommand({
        TableName,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [
          { AttributeName: 'pk', AttributeType: 'S' },
          { AttributeName: 'sk', AttributeType: 'N' },
        ],
        KeySchema: [
          { AttributeName: 'pk', KeyType: 'HASH' },
          { AttributeName: 'sk', KeyType: 'RANGE' },
        ],
      }),
    )
    await waitUntilTableExists({ client: db, maxWaitTime: 5, minDelay: 1 }, { TableName })
  })

  it('puts, gets, updates, queries and deletes', async () => {
    await db.send(new PutItemCommand({ TableName, Item: { ...Key, n: { N: '1' } } }))
    const again = new PutItemCommand({ TableName, Item: Key, ConditionExpression: 'attribute_not_exists(pk)' })
    await expect(db.send(again)).rejects.toBeInstanceOf(ConditionalCheckFailedException)
    const { Attributes } = await db.send(
      new UpdateItemCommand({
        TableName,
        Key,
        UpdateExpression: 'ADD n :two',
        ExpressionAttributeValues: { ':two': { N: '2' } },
        ReturnValues: 'ALL_NEW',
      }),
    )
    expect(Attributes?.n).toEqual({ N: '3' })
    const { Items } = await db.send(
      new QueryCommand({
        TableName,
        KeyConditionExpression: 'pk = :p AND sk > :s',
        ExpressionAttributeValues: { ':p': { S: 'p' }, ':s': { N: '0' } },
      }),
    )
    expect(Items).toHaveLength(1)
    await db.send(new DeleteItemCommand({ TableName, Key }))
    expect((await db.send(new GetItemCommand({ TableName, Key, ConsistentRead: true }))).Item).toBeUndefined()
  })

  describe('transactions', () => {
    const item = (pk: string, n: number) => ({ pk: { S: pk }, sk: { N: '1' }, n: { N: String(n) } })
    const key = (pk: string) => ({ pk: { S: pk }, sk: { N: '1' } })
    const read = async (pk: string) =>
      (await db.send(new GetItemCommand({ TableName, Key: key(pk), ConsistentRead: true }))).Item?.n?.N

    it('write all or nothing, and say what refused', async () => {
      const add = (pk: string) => ({
        Update: {
          TableName,
          Key: key(pk),
          UpdateExpression: 'ADD n :one',
          ExpressionAttributeValues: { ':one': { N: '1' } },
        },
      })
      const absent = {
        ConditionExpression: 'attribute_not_exists(pk)',
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      } as const
      const put = (pk: string) => ({ Put: { TableName, Item: item(pk, 5), ...absent } })
      await db.send(new TransactWriteItemsCommand({ TransactItems: [put('a'), add('b')] }))
      expect([await read('a'), await read('b')]).toEqual(['5', '1'])
      const check = {
        ConditionCheck: { TableName, Key: key('nobody'), ConditionExpression: 'attribute_not_exists(pk)' },
      }
      const gone = { Delete: { TableName, Key: key('d') } }
      const refused = db.send(
        new TransactWriteItemsCommand({ TransactItems: [add('b'), add('c'), put('a'), check, gone] }),
      )
      await expect(refused).rejects.toMatchObject({
        name: 'TransactionCanceledException',
        CancellationReasons: [
          { Code: 'None' },
          { Code: 'None' },
          { Code: 'ConditionalCheckFailed', Item: item('a', 5) },
          { Code: 'None' },
          { Code: 'None' },
        ],
      })
      expect([await read('b'), await read('c'), await read('nobody')]).toEqual(['1', undefined, undefined])
      const twice = new TransactWriteItemsCommand({ TransactItems: [add('b'), add('b')] })
      await expect(db.send(twice)).rejects.toMatchObject({ name: 'ValidationException' })
    })

    it('run once under one token, and show no state between', async () => {
      const add = (by: string) => (pk: string) => ({
        Update: {
          TableName,
          Key: key(pk),
          UpdateExpression: 'ADD n :n',
          ExpressionAttributeValues: { ':n': { N: by } },
        },
      })
      const request = (by: string) => ({ TransactItems: ['x', 'y'].map(add(by)), ClientRequestToken: 'once' })
      await db.send(new TransactWriteItemsCommand(request('1')))
      await db.send(new TransactWriteItemsCommand(request('1')))
      expect(await read('x')).toBe('1')
      await expect(db.send(new TransactWriteItemsCommand(request('2')))).rejects.toMatchObject({
        name: 'IdempotentParameterMismatchException',
      })
      const Get = (pk: string) => ({ Get: { TableName, Key: key(pk) } })
      const unlessInHand = async <T>(ask: () => Promise<T>): Promise<T> => {
        for (;;) {
          try {
            return await ask()
          } catch (error) {
            const reasons = error instanceof TransactionCanceledException ? error.CancellationReasons : []
            if (!reasons?.some(({ Code }) => Code === 'TransactionConflict')) throw error
          }
        }
      }
      const work = Array.from({ length: 8 }, async (_, i) => {
        if (i % 2)
          return unlessInHand(() => db.send(new TransactWriteItemsCommand({ TransactItems: ['x', 'y'].map(add('1')) })))
        const { Responses } = await unlessInHand(() =>
          db.send(new TransactGetItemsCommand({ TransactItems: [Get('x'), Get('y')] })),
        )
        return expect(Responses?.[0]?.Item?.n).toEqual(Responses?.[1]?.Item?.n)
      })
      await Promise.all(work)
      expect([await read('x'), await read('y')]).toEqual(['5', '5'])
    })

    it('tell whoever comes for an item that another has in hand, and do nothing for him', async () => {
      const Put = (pk: string) => ({ Put: { TableName, Item: item(pk, 1) } })
      const many = ['m0', 'm1', 'm2', 'm3', 'm4', 'm5'].map(Put)
      // Sent together: whichever is first has the items in hand while the others come.
      const ends = await Promise.allSettled(
        Array.from({ length: 6 }, (_, i) =>
          db.send(new TransactWriteItemsCommand({ TransactItems: [Put(`other ${i}`), ...many] })),
        ),
      )
      const refused = ends.filter((e) => e.status === 'rejected').map((e) => e.reason as TransactionCanceledException)
      expect(refused.length).toBeGreaterThan(0)
      expect(refused.length).toBeLessThan(6)
      for (const { name, CancellationReasons } of refused) {
        expect(name).toBe('TransactionCanceledException')
        expect(CancellationReasons?.map(({ Code }) => Code)).toEqual(['None', ...many.map(() => 'TransactionConflict')])
      }
      const written = await Promise.all(Array.from({ length: 6 }, (_, i) => read(`other ${i}`)))
      expect(written.map((n) => n !== undefined)).toEqual(ends.map((e) => e.status === 'fulfilled'))
    })

    it('a single write shows the item its condition met', async () => {
      const Item = item('a', 9)
      const refused = new PutItemCommand({
        TableName,
        Item,
        ConditionExpression: 'attribute_not_exists(pk)',
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      })
      await expect(db.send(refused)).rejects.toMatchObject({ Item: item('a', 5) })
    })
  })

  it('remembers a time to live, and says what it does not have', async () => {
    const set = (Enabled: boolean) =>
      db.send(
        new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: { Enabled, AttributeName: 'expires' } }),
      )
    const described = async () => (await db.send(new DescribeTimeToLiveCommand({ TableName }))).TimeToLiveDescription
    expect(await described()).toEqual({ TimeToLiveStatus: 'DISABLED' })
    await set(true)
    expect(await described()).toEqual({ TimeToLiveStatus: 'ENABLED', AttributeName: 'expires' })
    await expect(set(true)).rejects.toMatchObject({ name: 'ValidationException' })
    await expect(db.send(new DescribeTimeToLiveCommand({ TableName: 'nothing' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    })
    await expect(db.send(new ListBackupsCommand({}))).rejects.toMatchObject({ name: 'UnknownOperationException' })
    await db.send(new DeleteTableCommand({ TableName }))
    await expect(db.send(new GetItemCommand({ TableName, Key }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    })
  })

  it('deletes what has expired some time later; until then it is read', async () => {
    const ask = openDynalite()
    const call = async (name: string, input: object) => {
      const { status, body } = await ask(name, JSON.stringify({ TableName: 'passing', ...input }))
      expect(status, body).toBe(200)
      return JSON.parse(body) as { Item?: object; Table?: { TableStatus: string } }
    }
    await call('CreateTable', {
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
    })
    while ((await call('DescribeTable', {})).Table?.TableStatus !== 'ACTIVE');
    const now = Date.UTC(2026, 0, 1)
    const [past, ahead, ancient] = [now / 1000 - 1, now / 1000 + 1, now / 1000 - 6 * 365 * 86_400]
    const items = { past: { N: `${past}` }, ahead: { N: `${ahead}` }, ancient: { N: `${ancient}` }, text: { S: '1' } }
    for (const [pk, expires] of Object.entries(items)) await call('PutItem', { Item: { pk: { S: pk }, expires } })
    const left = async () => {
      const found = await Promise.all(Object.keys(items).map((pk) => call('GetItem', { Key: { pk: { S: pk } } })))
      return Object.keys(items).filter((_, i) => found[i]?.Item)
    }
    const timeToLive = openTimeToLive(ask)
    expect(await timeToLive.sweep(now)).toBe(0)
    const TimeToLiveSpecification = { Enabled: true, AttributeName: 'expires' }
    await timeToLive.update(JSON.stringify({ TableName: 'passing', TimeToLiveSpecification }))
    expect(await left()).toEqual(['past', 'ahead', 'ancient', 'text'])
    expect(await timeToLive.sweep(now)).toBe(1)
    expect(await left()).toEqual(['ahead', 'ancient', 'text'])
    expect(await timeToLive.sweep(now + 2000)).toBe(1)
    expect(await left()).toEqual(['ancient', 'text'])
  })
})
