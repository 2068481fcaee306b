import { isObject, type Json, type JsonObject, own } from '../../core/json.ts'
import { invalidPayload } from './errors.ts'

/** RFC 6901 pointer to a payload key. */
export const pointerTo = (...path: readonly (string | number)[]): string =>
  `/payload${path.map((p) => `/${String(p).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')}`

/** A key's value; null counts as absent, because a template path that is not there renders as null. */
export function valueAt(payload: JsonObject, key: string): Json | undefined {
  const v = own(payload, key)
  return v === null ? undefined : v
}

export function textAt(payload: JsonObject, key: string): string | undefined {
  const v = valueAt(payload, key)
  if (v === undefined || typeof v === 'string') return v
  throw invalidPayload(pointerTo(key), `expected a string, got ${kindOf(v)}`)
}

/** Text that ends up in a header: a line break there would begin another header. */
export function lineAt(payload: JsonObject, key: string): string | undefined {
  const text = textAt(payload, key)
  if (text !== undefined) refuseBreaks(text, pointerTo(key))
  return text
}

export function linesAt(payload: JsonObject, key: string): readonly string[] | undefined {
  const v = valueAt(payload, key)
  if (v === undefined) return undefined
  const list = Array.isArray(v) ? (v as readonly Json[]) : [v]
  return list.map((item, i) => {
    const pointer = Array.isArray(v) ? pointerTo(key, i) : pointerTo(key)
    if (typeof item !== 'string') throw invalidPayload(pointer, `expected a string or a list, got ${kindOf(item)}`)
    refuseBreaks(item, pointer)
    return item
  })
}

/** Integer between the bounds. */
export function integerAt(payload: JsonObject, key: string, min: number, max: number): number | undefined {
  const v = valueAt(payload, key)
  if (v === undefined) return undefined
  if (typeof v === 'number' && Number.isInteger(v) && v >= min && v <= max) return v
  throw invalidPayload(pointerTo(key), `expected an integer from ${min} to ${max}, got ${kindOf(v)}`)
}

export function objectAt(payload: JsonObject, key: string): JsonObject | undefined {
  const v = valueAt(payload, key)
  if (v === undefined || isObject(v)) return v
  throw invalidPayload(pointerTo(key), `expected an object, got ${kindOf(v)}`)
}

/** Standard base64, checked: Node would silently skip what it cannot read. */
export function base64At(payload: JsonObject, key: string): string | undefined {
  const text = textAt(payload, key)
  if (text !== undefined) checkBase64(text, pointerTo(key))
  return text
}
export function checkBase64(text: string, pointer: string): void {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw invalidPayload(pointer, 'expected base64')
}

function refuseBreaks(text: string, pointer: string): void {
  if (/[\r\n\0]/.test(text)) throw invalidPayload(pointer, 'takes no line breaks')
}

export const kindOf = (v: Json): string =>
  v === null ? 'null' : Array.isArray(v) ? 'a list' : typeof v === 'object' ? 'an object' : `a ${typeof v}`
