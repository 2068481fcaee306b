/** The form-encoded SQS protocol that older clients speak, to and from the JSON one. */
import { element, type Form, type FormTree, formList, formTree } from './wire.ts'

export type SqsInput = Record<string, unknown>
export interface SqsResult {
  [field: string]: unknown
  QueueUrl?: string
  QueueUrls?: string[]
  Messages?: { ReceiptHandle: string }[]
}

type Shape = 'list' | 'map' | 'entries'
/** A numbered form parameter → the JSON field it fills, and how. */
const LISTS: Record<string, [field: string, shape: Shape]> = {
  Attribute: ['Attributes', 'map'],
  Tag: ['Tags', 'map'],
  AttributeName: ['AttributeNames', 'list'],
  MessageAttributeName: ['MessageAttributeNames', 'list'],
  MessageSystemAttributeName: ['MessageSystemAttributeNames', 'list'],
  TagKey: ['TagKeys', 'list'],
  MessageAttribute: ['MessageAttributes', 'map'],
  MessageSystemAttribute: ['MessageSystemAttributes', 'map'],
  SendMessageBatchRequestEntry: ['Entries', 'entries'],
  DeleteMessageBatchRequestEntry: ['Entries', 'entries'],
  ChangeMessageVisibilityBatchRequestEntry: ['Entries', 'entries'],
}
const NUMBERS = new Set(['DelaySeconds', 'VisibilityTimeout', 'MaxNumberOfMessages', 'WaitTimeSeconds', 'MaxResults'])

const input = (tree: FormTree): SqsInput => {
  const out: SqsInput = {}
  for (const [name, value] of Object.entries(tree)) {
    const list = LISTS[name]
    if (!list || typeof value === 'string') {
      out[name] = NUMBERS.has(name) ? Number(value) : value
      continue
    }
    const [field, shape] = list
    const items = formList(value)
    const nodes = items.filter((item) => typeof item === 'object')
    if (shape === 'list') out[field] = items
    else if (shape === 'entries') out[field] = nodes.map(input)
    else out[field] = Object.fromEntries(nodes.map((node) => [String(node.Name ?? node.Key), node.Value]))
  }
  return out
}

export const inputFromForm = (form: Form): SqsInput => {
  const { Action, Version: _, ...fields } = form
  const { Tags, ...rest } = input(formTree(fields))
  if (Tags === undefined) return rest
  // The JSON protocol spells this one field of CreateQueue in lower case.
  return Action === 'CreateQueue' ? { ...rest, tags: Tags } : { ...rest, Tags }
}

type Fields = Record<string, unknown>
const leaf = (name: string, value: unknown): string =>
  typeof value === 'object' && value !== null
    ? `<${name}>${fields(value as Fields)}</${name}>`
    : element(name, value as string | number | boolean | null | undefined)
const fields = (value: Fields): string =>
  Object.entries(value)
    .map(([name, inner]) => leaf(name, inner))
    .join('')
const pairs = (name: string, value: unknown, key = 'Name'): string =>
  Object.entries((value ?? {}) as Fields)
    .map(([each, inner]) => `<${name}>${element(key, each)}${leaf('Value', inner)}</${name}>`)
    .join('')
const items = (name: string, value: unknown): string =>
  ((value ?? []) as unknown[]).map((each) => leaf(name, each)).join('')

export const resultToXml = (action: string, result: SqsResult): string => {
  switch (action) {
    case 'GetQueueAttributes':
      return pairs('Attribute', result.Attributes)
    case 'ListQueueTags':
      return pairs('Tag', result.Tags, 'Key')
    case 'ListQueues':
      return items('QueueUrl', result.QueueUrls) + leaf('NextToken', result.NextToken)
    case 'ReceiveMessage':
      return ((result.Messages ?? []) as Fields[])
        .map(({ Attributes, MessageAttributes, ...message }) => {
          const maps = pairs('Attribute', Attributes) + pairs('MessageAttribute', MessageAttributes)
          return `<Message>${fields(message)}${maps}</Message>`
        })
        .join('')
    case 'SendMessageBatch':
    case 'DeleteMessageBatch':
    case 'ChangeMessageVisibilityBatch':
      return items(`${action}ResultEntry`, result.Successful) + items('BatchResultErrorEntry', result.Failed)
    default:
      return fields(result)
  }
}
