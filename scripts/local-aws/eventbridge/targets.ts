/** Brings a matched event to a target: a queue, a topic, a function or another bus. */
import { randomUUID } from 'node:crypto'
import type { SqsInput } from '../sqs-query.ts'
import { AwsError, type Json, parseArn } from '../wire.ts'
import type { Rule, Target } from './buses.ts'
import { targetInput } from './input.ts'

export interface Targets {
  send(queueArn: string, body: string, more?: SqsInput): Promise<void>
  publish(topicArn: string, message: string, region: string): Promise<void>
  invoke(functionArn: string, payload: string): Promise<void>
  putEvent(busArn: string): Promise<void>
}

export const SUPPORTED = new Set(['sqs', 'sns', 'lambda', 'events'])

const bring = async (targets: Targets, target: Target, body: string): Promise<void> => {
  const { service, region } = parseArn(target.Arn)
  const group = target.SqsParameters?.MessageGroupId
  switch (service) {
    case 'sqs':
      return targets.send(
        target.Arn,
        body,
        group ? { MessageGroupId: group, MessageDeduplicationId: randomUUID() } : {},
      )
    case 'sns':
      return targets.publish(target.Arn, body, region)
    case 'lambda':
      return targets.invoke(target.Arn, body)
    case 'events':
      return targets.putEvent(target.Arn)
    default:
      throw new AwsError('UNSUPPORTED_TARGET', `no delivery to ${target.Arn}`)
  }
}

/** Never throws: what cannot be delivered goes to the target's dead-letter queue, else to the log. */
export const deliver = async (targets: Targets, target: Target, event: Json, rule: Rule): Promise<void> => {
  try {
    await bring(targets, target, targetInput(target, event, rule))
  } catch (error) {
    const text = (StringValue: string) => ({ DataType: 'String', StringValue })
    const queue = target.DeadLetterConfig?.Arn
    const message = error instanceof Error ? error.message : String(error)
    if (!queue) return console.error(`EventBridge rule ${rule.Name}: ${target.Arn}: ${message}`)
    const MessageAttributes = {
      ERROR_CODE: text(error instanceof AwsError ? error.code : 'SDK_CLIENT_ERROR'),
      ERROR_MESSAGE: text(message || 'unknown'),
      RULE_ARN: text(rule.Arn),
      TARGET_ARN: text(target.Arn),
    }
    await targets.send(queue, JSON.stringify(event), { MessageAttributes }).catch(console.error)
  }
}
