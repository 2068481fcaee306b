import { type Json, jsonDepth } from '../../core/json.ts'

/** The largest answer that is kept. Bytes. */
export const MAX_RESPONSE_BYTES = 1_048_576
/** Deeper answers stay text: everything that walks JSON here recurses. */
const MAX_DEPTH = 64

/** What the other side said: the JSON it is, else `{text}`. */
export function decode(text: string): Json {
  const json = parsed(text)
  return json === undefined ? { text } : json
}

/** JSON text as data (null included), or undefined when it is not JSON or too deep. */
export function parsed(text: string): Json | undefined {
  if (jsonDepth(text) > MAX_DEPTH) return undefined
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined // not JSON: the callers keep it as text
  }
}

/** A stored request back in the shape its own `render` gave it. */
export const stored = <T>(request: Json): T => request as T
