import type { Action } from '../../core/action.ts'
import { joinParts, sha256 } from '../../core/ids.ts'
import { isObject, type Json, type JsonObject, own, setOwn } from '../../core/json.ts'
import { LINEAGE_KEY } from '../../core/lineage.ts'
import type { RenderContext } from '../../core/provider.ts'
import { invalidPayload } from '../wire/errors.ts'
import { checkBase64, kindOf, objectAt, pointerTo, textAt } from '../wire/payload.ts'
import { crossesLimit } from './limits.ts'

/** FIFO queues and topics remember a deduplication id for five minutes. */
export const FIFO_WINDOW_MS = 300_000
/** Where the token travels when the service does not deduplicate: for the receiver's own use. */
export const TOKEN_ATTRIBUTE = 'signalbox_token'
/** SQS refuses more attributes than this on one message. */
const MAX_ATTRIBUTES = 10

/** As stored: binary values stay base64 until they are sent. */
export type Attribute =
  | { readonly DataType: string; readonly StringValue: string }
  | { readonly DataType: string; readonly BinaryValue: string }
export type Attributes = { readonly [name: string]: Attribute }

export const isFifo = (arnOrUrl: string): boolean => arnOrUrl.endsWith('.fifo')

/**
 * What SQS and SNS have in common beside the message itself, from the payload's keys where they are to be read.
 * `windowMs`: an id of the payload's own may stand for another action, so only the token's own window counts.
 */
export function messageKeys(
  action: Action,
  payload: JsonObject,
  message: string,
  { token, lineage }: RenderContext,
  fifo: boolean,
) {
  const dedupId = fifo ? textAt(payload, 'message_deduplication_id') : undefined
  const byService = fifo && dedupId === undefined
  const given = attributesOf(payload)
  const room = () => MAX_ATTRIBUTES - Object.keys(attributes).length
  let attributes = given
  if (!byService && room() > 0) attributes = { ...attributes, [TOKEN_ATTRIBUTE]: text(token) }
  // A message of the caller's does not fail for what is only said about it: without room the lineage stays behind.
  if (lineage !== undefined && room() > 0) {
    const more = { [LINEAGE_KEY]: text(lineage) }
    if (!crossesLimit(Buffer.byteLength(message) + bytesOf(attributes), bytesOf(more)))
      attributes = { ...attributes, ...more }
  }
  const groupId = textAt(payload, 'message_group_id')
  return {
    windowMs: byService ? FIFO_WINDOW_MS : 0,
    keys: {
      ...(fifo && {
        MessageDeduplicationId: dedupId ?? token,
        MessageGroupId: groupId ?? defaultGroup(action),
      }),
      ...(Object.keys(attributes).length > 0 && { MessageAttributes: attributes }),
    },
  }
}

const text = (value: string): Attribute => ({ DataType: 'String', StringValue: value })

/** As the services count them: name, type and value of each. */
const bytesOf = (attributes: Attributes): number =>
  Object.entries(attributes).reduce((sum, [name, a]) => {
    const value = 'BinaryValue' in a ? Buffer.byteLength(a.BinaryValue, 'base64') : Buffer.byteLength(a.StringValue)
    return sum + Buffer.byteLength(name) + Buffer.byteLength(a.DataType) + value
  }, 0)

/** `<namespace>/<tenant>` where that is an allowed and unambiguous group id, else a hash of the two. */
export function defaultGroup(action: Action): string {
  const { namespace, tenant } = action
  const plain = `${namespace}/${tenant}`
  const allowed = /^[!-~]{1,128}$/.test(plain) && !namespace.includes('/') && !tenant.includes('/')
  return allowed ? plain : sha256(joinParts([namespace, tenant]))
}

/** `message_attributes`: text, number or boolean, or `{data_type, string_value | binary_value}` as AWS has it. */
function attributesOf(payload: JsonObject): Attributes {
  const given = objectAt(payload, 'message_attributes') ?? {}
  const out: Record<string, Attribute> = {}
  for (const name of Object.keys(given)) {
    const value = own(given, name)!
    if (value !== null) setOwn(out, name, attribute(value, name))
  }
  return out
}

function attribute(value: Json, name: string): Attribute {
  if (typeof value === 'string') return { DataType: 'String', StringValue: value }
  if (typeof value === 'number') return { DataType: 'Number', StringValue: String(value) }
  if (typeof value === 'boolean') return { DataType: 'String', StringValue: String(value) }
  const pointer = pointerTo('message_attributes', name)
  if (!isObject(value)) throw invalidPayload(pointer, `expected text, a number or an object, got ${kindOf(value)}`)
  const [type, text, bytes] = ['data_type', 'string_value', 'binary_value'].map((k) => own(value, k))
  if (typeof type !== 'string') throw invalidPayload(`${pointer}/data_type`, 'expected a string')
  if (typeof text === 'string') return { DataType: type, StringValue: text }
  if (typeof bytes !== 'string') throw invalidPayload(pointer, 'expected string_value, or binary_value in base64')
  checkBase64(bytes, `${pointer}/binary_value`)
  return { DataType: type, BinaryValue: bytes }
}

/** Stored attributes as the SDK takes them. */
export const sdkAttributes = (stored: Attributes | undefined) =>
  stored &&
  Object.fromEntries(
    Object.entries(stored).map(([name, a]) => [
      name,
      'BinaryValue' in a ? { ...a, BinaryValue: Buffer.from(a.BinaryValue, 'base64') } : a,
    ]),
  )
