/** SNS: fauxqs keeps the topics and delivers to queues; subscribed functions and HTTP endpoints are called here. */
import { randomUUID } from 'node:crypto'
import { matchesPattern, parsePattern } from './eventbridge/pattern.ts'
import type { Fauxqs } from './fauxqs.ts'
import { type Answer, AwsError, asAwsError, type Call, type Form, type Json, queryError, unescapeXml } from './wire.ts'

const FORM = 'application/x-www-form-urlencoded'
const VERSION = '2010-03-31'

export interface Sns {
  query(call: Call, form: Form): Promise<Answer>
  publish(topicArn: string, message: string, region: string): Promise<void>
}
export type InvokeFunction = (functionArn: string, payload: string) => Promise<void>

interface Subscription {
  arn: string
  protocol: string
  endpoint: string
}

export const openSns = (fauxqs: Fauxqs, invokeFunction: InvokeFunction): Sns => {
  const call = async (form: Form, region: string): Promise<Answer> => {
    const reply = await fauxqs.post({ 'content-type': FORM }, new URLSearchParams(form).toString(), region)
    return {
      status: reply.status,
      headers: { 'content-type': 'text/xml', 'x-amzn-requestid': randomUUID() },
      body: reply.body.toString(),
    }
  }

  const subscriptions = async (topicArn: string, region: string): Promise<Subscription[]> => {
    const found: Subscription[] = []
    let next: string | undefined
    do {
      const token = next === undefined ? {} : { NextToken: next }
      const page = await call(
        { Action: 'ListSubscriptionsByTopic', Version: VERSION, TopicArn: topicArn, ...token },
        region,
      )
      const body = String(page.body)
      for (const [, member = ''] of body.matchAll(/<member>(.*?)<\/member>/gs)) {
        const field = (name: string) => unescapeXml(new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(member)?.[1] ?? '')
        found.push({ arn: field('SubscriptionArn'), protocol: field('Protocol'), endpoint: field('Endpoint') })
      }
      next = /<NextToken>(.*?)<\/NextToken>/.exec(body)?.[1]
    } while (next)
    return found
  }

  /** Endpoints of all kinds are confirmed at once: nobody here could read the link in a confirmation. */
  const confirm = async ({ TopicArn = '' }: Form, answer: Answer, region: string): Promise<void> => {
    const Token = /<SubscriptionArn>(.*?)<\/SubscriptionArn>/.exec(String(answer.body))?.[1] ?? ''
    await call({ Action: 'ConfirmSubscription', Version: VERSION, TopicArn, Token }, region)
  }

  const attributesOf = async (arn: string, region: string): Promise<Form> => {
    const answer = await call({ Action: 'GetSubscriptionAttributes', Version: VERSION, SubscriptionArn: arn }, region)
    const entries = String(answer.body).matchAll(/<key>(.*?)<\/key><value>(.*?)<\/value>/gs)
    return Object.fromEntries([...entries].map(([, key = '', value = '']) => [unescapeXml(key), unescapeXml(value)]))
  }

  const deliver = async (form: Form, messageId: string, region: string): Promise<void> => {
    const topicArn = form.TopicArn ?? ''
    for (const { arn, protocol, endpoint } of await subscriptions(topicArn, region)) {
      if (!/^(lambda|https?)$/.test(protocol)) continue
      const attributes = await attributesOf(arn, region)
      const notification = notificationOf(form, messageId, protocol)
      if (!wanted(attributes, notification)) continue
      if (protocol === 'lambda') {
        const record = { EventSource: 'aws:sns', EventVersion: '1.0', EventSubscriptionArn: arn, Sns: notification }
        await invokeFunction(endpoint, JSON.stringify({ Records: [record] }))
        continue
      }
      const raw = attributes.RawMessageDelivery === 'true'
      await fetch(endpoint, {
        method: 'POST',
        headers: {
          'content-type': 'text/plain; charset=UTF-8',
          'x-amz-sns-message-type': 'Notification',
          'x-amz-sns-message-id': messageId,
          'x-amz-sns-topic-arn': topicArn,
          'x-amz-sns-subscription-arn': arn,
          ...(raw ? { 'x-amz-sns-rawdelivery': 'true' } : {}),
        },
        body: raw ? notification.Message : JSON.stringify(notification),
        signal: AbortSignal.timeout(15_000),
      })
    }
  }

  const publish = async (form: Form, region: string): Promise<Answer> => {
    const { TargetArn, ...rest } = form
    const whole: Form = TargetArn && !form.TopicArn ? { ...rest, TopicArn: TargetArn } : form
    const { MessageStructure: _, ...fields } = whole
    const plain = { ...fields, Message: messageFor(whole, 'sqs') }
    const answer = await call(plain, region)
    const messageId = /<MessageId>(.*?)<\/MessageId>/.exec(String(answer.body))?.[1]
    if (answer.status === 200 && messageId)
      void deliver(whole, messageId, region).catch((error: unknown) => console.error('SNS delivery:', error))
    return answer
  }

  return {
    query: async ({ region }, form) => {
      try {
        if (form.Action === 'Publish') return await publish(form, region)
        checkPolicy(form)
        const answer = await call(form, region)
        if (form.Action === 'Subscribe' && answer.status === 200) await confirm(form, answer, region)
        return answer
      } catch (error) {
        return queryError(asAwsError(error), `http://sns.amazonaws.com/doc/${VERSION}/`)
      }
    },
    publish: async (topicArn, message, region) => {
      const answer = await publish(
        { Action: 'Publish', Version: VERSION, TopicArn: topicArn, Message: message },
        region,
      )
      if (answer.status !== 200) throw new AwsError('PublishFailed', String(answer.body), answer.status)
    },
  }
}

