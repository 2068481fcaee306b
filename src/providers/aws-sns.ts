import { z } from 'zod'
import { defineProvider } from '../core/provider.ts'
import { awsCalls } from './aws/client.ts'
import { awsConfig } from './aws/config.ts'
import { type Attributes, isFifo, messageKeys, sdkAttributes } from './aws/messages.ts'
import { stored } from './wire/data.ts'
import { lineAt, textAt } from './wire/payload.ts'

const VERB = 'publish'

/** As stored: the SDK's own input beside the window its deduplication id has. */
type Request = {
  readonly window_ms: number
  readonly input: {
    readonly TopicArn: string
    readonly Message: string
    readonly Subject?: string
    readonly MessageDeduplicationId?: string
    readonly MessageGroupId?: string
    readonly MessageAttributes?: Attributes
  }
}

/** Publishes to one topic. The token is the deduplication id of a FIFO topic, else the attribute `signalbox_token`; the lineage is an attribute. */
export const awsSns = defineProvider({
  type: 'aws-sns',
  verbs: [VERB],
  config: awsConfig({ topic_arn: z.string().min(1) }),
  open(name, config, env) {
    const aws = awsCalls(
      config,
      env,
      () => import('@aws-sdk/client-sns'),
      (sdk, settings) => new sdk.SNSClient(settings),
    )
    return {
      name,
      type: 'aws-sns',
      hasEffect: true,
      render(action, context): Request {
        const payload = action.action_type === VERB ? action.payload : {}
        const message = textAt(payload, 'message') ?? JSON.stringify(action.payload)
        const { windowMs, keys } = messageKeys(action, payload, message, context, isFifo(config.topic_arn))
        const subject = lineAt(payload, 'subject')
        return {
          window_ms: windowMs,
          input: {
            TopicArn: config.topic_arn,
            Message: message,
            ...(subject !== undefined && { Subject: subject }),
            ...keys,
          },
        }
      },
      dedupWindowMs: (request) => stored<Request>(request).window_ms,
      async send(request, { signal }) {
        const { MessageAttributes, ...input } = stored<Request>(request).input
        const answer = await aws.call(signal, (client, sdk, options) =>
          client.send(
            new sdk.PublishCommand({ ...input, MessageAttributes: sdkAttributes(MessageAttributes) }),
            options,
          ),
        )
        return { status: 200, body: { message_id: answer.MessageId ?? null, topic_arn: input.TopicArn } }
      },
      async check(signal) {
        await aws.call(signal, (client, sdk, options) =>
          client.send(new sdk.GetTopicAttributesCommand({ TopicArn: config.topic_arn }), options),
        )
      },
      close: aws.close,
    }
  },
})
