import { z } from 'zod'
import { defineProvider } from '../core/provider.ts'
import { awsCalls } from './aws/client.ts'
import { awsConfig } from './aws/config.ts'
import { type Attributes, isFifo, messageKeys, sdkAttributes } from './aws/messages.ts'
import { stored } from './wire/data.ts'
import { invalidPayload } from './wire/errors.ts'
import { integerAt, pointerTo, textAt } from './wire/payload.ts'

const VERB = 'send_message'
const MAX_DELAY_SECONDS = 900

/** As stored: the SDK's own input beside the window its deduplication id has. */
type Request = {
  readonly window_ms: number
  readonly input: {
    readonly QueueUrl: string
    readonly MessageBody: string
    readonly DelaySeconds?: number
    readonly MessageDeduplicationId?: string
    readonly MessageGroupId?: string
    readonly MessageAttributes?: Attributes
  }
}

/** Sends to one queue. The token is the deduplication id of a FIFO queue, else the attribute `signalbox_token`; the lineage is an attribute. */
export const awsSqs = defineProvider({
  type: 'aws-sqs',
  verbs: [VERB],
  config: awsConfig({ queue_url: z.url({ protocol: /^https?$/ }) }),
  open(name, config, env) {
    const fifo = isFifo(config.queue_url)
    const aws = awsCalls(
      config,
      env,
      () => import('@aws-sdk/client-sqs'),
      (sdk, settings) => new sdk.SQSClient(settings),
    )
    return {
      name,
      type: 'aws-sqs',
      hasEffect: true,
      render(action, context): Request {
        const payload = action.action_type === VERB ? action.payload : {}
        const message = textAt(payload, 'message_body') ?? JSON.stringify(action.payload)
        const { windowMs, keys } = messageKeys(action, payload, message, context, fifo)
        const delay = integerAt(payload, 'delay_seconds', 0, MAX_DELAY_SECONDS)
        if (fifo && delay !== undefined)
          throw invalidPayload(pointerTo('delay_seconds'), 'a FIFO queue takes a delay only for the queue as a whole')
        // Standard queues take a group for fair sharing, when the payload names one.
        const group = fifo ? undefined : textAt(payload, 'message_group_id')
        return {
          window_ms: windowMs,
          input: {
            QueueUrl: config.queue_url,
            MessageBody: message,
            ...(delay !== undefined && { DelaySeconds: delay }),
            ...(group !== undefined && { MessageGroupId: group }),
            ...keys,
          },
        }
      },
      dedupWindowMs: (request) => stored<Request>(request).window_ms,
      async send(request, { signal }) {
        const { MessageAttributes, ...input } = stored<Request>(request).input
        const answer = await aws.call(signal, (client, sdk, options) =>
          client.send(
            new sdk.SendMessageCommand({ ...input, MessageAttributes: sdkAttributes(MessageAttributes) }),
            options,
          ),
        )
        return { status: 200, body: { message_id: answer.MessageId ?? null, queue_url: input.QueueUrl } }
      },
      async check(signal) {
        await aws.call(signal, (client, sdk, options) =>
          client.send(
            new sdk.GetQueueAttributesCommand({ QueueUrl: config.queue_url, AttributeNames: ['QueueArn'] }),
            options,
          ),
        )
      },
      close: aws.close,
    }
  },
})