/** Of `Subscribe` and `SetSubscriptionAttributes`: with an operator that does not exist it would be taken, and match nothing. */
const checkPolicy = (form: Form): void => {
  let policy = form.AttributeName === 'FilterPolicy' ? form.AttributeValue : undefined
  for (let n = 1; form[`Attributes.entry.${n}.key`]; n++)
    if (form[`Attributes.entry.${n}.key`] === 'FilterPolicy') policy = form[`Attributes.entry.${n}.value`]
  if (!policy) return
  try {
    parsePattern(policy)
  } catch (error) {
    if (!(error instanceof AwsError)) throw error
    const reason = error.message.replace('Event pattern is not valid. Reason: ', '')
    throw new AwsError('InvalidParameter', `Invalid parameter: FilterPolicy: ${reason}`)
  }
}

/** With `MessageStructure=json` the message is an object of messages by protocol. */
const messageFor = (form: Form, protocol: string): string => {
  const message = form.Message ?? ''
  if (form.MessageStructure !== 'json') return message
  try {
    const byProtocol = JSON.parse(message) as Record<string, unknown>
    const text = byProtocol[protocol] ?? byProtocol.default
    if (typeof text === 'string') return text
  } catch {
    // no JSON has no default entry either
  }
  throw new AwsError('InvalidParameter', 'Invalid parameter: Message Structure - No default entry in JSON message body')
}

interface Notification {
  Type: 'Notification'
  MessageId: string
  TopicArn: string
  Subject: string | null
  Message: string
  Timestamp: string
  MessageAttributes: Record<string, { Type: string; Value: string }>
  [signature: string]: unknown
}

const notificationOf = (form: Form, messageId: string, protocol: string): Notification => {
  const attributes: Notification['MessageAttributes'] = {}
  for (let n = 1; form[`MessageAttributes.entry.${n}.Name`]; n++) {
    const at = (part: string) => form[`MessageAttributes.entry.${n}.${part}`]
    const value = at('Value.StringValue') ?? at('Value.BinaryValue') ?? ''
    attributes[at('Name') ?? ''] = { Type: at('Value.DataType') ?? 'String', Value: value }
  }
  return {
    Type: 'Notification',
    MessageId: messageId,
    TopicArn: form.TopicArn ?? '',
    Subject: form.Subject ?? null,
    Message: messageFor(form, protocol),
    Timestamp: new Date().toISOString(),
    SignatureVersion: '1',
    Signature: 'EXAMPLE',
    SigningCertUrl: 'EXAMPLE',
    UnsubscribeUrl: 'EXAMPLE',
    MessageAttributes: attributes,
  }
}

/** Filter policies are event patterns over the attributes, or over the body where the scope says so. */
const wanted = ({ FilterPolicy, FilterPolicyScope }: Form, notification: Notification): boolean => {
  if (!FilterPolicy) return true
  const subject = FilterPolicyScope === 'MessageBody' ? bodyOf(notification) : attributeValues(notification)
  return matchesPattern(JSON.parse(FilterPolicy) as Json, subject)
}
const bodyOf = ({ Message }: Notification): Json => {
  try {
    return JSON.parse(Message) as Json
  } catch {
    return {}
  }
}
const attributeValues = ({ MessageAttributes }: Notification): Json =>
  Object.fromEntries(
    Object.entries(MessageAttributes).map(([name, { Type, Value }]) => {
      const plain = Type.startsWith('String.Array') ? (JSON.parse(Value) as Json) : Value
      return [name, Type.startsWith('Number') ? Number(Value) : plain]
    }),
  )
