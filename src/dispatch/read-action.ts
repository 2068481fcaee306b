import { type Action, actionFields } from '../core/action.ts'
import { isoTime } from '../core/clock.ts'
import { type FieldError, Problem } from '../core/errors.ts'
import { isObject, type Json, type JsonObject, own, setOwn } from '../core/json.ts'
import { isMoment } from '../core/moment.ts'
import { didYouMean } from '../core/nearest.ts'

/**
 * Reads an action at the door. Written by hand rather than with a schema library because it runs on every dispatch; all
 * field errors are reported at once.
 */

const MAX_NAME = 128
const MAX_ID = 256
const MAX_KEY_BYTES = 512
const FIELDS: ReadonlySet<string> = new Set(actionFields)
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

export interface ReadContext {
  readonly newId: () => string
  /** Milliseconds. */
  readonly now: number
  readonly defaultProvider?: string
}

/** Unknown fields that are named one by one. */
const MOST_UNKNOWN = 100

/** Throws Problem 400 `invalid_action` naming every field at fault. `at` prefixes the pointers, for an item of a batch. */
export function readAction(body: Json, context: ReadContext, at = ''): Action {
  if (!isObject(body))
    throw new Problem(400, 'invalid_action', 'an action is a JSON object', {
      errors: [{ pointer: at, message: 'expected an object' }],
    })
  const errors: FieldError[] = []
  const wrong: Wrong = (path, message) => {
    const parts = typeof path === 'string' ? [path] : path
    errors.push({
      pointer: at + parts.map((p) => `/${p.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
      message,
    })
  }
  let unknown = 0
  for (const key of Object.keys(body))
    if (!FIELDS.has(key) && own(body, key) !== null && ++unknown <= MOST_UNKNOWN)
      wrong(key, `unknown field${didYouMean(key, FIELDS)}`)
  if (unknown > MOST_UNKNOWN) wrong([], `and ${unknown - MOST_UNKNOWN} more unknown fields`)

  const text = (field: string, max: number, bytes = false): string | undefined => {
    const v = own(body, field)
    if (v === undefined || v === null) return undefined
    if (typeof v !== 'string') wrong(field, 'expected a string')
    else if (v.length === 0) wrong(field, 'must not be empty')
    else if ((bytes ? Buffer.byteLength(v) : v.length) > max)
      wrong(field, `longer than ${max} ${bytes ? 'bytes' : 'characters'}`)
    else if (CONTROL.test(v)) wrong(field, 'holds a control character')
    else if (!v.isWellFormed()) wrong(field, 'is not well-formed Unicode')
    else return v
    return undefined
  }
  const time = (field: string): string | undefined => {
    const v = text(field, 64)
    if (v === undefined) return undefined
    if (isMoment(v)) return v
    wrong(field, 'expected an RFC 3339 date and time, such as 2026-01-05T12:00:00Z')
    return undefined
  }

  const actionType = text('action_type', MAX_NAME)
  if (actionType === undefined && (own(body, 'action_type') ?? null) === null) wrong('action_type', 'is required')
  const payload = own(body, 'payload') ?? {}
  if (!isObject(payload)) wrong('payload', 'expected an object')
  const provider = text('provider', MAX_NAME) ?? context.defaultProvider
  const dedupKey = text('dedup_key', MAX_KEY_BYTES, true)
  const fingerprint = text('fingerprint', MAX_KEY_BYTES, true)
  const status = text('status', MAX_NAME)
  const startsAt = time('starts_at')
  const endsAt = time('ends_at')
  const action: Action = {
    id: text('id', MAX_ID) ?? context.newId(),
    namespace: text('namespace', MAX_NAME) ?? 'default',
    tenant: text('tenant', MAX_NAME) ?? 'default',
    ...(provider !== undefined && { provider }),
    action_type: actionType ?? '',
    payload: isObject(payload) ? payload : {},
    metadata: readMetadata(own(body, 'metadata'), wrong),
    ...(dedupKey !== undefined && { dedup_key: dedupKey }),
    ...(fingerprint !== undefined && { fingerprint }),
    ...(status !== undefined && { status }),
    ...(startsAt !== undefined && { starts_at: startsAt }),
    ...(endsAt !== undefined && { ends_at: endsAt }),
    created_at: time('created_at') ?? isoTime(context.now),
  }
  if (errors.length > 0)
    throw new Problem(400, 'invalid_action', `${errors.length === 1 ? 'a field is' : 'fields are'} wrong`, { errors })
  return action
}

const NO_METADATA = {}

type Wrong = (path: string | readonly string[], message: string) => void

function readMetadata(v: Json | undefined, wrong: Wrong): { readonly [key: string]: string } {
  if (v === undefined || v === null) return NO_METADATA
  if (!isObject(v)) {
    wrong('metadata', 'expected an object of strings')
    return NO_METADATA
  }
  // `{"labels": {…}}` is how other gateways of the field nest it.
  const keys = Object.keys(v)
  const labels = keys.length === 1 && keys[0] === 'labels' ? own(v, 'labels') : undefined
  const flat: JsonObject = isObject(labels) ? labels : v
  const out: Record<string, string> = {}
  for (const key of Object.keys(flat)) {
    const value = own(flat, key)
    if (typeof value === 'string') setOwn(out, key, value)
    else wrong(isObject(labels) ? ['metadata', 'labels', key] : ['metadata', key], 'expected a string')
  }
  return out
}
