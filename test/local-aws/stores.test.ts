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

  it('remembers a time to live, and says what it does not have', async () => {
    const TimeToLiveSpecification = { Enabled: true, AttributeName: 'expires' }
    await db.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }))
    const { TimeToLiveDescription } = await db.send(new DescribeTimeToLiveCommand({ TableName }))
    expect(TimeToLiveDescription).toEqual({ TimeToLiveStatus: 'ENABLED', AttributeName: 'expires' })
    await expect(db.send(new ListBackupsCommand({}))).rejects.toMatchObject({ name: 'UnknownOperationException' })
    await db.send(new DeleteTableCommand({ TableName }))
    await expect(db.send(new GetItemCommand({ TableName, Key }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    })
  })
})
