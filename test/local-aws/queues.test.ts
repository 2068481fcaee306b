import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { beforeAll, describe, expect, it } from 'vitest'
import { client, url, useLocalAws } from './setup.ts'

useLocalAws()
let sqs: SQSClient
beforeAll(() => {
  sqs = new SQSClient(client())
})

const create = async (QueueName: string, Attributes: Record<string, string> = {}): Promise<string> =>
  (await sqs.send(new CreateQueueCommand({ QueueName, Attributes }))).QueueUrl ?? ''
const receive = async (QueueUrl: string, WaitTimeSeconds = 0) =>
  (await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds, MaxNumberOfMessages: 10 }))).Messages ?? []

describe('SQS', () => {
  it('names queues by the address it was asked at', async () => {
    const made = await create('orders')
    expect(made).toBe(`${url()}/000000000000/orders`)
    expect((await sqs.send(new GetQueueUrlCommand({ QueueName: 'orders' }))).QueueUrl).toBe(made)
  })

  it('brings a message with its attributes, and hides it while it is worked on', async () => {
    const QueueUrl = await create('work')
    const MessageAttributes = { kind: { DataType: 'String', StringValue: 'a' } }
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'hello', MessageAttributes }))
    const asked = new ReceiveMessageCommand({ QueueUrl, MessageAttributeNames: ['All'] })
    expect((await sqs.send(asked)).Messages).toMatchObject([{ Body: 'hello', MessageAttributes }])
    expect(await receive(QueueUrl)).toEqual([])
  })

  it('refuses a message that SQS does not take', async () => {
    const QueueUrl = await create('strict')
    const fifo = await create('strict.fifo', { FifoQueue: 'true', ContentBasedDeduplication: 'true' })
    const text = (n: number) =>
      Object.fromEntries(Array.from({ length: n }, (_, i) => [`a${i}`, { DataType: 'String', StringValue: 'x' }]))
    const send = (more: object) => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'x', ...more }))
    for (const wrong of [
      { DelaySeconds: 901 },
      { QueueUrl: fifo, MessageGroupId: 'g', DelaySeconds: 5 },
      { MessageAttributes: text(11) },
      { MessageAttributes: { a: { DataType: 'Text', StringValue: 'x' } } },
      { MessageAttributes: { a: { DataType: 'Number', StringValue: 'many' } } },
      { MessageAttributes: { a: { DataType: 'String', StringValue: '' } } },
    ])
      await expect(send(wrong), JSON.stringify(wrong)).rejects.toMatchObject({ name: 'InvalidParameterValue' })
    await send({
      DelaySeconds: 0,
      MessageAttributes: { ...text(8), n: { DataType: 'Number.int', StringValue: '-1.5e3' } },
    })
    await send({ MessageAttributes: { b: { DataType: 'Binary.png', BinaryValue: Buffer.from('x') } } })
    expect(await receive(QueueUrl)).toHaveLength(2)
  })

  it('keeps regions apart', async () => {
    const QueueUrl = await create('twice')
    const west = new SQSClient(client('eu-west-1'))
    await west.send(new CreateQueueCommand({ QueueName: 'twice' }))
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'east' }))
    expect((await west.send(new ReceiveMessageCommand({ QueueUrl }))).Messages).toBeUndefined()
    expect(await receive(QueueUrl)).toHaveLength(1)
  })

  it('sends one of two messages with the same deduplication id through a FIFO queue', async () => {
    const QueueUrl = await create('steps.fifo', { FifoQueue: 'true' })
    const send = (MessageBody: string, id: string) => {
      const fifo = { MessageGroupId: `group ${id}`, MessageDeduplicationId: id }
      return sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, ...fifo }))
    }
    const first = await send('one', 'a')
    const again = await send('one, again', 'a')
    await send('two', 'b')
    expect(again.MessageId).toBe(first.MessageId)
    expect((await receive(QueueUrl)).map(({ Body }) => Body)).toEqual(['one', 'two'])
  })

  it('moves a message that was received too often to the dead-letter queue', async () => {
    const deadLetters = await create('dead')
    const deadLetterTargetArn = 'arn:aws:sqs:us-east-1:000000000000:dead'
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 1 })
    const QueueUrl = await create('fragile', { RedrivePolicy, VisibilityTimeout: '0' })
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'poison' }))
    expect(await receive(QueueUrl)).toHaveLength(1)
    expect(await receive(QueueUrl)).toEqual([])
    expect((await receive(deadLetters)).map(({ Body }) => Body)).toEqual(['poison'])
  })

  it('gives back what it dequeued for a poll whose caller has left', async () => {
    const QueueUrl = await create('left')
    const gone = new AbortController()
    const poll = sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 }), { abortSignal: gone.signal })
    setTimeout(() => gone.abort(), 50)
    await expect(poll).rejects.toThrow()
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'still there' }))
    expect(await receive(QueueUrl, 2)).toHaveLength(1)
  })

  it('says what does not exist', async () => {
    await expect(sqs.send(new GetQueueUrlCommand({ QueueName: 'nope' }))).rejects.toMatchObject({
      name: 'QueueDoesNotExist',
      $metadata: { httpStatusCode: 400 },
    })
  })
})

