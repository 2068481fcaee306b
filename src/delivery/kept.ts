import type { Json } from '../core/json.ts'

/** For what stands around the text. */
const AROUND = 32

/** An answer as far as it can be stored, `most` bytes as JSON: cut, it is what a webhook's is that is too large to be read. */
export function kept(body: Json, most: number): Json {
  if (most === Number.POSITIVE_INFINITY) return body
  const text = JSON.stringify(body)
  if (Buffer.byteLength(text) <= most) return body
  // Escaped once more it may become twice as long.
  const start = Buffer.from(text).subarray(0, most / 2 - AROUND)
  return { text: new TextDecoder().decode(start, { stream: true }), truncated: true }
}
