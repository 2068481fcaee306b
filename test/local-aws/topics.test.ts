import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  CreateTopicCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
  ListTagsForResourceCommand,
  PublishCommand,
  SetSubscriptionAttributesCommand,
  SNSClient,
  SubscribeCommand,
} from '@aws-sdk/client-sns'
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { SOON } from '../fakes/soon.ts'
import { client, useLocalAws } from './setup.ts'

useLocalAws()
let sns: SNSClient
let sqs: SQSClient
beforeAll(() => {
  sns = new SNSClient(client())
  sqs = new SQSClient(client())
})

const topic = async (Name: string, Attributes: Record<string, string> = {}): Promise<string> =>
  (await sns.send(new CreateTopicCommand({ Name, Attributes, Tags: [{ Key: 'team', Value: 'red' }] }))).TopicArn ?? ''
const subscribed = async (TopicArn: string, QueueName: string, Attributes: Record<string, string> = {}) => {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName }))
  const Endpoint = `arn:aws:sqs:us-east-1:000000000000:${QueueName}`
  await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint, Attributes }))
  return async (WaitTimeSeconds = 1) => {
    const asked = { QueueUrl, WaitTimeSeconds, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] }
    return (await sqs.send(new ReceiveMessageCommand(asked))).Messages ?? []
  }
}

describe('SNS', () => {
  it('brings a message to a subscribed queue in its envelope', async () => {
    const TopicArn = await topic('alerts')
    const arrived = await subscribed(TopicArn, 'alerts')
    const sent = await sns.send(new PublishCommand({ TopicArn, Message: '{"hot":1}', Subject: 'S' }))
    const [message] = await arrived()
    expect(JSON.parse(message?.Body ?? '')).toMatchObject({
      Type: 'Notification',
      MessageId: sent.MessageId,
      TopicArn,
      Subject: 'S',
      Message: '{"hot":1}',
    })
  })

  it('brings it bare, attributes as attributes, where raw delivery is set; filters by policy', async () => {
    const TopicArn = await topic('raw')
    const arrived = await subscribed(TopicArn, 'raw', {
      RawMessageDelivery: 'true',
      FilterPolicy: '{"kind":["a"]}',
    })
    for (const StringValue of ['a', 'b'])
      await sns.send(
        new PublishCommand({
          TopicArn,
          Message: `kind ${StringValue}`,
          MessageAttributes: { kind: { DataType: 'String', StringValue } },
        }),
      )
    const messages = await arrived()
    expect(messages).toMatchObject([{ Body: 'kind a', MessageAttributes: { kind: { StringValue: 'a' } } }])
  })

  it('refuses a filter policy that would never match', async () => {
    const TopicArn = await topic('filtered')
    const subscribe = (policy: string) => subscribed(TopicArn, 'filtered', { FilterPolicy: policy })
    const refused = { name: 'InvalidParameterException', message: expect.stringContaining('FilterPolicy') }
    for (const policy of ['{"a":[{"sufix":"z"}]}', '{"a":"z"}', '{"a":[]}', '{"a":', '[]'])
      await expect(subscribe(policy), policy).rejects.toMatchObject(refused)
    await subscribe('{"a":[{"suffix":"z"}],"$or":[{"b":[{"exists":true}]},{"c":[1]}]}')
    const { Subscriptions } = await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }))
    const set = (AttributeValue: string) =>
      sns.send(
        new SetSubscriptionAttributesCommand({
          SubscriptionArn: Subscriptions?.[0]?.SubscriptionArn,
          AttributeName: 'FilterPolicy',
          AttributeValue,
        }),
      )
    await expect(set('{"a":[{"sufix":"z"}]}')).rejects.toMatchObject(refused)
    await set('{}')
  })

  it('takes the message for the protocol with MessageStructure=json', async () => {
    const TopicArn = await topic('structured')
    const arrived = await subscribed(TopicArn, 'structured', { RawMessageDelivery: 'true' })
    const publish = (Message: string) => sns.send(new PublishCommand({ TopicArn, MessageStructure: 'json', Message }))
    await publish('{"default":"for all","sqs":"for queues"}')
    expect(await arrived()).toMatchObject([{ Body: 'for queues' }])
    await expect(publish('{}')).rejects.toMatchObject({ name: 'InvalidParameterException' })
  })

  it('wants a group on a FIFO topic and deduplicates', async () => {
    const TopicArn = await topic('steps.fifo', { FifoTopic: 'true', ContentBasedDeduplication: 'true' })
    const arrived = await subscribed(TopicArn, 'steps.fifo', { RawMessageDelivery: 'true' })
    await expect(sns.send(new PublishCommand({ TopicArn, Message: 'm' }))).rejects.toMatchObject({
      name: 'InvalidParameterException',
    })
    for (let i = 0; i < 2; i++) await sns.send(new PublishCommand({ TopicArn, Message: 'm', MessageGroupId: 'g' }))
    expect(await arrived()).toHaveLength(1)
  })

  it('posts to a subscribed HTTP endpoint', async () => {
    const posted: { type: string | string[] | undefined; body: string }[] = []
    const receiver = createServer(async (request, response) => {
      const chunks = await request.toArray()
      posted.push({ type: request.headers['x-amz-sns-message-type'], body: Buffer.concat(chunks).toString() })
      response.end()
    }).listen(0, '127.0.0.1')
    await once(receiver, 'listening')
    const TopicArn = await topic('hooks')
    const Endpoint = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
    await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'http', Endpoint }))
    await sns.send(new PublishCommand({ TopicArn, Message: 'ring' }))
    await vi.waitFor(() => expect(posted).toHaveLength(1), SOON)
    receiver.close()
    expect(posted[0]?.type).toBe('Notification')
    expect(JSON.parse(posted[0]?.body ?? '')).toMatchObject({ Message: 'ring', TopicArn })
  })

  it('keeps attributes, tags and subscriptions', async () => {
    const TopicArn = await topic('kept', { DisplayName: 'Kept' })
    await subscribed(TopicArn, 'kept')
    const { Attributes } = await sns.send(new GetTopicAttributesCommand({ TopicArn }))
    expect(Attributes).toMatchObject({ TopicArn, DisplayName: 'Kept' })
    const { Tags } = await sns.send(new ListTagsForResourceCommand({ ResourceArn: TopicArn }))
    expect(Tags).toEqual([{ Key: 'team', Value: 'red' }])
    const { Subscriptions } = await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }))
    expect(Subscriptions).toMatchObject([{ Protocol: 'sqs' }])
  })

  it('says that a topic does not exist', async () => {
    const TopicArn = 'arn:aws:sns:us-east-1:000000000000:nope'
    await expect(sns.send(new PublishCommand({ TopicArn, Message: 'm' }))).rejects.toMatchObject({
      name: 'NotFoundException',
      $metadata: { httpStatusCode: 404 },
    })
  })
})
