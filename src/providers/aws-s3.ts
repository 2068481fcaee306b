import { z } from 'zod'
import type { Action } from '../core/action.ts'
import { isObject, type JsonObject, own, setOwn } from '../core/json.ts'
import { defineProvider, type Receipt, type RenderContext } from '../core/provider.ts'
import { awsCalls } from './aws/client.ts'
import { awsConfig } from './aws/config.ts'
import { bodyOf } from './aws/objects.ts'
import { stored } from './wire/data.ts'
import { failure, invalidPayload } from './wire/errors.ts'
import { base64At, kindOf, lineAt, objectAt, pointerTo, textAt, valueAt } from './wire/payload.ts'

const VERBS = ['put_object', 'get_object', 'delete_object'] as const
type Verb = (typeof VERBS)[number]

type Place = { readonly Bucket: string; readonly Key: string }
type Content = { readonly Body: string; readonly encoding: 'utf8' | 'base64'; readonly ContentType: string }
type Request =
  | { readonly verb: 'get_object' | 'delete_object'; readonly input: Place }
  | {
      readonly verb: 'put_object'
      readonly input: Place
      readonly content: Content
      readonly metadata: { readonly [key: string]: string }
    }

/** Reads and writes objects of one bucket. Writing a key twice is writing it once; token and lineage are in the object's metadata. */
export const awsS3 = defineProvider({
  type: 'aws-s3',
  verbs: VERBS,
  config: awsConfig({ bucket_name: z.string().min(1), object_prefix: z.string().default('') }),
  open(name, config, env) {
    const Bucket = config.bucket_name
    const aws = awsCalls(
      config,
      env,
      () => import('@aws-sdk/client-s3'),
      (sdk, settings) =>
        new sdk.S3Client({
          ...settings,
          ...(settings.endpoint !== undefined && {
            forcePathStyle: true, // a stand-in has no name of its own for each bucket
            requestChecksumCalculation: 'WHEN_REQUIRED' as const,
            responseChecksumValidation: 'WHEN_REQUIRED' as const,
          }),
        }),
    )
    const placeOf = (payload: JsonObject): Place => {
      const key = textAt(payload, 'key')
      if (key === undefined || key === '') throw invalidPayload(pointerTo('key'), 'expected the key of an object')
      if (!key.isWellFormed()) throw invalidPayload(pointerTo('key'), 'is no Unicode: half of a character stands alone')
      if (/(^|\/)\.{1,2}(\/|$)/.test(key))
        throw invalidPayload(
          pointerTo('key'),
          'takes no part that is "." or "..": what stands before S3 may resolve it',
        )
      return { Bucket, Key: config.object_prefix + key }
    }

    return {
      name,
      type: 'aws-s3',
      hasEffect: true,
      render(action, context): Request {
        const verb = verbOf(action)
        const input = placeOf(action.payload)
        if (verb !== 'put_object') return { verb, input }
        return { verb, input, content: contentOf(action.payload), metadata: metadataOf(action.payload, context) }
      },
      dedupWindowMs: () => 0,
      async send(request, { signal }): Promise<Receipt> {
        const r = stored<Request>(request)
        const at = { bucket: r.input.Bucket, key: r.input.Key }
        if (r.verb === 'put_object') {
          const { Body, encoding, ContentType } = r.content
          const command = { ...r.input, Body: Buffer.from(Body, encoding), ContentType, Metadata: { ...r.metadata } }
          const { ETag } = await aws.call(signal, (client, sdk, options) =>
            client.send(new sdk.PutObjectCommand(command), options),
          )
          return { status: 200, body: { ...at, etag: ETag ?? null } }
        }
        if (r.verb === 'delete_object') {
          await aws.call(signal, (client, sdk, options) => client.send(new sdk.DeleteObjectCommand(r.input), options))
          return { status: 200, body: { ...at, deleted: true } }
        }
        const read = await aws.call(signal, async (client, sdk, options) => {
          const answer = await client.send(new sdk.GetObjectCommand(r.input), options)
          return { answer, content: await bodyOf(answer) }
        })
        const { ETag, ContentType } = read.answer
        return { status: 200, body: { ...at, etag: ETag ?? null, content_type: ContentType ?? null, ...read.content } }
      },
      async check(signal) {
        await aws.call(signal, (client, sdk, options) => client.send(new sdk.HeadBucketCommand({ Bucket }), options))
      },
      close: aws.close,
    }
  },
})

function verbOf(action: Action): Verb {
  const verb = VERBS.find((v) => v === action.action_type)
  if (verb !== undefined) return verb
  throw failure('unknown_operation', `expected one of ${VERBS.join(', ')} as action_type`)
}

function contentOf(payload: JsonObject): Content {
  const body = valueAt(payload, 'body')
  const base64 = base64At(payload, 'body_base64')
  const type = lineAt(payload, 'content_type')
  if (type !== undefined && !PRINTABLE.test(type))
    throw invalidPayload(pointerTo('content_type'), 'is no value for a header')
  if (base64 !== undefined && body !== undefined)
    throw invalidPayload(pointerTo('body_base64'), 'expected body or body_base64, not both')
  if (base64 !== undefined) return { Body: base64, encoding: 'base64', ContentType: type ?? 'application/octet-stream' }
  if (body === undefined) throw invalidPayload(pointerTo('body'), 'expected body or body_base64')
  return typeof body === 'string'
    ? { Body: body, encoding: 'utf8', ContentType: type ?? 'text/plain; charset=utf-8' }
    : { Body: JSON.stringify(body), encoding: 'utf8', ContentType: type ?? 'application/json' }
}

/** What a header takes as it stands. */
const PRINTABLE = /^[\t\x20-\x7e]*$/

/** Header names without underscores, because some intermediaries drop those. */
const TOKEN_METADATA = 'signalbox-token'
const LINEAGE_METADATA = 'signalbox-lineage'
/** Of all names and values together; S3 refuses more. */
const MAX_METADATA_BYTES = 2048

function metadataOf(payload: JsonObject, { token, lineage }: RenderContext): { readonly [key: string]: string } {
  const given = objectAt(payload, 'metadata') ?? {}
  const out: Record<string, string> = {}
  for (const key of Object.keys(given)) {
    const value = own(given, key)!
    const pointer = pointerTo('metadata', key)
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(key)) throw invalidPayload(pointer, 'is no name for a header')
    if (isObject(value) || Array.isArray(value))
      throw invalidPayload(pointer, `expected a string, got ${kindOf(value)}`)
    if (value !== null) setOwn(out, key.toLowerCase(), headerText(String(value), pointer))
  }
  const without: Record<string, string> = { ...out, [TOKEN_METADATA]: token }
  if (lineage === undefined) return without
  // An object that may be written does not fail for what is only said about it.
  const all = { ...without, [LINEAGE_METADATA]: lineage }
  return bytesOf(all) > MAX_METADATA_BYTES ? without : all
}

const bytesOf = (metadata: { readonly [key: string]: string }): number =>
  Buffer.byteLength(Object.entries(metadata).flat().join(''))

/** RFC 2047 for what is not ASCII, as S3 itself returns it. */
function headerText(text: string, pointer: string): string {
  if (/[\0-\x08\x0a-\x1f\x7f]/.test(text)) throw invalidPayload(pointer, 'takes no control characters')
  return PRINTABLE.test(text) ? text : `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`
}
