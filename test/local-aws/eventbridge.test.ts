import {
  CreateEventBusCommand,
  DeleteEventBusCommand,
  DeleteRuleCommand,
  DescribeRuleCommand,
  EventBridgeClient,
  ListArchivesCommand,
  ListRulesCommand,
  PutEventsCommand,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge'
import { CreateTopicCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns'
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { beforeAll, describe, expect, it } from 'vitest'
import { atPath, targetInput } from '../../scripts/local-aws/eventbridge/input.ts'
import { matchesPattern, parsePattern } from '../../scripts/local-aws/eventbridge/pattern.ts'
import { client, useLocalAws } from './setup.ts'

useLocalAws()
let events: EventBridgeClient
let sqs: SQSClient
beforeAll(() => {
  events = new EventBridgeClient(client())
  sqs = new SQSClient(client())
})

const arn = (queue: string): string => `arn:aws:sqs:us-east-1:000000000000:${queue}`
const queue = async (QueueName: string) => {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName }))
  return async () => {
    const asked = { QueueUrl, WaitTimeSeconds: 1, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] }
    return (await sqs.send(new ReceiveMessageCommand(asked))).Messages ?? []
  }
}

describe('EventBridge', () => {
  it('brings a matching event to a queue, and fails bad entries alone', async () => {
    const arrived = await queue('events')
    await events.send(new CreateEventBusCommand({ Name: 'building' }))
    const on = { EventBusName: 'building' }
    const EventPattern = JSON.stringify({ source: ['app'], detail: { value: [{ numeric: ['>', 5] }] } })
    await events.send(new PutRuleCommand({ ...on, Name: 'hot', EventPattern }))
    await events.send(new PutTargetsCommand({ ...on, Rule: 'hot', Targets: [{ Id: 'q', Arn: arn('events') }] }))
    const entry = { ...on, Source: 'app', DetailType: 'reading' }
    const put = await events.send(
      new PutEventsCommand({
        Entries: [
          { ...entry, Detail: '{"value":6}', Resources: ['token'] },
          { ...entry, Detail: '{"value":5}' },
          { ...entry, Detail: 'not json' },
          { ...entry, Detail: '[1]' },
          { ...on, DetailType: 'reading', Detail: '{}' },
        ],
      }),
    )
    expect(put.FailedEntryCount).toBe(3)
    expect(put.Entries?.map(({ ErrorCode }) => ErrorCode)).toEqual([
      undefined,
      undefined,
      'MalformedDetail',
      'MalformedDetail',
      'InvalidArgument',
    ])
    const messages = await arrived()
    expect(messages.map(({ Body }) => JSON.parse(Body ?? ''))).toMatchObject([
      {
        id: put.Entries?.[0]?.EventId,
        source: 'app',
        'detail-type': 'reading',
        detail: { value: 6 },
        resources: ['token'],
      },
    ])
  })

  it('goes by topic, by another bus, and to the dead-letter queue of a target that is gone', async () => {
    const arrived = await queue('onward')
    const sns = new SNSClient(client())
    const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: 'onward' }))
    const raw = { RawMessageDelivery: 'true' }
    await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint: arn('onward'), Attributes: raw }))
    const { EventBusArn } = await events.send(new CreateEventBusCommand({ Name: 'second' }))
    const EventPattern = '{"source":["relay"]}'
    await events.send(new PutRuleCommand({ Name: 'relay', EventPattern }))
    await events.send(new PutRuleCommand({ Name: 'out', EventPattern, EventBusName: 'second' }))
    await events.send(new PutTargetsCommand({ Rule: 'relay', Targets: [{ Id: 'bus', Arn: EventBusArn }] }))
    const gone = { Id: 'gone', Arn: arn('not-there'), DeadLetterConfig: { Arn: arn('onward') } }
    const Targets = [{ Id: 'topic', Arn: TopicArn, InputPath: '$.detail' }, gone]
    await events.send(new PutTargetsCommand({ Rule: 'out', EventBusName: 'second', Targets }))
    await events.send(new PutEventsCommand({ Entries: [{ Source: 'relay', DetailType: 'd', Detail: '{"n":1}' }] }))
    const messages = [...(await arrived()), ...(await arrived())]
    expect(messages).toHaveLength(2)
    expect(messages.find((message) => !message.MessageAttributes)?.Body).toBe('{"n":1}')
    expect(messages.find((message) => message.MessageAttributes)?.MessageAttributes).toMatchObject({
      TARGET_ARN: { StringValue: arn('not-there') },
    })
  })

  it('lists, describes and takes down', async () => {
    await events.send(new CreateEventBusCommand({ Name: 'short' }))
    const on = { EventBusName: 'short' }
    await events.send(new PutRuleCommand({ ...on, Name: 'r', EventPattern: '{"source":["x"]}', State: 'DISABLED' }))
    await events.send(new PutTargetsCommand({ ...on, Rule: 'r', Targets: [{ Id: '1', Arn: arn('q') }] }))
    expect((await events.send(new ListRulesCommand(on))).Rules).toMatchObject([{ Name: 'r', State: 'DISABLED' }])
    await expect(events.send(new DeleteRuleCommand({ ...on, Name: 'r' }))).rejects.toThrow('has targets')
    await events.send(new RemoveTargetsCommand({ ...on, Rule: 'r', Ids: ['1'] }))
    await events.send(new DeleteRuleCommand({ ...on, Name: 'r' }))
    await events.send(new DeleteEventBusCommand({ Name: 'short' }))
    await expect(events.send(new ListRulesCommand(on))).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
  })

  it('refuses bad patterns, unknown rules and operations it does not have', async () => {
    const bad = new PutRuleCommand({ Name: 'bad', EventPattern: '{"source":[{"like":"x"}]}' })
    await expect(events.send(bad)).rejects.toMatchObject({ name: 'InvalidEventPatternException' })
    const missing = new DescribeRuleCommand({ Name: 'nope' })
    await expect(events.send(missing)).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
    await expect(events.send(new ListArchivesCommand({}))).rejects.toMatchObject({ name: 'UnknownOperationException' })
    const many = Array.from({ length: 11 }, () => ({ Source: 's', DetailType: 'd', Detail: '{}' }))
    await expect(events.send(new PutEventsCommand({ Entries: many }))).rejects.toMatchObject({
      name: 'ValidationException',
    })
  })
})

