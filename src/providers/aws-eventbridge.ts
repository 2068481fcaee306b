import { z } from 'zod'
import type { Action } from '../core/action.ts'
import { isObject, own } from '../core/json.ts'
import { LINEAGE_KEY } from '../core/lineage.ts'
import { defineProvider } from '../core/provider.ts'
import { awsCalls } from './aws/client.ts'
import { awsConfig } from './aws/config.ts'
import { codeOfName } from './aws/errors.ts'
import { crossesLimit } from './aws/limits.ts'
import { parsed, stored } from './wire/data.ts'
import { failure, invalidPayload, type ProviderErrorCode } from './wire/errors.ts'
import { kindOf, pointerTo, textAt, valueAt } from './wire/payload.ts'

const VERB = 'put_event'

type Entry = {
  readonly EventBusName: string
  readonly Source: string
  readonly DetailType: string
  /** JSON text. */
  readonly Detail: string
  readonly Resources: readonly string[]
}

/** Puts one event on one bus. The token is the event's only resource, for rules and targets to read; the lineage is in the detail. */
export const awsEventbridge = defineProvider({
  type: 'aws-eventbridge',
  verbs: [VERB],
  config: awsConfig({
    event_bus_name: z.string().min(1),
    source: z.string().min(1).optional(),
    detail_type: z.string().min(1).optional(),
  }),
  open(name, config, env) {
    const aws = awsCalls(
      config,
      env,
      () => import('@aws-sdk/client-eventbridge'),
      (sdk, settings) => new sdk.EventBridgeClient(settings),
    )
    return {
      name,
      type: 'aws-eventbridge',
      hasEffect: true,
      render(action, { token, lineage }): Entry {
        const payload = action.action_type === VERB ? action.payload : {}
        const entry: Entry = {
          EventBusName: config.event_bus_name,
          Source: textAt(payload, 'source') ?? config.source ?? `signalbox.${action.namespace}`,
          DetailType: textAt(payload, 'detail_type') ?? config.detail_type ?? action.action_type,
          Detail: detailOf(action),
          Resources: [token],
        }
        return lineage === undefined ? entry : withLineage(entry, lineage)
      },
      dedupWindowMs: () => 0,
      async send(request, { signal }) {
        const entry = stored<Entry>(request)
        const answer = await aws.call(signal, (client, sdk, options) =>
          client.send(new sdk.PutEventsCommand({ Entries: [{ ...entry, Resources: [...entry.Resources] }] }), options),
        )
        const result = answer.Entries?.[0]
        if ((answer.FailedEntryCount ?? 0) > 0 || result?.ErrorCode !== undefined) {
          const error = result?.ErrorCode
          throw failure(codeOfEntry(error), `the bus refused the event (${error ?? 'no reason given'})`, {
            response: { status: 200, body: { error: error ?? null, message: result?.ErrorMessage ?? null } },
          })
        }
        return { status: 200, body: { event_id: result?.EventId ?? null, event_bus: entry.EventBusName } }
      },
      async check(signal) {
        await aws.call(signal, (client, sdk, options) =>
          client.send(new sdk.DescribeEventBusCommand({ Name: config.event_bus_name }), options),
        )
      },
      close: aws.close,
    }
  },
})

/** `detail` of the verb: an object, or text that is the JSON of one. Otherwise the payload. */
function detailOf(action: Action): string {
  const detail = action.action_type === VERB ? valueAt(action.payload, 'detail') : undefined
  if (detail === undefined) return JSON.stringify(action.payload)
  if (isObject(detail)) return JSON.stringify(detail)
  if (typeof detail === 'string' && isObject(parsed(detail))) return detail
  throw invalidPayload(pointerTo('detail'), `expected an object or the JSON text of one, got ${kindOf(detail)}`)
}

/**
 * The lineage in the detail's `metadata`, which rules, archives and targets all hand on. The rest of the detail stays as it was
 * written; an event goes without where that cannot be, where `metadata` is something else, or where it would grow too large.
 */
function withLineage(entry: Entry, lineage: string): Entry {
  const Detail = detailWith(entry.Detail, { [LINEAGE_KEY]: lineage })
  if (Detail === undefined) return entry
  const more = { ...entry, Detail }
  return crossesLimit(bytesOf(entry), bytesOf(more) - bytesOf(entry)) ? entry : more
}
const bytesOf = ({ Source, DetailType, Detail, Resources }: Entry): number =>
  Buffer.byteLength([Source, DetailType, Detail, ...Resources].join(''))

function detailWith(text: string, more: { readonly [key: string]: string }): string | undefined {
  const detail = parsed(text)
  if (!isObject(detail)) return undefined
  const metadata = own(detail, 'metadata')
  if (metadata === undefined) {
    const open = text.trimEnd().slice(0, -1)
    return `${open}${Object.keys(detail).length > 0 ? ',' : ''}"metadata":${JSON.stringify(more)}}`
  }
  // Text of the caller's own may hold more than parsing keeps: numbers of twenty digits, say.
  if (!isObject(metadata) || JSON.stringify(detail) !== text) return undefined
  return JSON.stringify({ ...detail, metadata: { ...metadata, ...more } })
}

/** A refused entry was not taken, so its end is definite whatever the reason. */
function codeOfEntry(error: string | undefined): ProviderErrorCode {
  if (error === 'InternalFailure' || error === 'InternalException') return 'unavailable'
  return codeOfName(error) ?? 'rejected'
}
