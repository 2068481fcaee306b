/** Queues that receive what topic and bus pass on, and readers of those the pipeline itself writes to. */
import {
  DeleteRuleCommand,
  EventBridgeClient,
  ListEventBusesCommand,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge'
import { LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda'
import { ListTopicsCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns'
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import type { Row } from '../api.ts'

const TOPIC = 'building-alerts'
const BUS = 'building-events'
const ALERTS = 'example-inbox-alerts'
const EVENTS = 'example-inbox-events'
const RULE = 'example-inbox'
const ACCOUNT = '000000000000'
const REGION = 'us-east-1'
const arn = (service: string, name: string): string => `arn:aws:${service}:${REGION}:${ACCOUNT}:${name}`

export interface Inboxes {
  /** Takes every message there is, as parsed JSON. */
  alerts(): Promise<readonly Row[]>
  events(): Promise<readonly Row[]>
  metrics(): Promise<readonly Row[]>
  deadLetters(): Promise<readonly Row[]>
  invocations(functionName: string): Promise<readonly Row[]>
  mails(): Promise<readonly Row[]>
  /** Names of what the example's setup makes and is still there. */
  leftovers(): Promise<readonly string[]>
  close(): Promise<void>
}

/** After setup.sh: the topic and the bus must be there. */
export async function openInboxes(endpoint: string): Promise<Inboxes> {
  const settings = { endpoint, region: REGION, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }
  const sqs = new SQSClient(settings)
  const sns = new SNSClient(settings)
  const events = new EventBridgeClient(settings)
  const lambda = new LambdaClient(settings)
  const queueUrl = (name: string): string => `${endpoint}/${ACCOUNT}/${name}`

  for (const QueueName of [ALERTS, EVENTS]) await sqs.send(new CreateQueueCommand({ QueueName }))
  const subscription = { TopicArn: arn('sns', TOPIC), Protocol: 'sqs', Endpoint: arn('sqs', ALERTS) }
  await sns.send(new SubscribeCommand({ ...subscription, Attributes: { RawMessageDelivery: 'true' } }))
  const EventPattern = JSON.stringify({ account: [ACCOUNT] })
  await events.send(new PutRuleCommand({ Name: RULE, EventBusName: BUS, EventPattern }))
  const target = { Id: 'inbox', Arn: arn('sqs', EVENTS) }
  await events.send(new PutTargetsCommand({ Rule: RULE, EventBusName: BUS, Targets: [target] }))

  const drain = async (name: string): Promise<readonly Row[]> => {
    const QueueUrl = queueUrl(name)
    const rows: Row[] = []
    for (;;) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 0 }),
      )
      if (Messages.length === 0) return rows
      rows.push(...Messages.map((m) => JSON.parse(m.Body ?? 'null') as Row))
      const Entries = Messages.map((m, i) => ({ Id: String(i), ReceiptHandle: m.ReceiptHandle }))
      await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    }
  }
  const own = async (path: string, list: string): Promise<readonly Row[]> => {
    const response = await fetch(`${endpoint}${path}`)
    return ((await response.json()) as Record<string, Row[]>)[list] ?? []
  }

  return {
    alerts: () => drain(ALERTS),
    events: () => drain(EVENTS),
    metrics: () => drain('telemetry-metrics'),
    deadLetters: () => drain('telemetry-dlq'),
    invocations: (name) => own(`/_local/lambda/invocations?function=${name}`, 'invocations'),
    mails: () => own('/_aws/ses', 'messages'),
    async leftovers() {
      const { Topics = [] } = await sns.send(new ListTopicsCommand({}))
      const { QueueUrls = [] } = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: 'telemetry-' }))
      const { EventBuses = [] } = await events.send(new ListEventBusesCommand({ NamePrefix: BUS }))
      const { Functions = [] } = await lambda.send(new ListFunctionsCommand({}))
      return [
        ...Topics.map((t) => t.TopicArn ?? ''),
        ...QueueUrls,
        ...EventBuses.map((b) => b.Name ?? ''),
        ...Functions.map((f) => f.FunctionName ?? ''),
      ]
    },
    async close() {
      await events.send(new RemoveTargetsCommand({ Rule: RULE, EventBusName: BUS, Ids: ['inbox'] }))
      await events.send(new DeleteRuleCommand({ Name: RULE, EventBusName: BUS }))
      for (const name of [ALERTS, EVENTS]) await sqs.send(new DeleteQueueCommand({ QueueUrl: queueUrl(name) }))
    },
  }
}