describe('event patterns', () => {
  const event = {
    source: 'aws.app',
    n: 5,
    tags: ['a', 'b'],
    empty: [],
    ip: '10.0.3.4',
    nothing: null,
    deep: { x: 'Hi' },
  }
  it.each([
    [{ source: ['aws.app', 'other'] }, true],
    [{ source: ['other'] }, false],
    [{ source: [{ prefix: 'aws.' }] }, true],
    [{ source: [{ suffix: '.app' }], n: [5] }, true],
    [{ deep: { x: [{ prefix: { 'equals-ignore-case': 'hI' } }] } }, true],
    [{ deep: { x: [{ 'equals-ignore-case': 'HI' }] } }, true],
    [{ source: [{ wildcard: '*s.*pp' }] }, true],
    [{ source: [{ wildcard: 'a*a' }] }, false],
    [{ n: [{ numeric: ['>', 0, '<=', 5] }] }, true],
    [{ n: [{ numeric: ['=', 6] }] }, false],
    [{ source: [{ numeric: ['>', 0] }] }, false],
    [{ n: ['5'] }, false],
    [{ missing: [{ exists: false }], source: [{ exists: true }] }, true],
    [{ source: [{ exists: false }] }, false],
    [{ source: [{ 'anything-but': 'other' }] }, true],
    [{ source: [{ 'anything-but': ['aws.app'] }] }, false],
    [{ source: [{ 'anything-but': { prefix: 'aws' } }] }, false],
    [{ missing: [{ 'anything-but': 'x' }] }, false],
    [{ tags: ['b'] }, true],
    [{ tags: ['c'] }, false],
    [{ empty: [{ exists: false }] }, true],
    [{ ip: [{ cidr: '10.0.0.0/16' }] }, true],
    [{ nothing: [null] }, true],
    [{ $or: [{ n: [1] }, { source: [{ prefix: 'aws' }] }] }, true],
    [{ source: ['aws.app'], absent: { deeper: ['x'] } }, false],
  ])('%j: %s', (pattern, expected) => {
    expect(matchesPattern(parsePattern(JSON.stringify(pattern)), event)).toBe(expected)
  })

  it.each(['[]', '{"a":"b"}', '{"a":[]}', '{"a":[{"numeric":["~",1]}]}', '{"a":[{"exists":"yes"}]}', 'x'])(
    'refuses %s',
    (pattern) => {
      expect(() => parsePattern(pattern)).toThrow('Event pattern is not valid')
    },
  )
})

describe('target input', () => {
  const rule = { Name: 'r', Arn: 'arn' }
  const event = { detail: { name: 'a "b"', n: 3, list: [{ id: 1 }] } }
  it('reads paths', () => {
    expect(atPath(event, '$.detail.list[0].id')).toBe(1)
    expect(atPath(event, '$.detail.nope.x')).toBeUndefined()
  })
  it('fills templates', () => {
    const InputPathsMap = { name: '$.detail.name', n: '$.detail.n' }
    const fill = (InputTemplate: string) =>
      targetInput({ InputTransformer: { InputPathsMap, InputTemplate } }, event, rule)
    expect(JSON.parse(fill('{"text": "<name> of <aws.events.rule-name>", "n": <n>, "name": <name>}'))).toEqual({
      text: 'a "b" of r',
      n: 3,
      name: 'a "b"',
    })
    expect(fill('"<name> is <n>"')).toBe('"a \\"b\\" is 3"')
  })
})
