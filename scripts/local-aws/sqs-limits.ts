/** What SQS refuses of a message and fauxqs would take. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html */
import type { SqsInput } from './sqs-query.ts'
import { AwsError } from './wire.ts'

const MAX_DELAY_SECONDS = 900
const MAX_ATTRIBUTES = 10

const invalid = (message: string): AwsError =>
  new AwsError('com.amazonaws.sqs#InvalidParameterValue', message, 400, { queryError: 'InvalidParameterValue;Sender' })

export const checkMessage = (input: SqsInput): void => {
  const { QueueUrl, DelaySeconds: delay } = input
  if (delay !== undefined) {
    const why =
      typeof QueueUrl === 'string' && QueueUrl.endsWith('.fifo')
        ? 'The request include parameter that is not valid for this queue type.'
        : Number(delay) >= 0 && Number(delay) <= MAX_DELAY_SECONDS
          ? undefined
          : `DelaySeconds must be >= 0 and <= ${MAX_DELAY_SECONDS}.`
    if (why) throw invalid(`Value ${delay} for parameter DelaySeconds is invalid. Reason: ${why}`)
  }
  const attributes = Object.entries((input.MessageAttributes ?? {}) as Record<string, Record<string, unknown>>)
  if (attributes.length > MAX_ATTRIBUTES)
    throw invalid(
      `Number of message attributes [${attributes.length}] exceeds the allowed maximum [${MAX_ATTRIBUTES}].`,
    )
  for (const [name, { DataType, StringValue, BinaryValue }] of attributes) {
    const kind = /^(String|Number|Binary)(\..+)?$/.exec(String(DataType))?.[1]
    if (!kind) throw invalid(`The type of message (user) attribute '${name}' is invalid: ${DataType}.`)
    const value = kind === 'Binary' ? BinaryValue : StringValue
    if (value === undefined || value === '') throw invalid(`Message (user) attribute '${name}' must contain a value.`)
    if (kind === 'Number' && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(String(value)))
      throw invalid(`Can't cast the value of message (user) attribute '${name}' to a number.`)
  }
}