describe('SQS as older clients speak it', () => {
  const ask = async (form: Record<string, string>, path = '/') => {
    const authorization =
      'AWS4-HMAC-SHA256 Credential=test/20261120/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=x'
    const body = new URLSearchParams({ Version: '2012-11-05', ...form })
    const answer = await fetch(url() + path, { method: 'POST', headers: { authorization }, body })
    return { status: answer.status, text: await answer.text() }
  }

  it('creates a queue, sends with attributes and receives', async () => {
    const made = await ask({
      Action: 'CreateQueue',
      QueueName: 'old',
      'Attribute.1.Name': 'VisibilityTimeout',
      'Attribute.1.Value': '7',
      'Tag.1.Key': 'team',
      'Tag.1.Value': 'red',
    })
    expect(made.text).toContain(`<QueueUrl>${url()}/000000000000/old</QueueUrl>`)
    const sent = await ask(
      {
        Action: 'SendMessage',
        MessageBody: 'a <b> & c',
        'MessageAttribute.1.Name': 'kind',
        'MessageAttribute.1.Value.DataType': 'String',
        'MessageAttribute.1.Value.StringValue': 'x',
      },
      '/000000000000/old',
    )
    expect(sent.text).toMatch(/<SendMessageResult>.*<MD5OfMessageBody>[0-9a-f]{32}</s)
    const got = await ask({
      Action: 'ReceiveMessage',
      QueueUrl: `${url()}/000000000000/old`,
      'AttributeName.1': 'All',
      'MessageAttributeName.1': 'All',
    })
    expect(got.text).toContain('<Body>a &lt;b&gt; &amp; c</Body>')
    expect(got.text).toContain(
      '<MessageAttribute><Name>kind</Name><Value><DataType>String</DataType><StringValue>x</StringValue></Value></MessageAttribute>',
    )
    const QueueUrl = `${url()}/000000000000/old`
    const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))
    expect(Attributes).toMatchObject({ VisibilityTimeout: '7' })
    expect((await ask({ Action: 'ListQueueTags', QueueUrl })).text).toContain('<Key>team</Key><Value>red</Value>')
  })

  it('answers errors in XML', async () => {
    const missing = await ask({ Action: 'GetQueueUrl', QueueName: 'nope' })
    expect(missing.status).toBe(400)
    expect(missing.text).toContain('<Code>AWS.SimpleQueueService.NonExistentQueue</Code>')
    const unknown = await ask({ Action: 'MakeCoffee' })
    expect([unknown.status, unknown.text.includes('<Code>InvalidAction</Code>')]).toEqual([400, true])
  })
})
