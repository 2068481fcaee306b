import { hash, randomFillSync } from 'node:crypto'

/** The only source of chance: jitter and ids draw from here, so that a test can seed them. */
export interface Random {
  /** In [0, 1). */
  float(): number
  /** Fills and returns the given bytes. */
  fill(into: Uint8Array): Uint8Array
}

const POOL_BYTES = 4096

/** Chance from the operating system, drawn in blocks because a call for ten bytes costs as much as one for four thousand. */
export function systemRandom(): Random {
  const pool = new Uint8Array(POOL_BYTES)
  let at = POOL_BYTES
  return {
    float: () => Math.random(),
    fill(into) {
      if (into.length > POOL_BYTES) return randomFillSync(into)
      if (at + into.length > POOL_BYTES) {
        randomFillSync(pool)
        at = 0
      }
      // An id asks for eight: fewer than it costs to make a view.
      for (let i = 0; i < into.length; i++) into[i] = pool[at++]!
      return into
    },
  }
}

/** Repeatable chance for tests (mulberry32, public domain). */
export function seededRandom(seed: number): Random {
  let a = seed >>> 0
  const float = () => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = a
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    float,
    fill(into) {
      for (let i = 0; i < into.length; i++) into[i] = Math.floor(float() * 256)
      return into
    },
  }
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))
const hex = (b: Uint8Array, from: number, to: number): string => {
  let s = ''
  for (let i = from; i < to; i++) s += HEX[b[i]!]
  return s
}

/**
 * UUIDv7 (RFC 9562 §5.7) with the 12 bits after the version as a counter within the millisecond (method 1), so that
 * ids made by one process sort in the order they were made.
 */
export function uuidv7Source(now: () => number, random: Random): () => string {
  const bytes = new Uint8Array(8)
  let last = 0
  let counter = 0
  let head = ''
  const begin = (ms: number): void => {
    last = ms
    counter = 0
    const text = ms.toString(16).padStart(12, '0')
    head = `${text.slice(0, 8)}-${text.slice(8)}-7`
  }
  begin(0)
  return () => {
    const t = Math.floor(now()) // a fraction would not be hexadecimal
    if (t > last) begin(t)
    else if (++counter > 0xfff) begin(last + 1) // more than 4096 in one millisecond: borrow from the next
    random.fill(bytes)
    bytes[0] = (bytes[0]! & 0x3f) | 0x80
    return `${head}${HEX[counter >> 8]![1]}${HEX[counter & 0xff]}-${hex(bytes, 0, 2)}-${hex(bytes, 2, 8)}`
  }
}

/** The smallest UUIDv7 text of a moment: ids made at or after `ms` are not below it. */
export function uuidv7Floor(ms: number): string {
  const t = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0')
  return `${t.slice(0, 8)}-${t.slice(8)}-7000-8000-000000000000`
}

/** A UUIDv7 that is a function of a moment and a name: an audit id that two nodes, or one before and after a crash, make alike. */
export function uuidv7Of(ms: number, ...name: readonly string[]): string {
  const h = hash('sha1', hashed(joinParts(name)), 'hex')
  return `${uuidv7Floor(ms).slice(0, 13)}-7${h.slice(1, 4)}-${variant(h, 4)}${h.slice(5, 8)}-${h.slice(8, 20)}`
}

export const uuidv7Time = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

/** UUIDv5 (RFC 9562 §5.5): the same parts always give the same id. Parts are length-prefixed, so no two lists collide. */
export function uuidv5(...parts: readonly string[]): string {
  const h = hash('sha1', hashed(joinParts(parts)), 'hex')
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-5${h.slice(13, 16)}-${variant(h, 16)}${h.slice(17, 20)}-${h.slice(20, 32)}`
}

/** The digit that says which kind of UUID it is (RFC 9562 §4.1), from the one that was at its place. */
const variant = (h: string, at: number): string => '89ab'[Number.parseInt(h[at]!, 16) & 3]!

/** Length-prefixed join: ['a','b:c'] and ['a:b','c'] differ, whatever the parts hold. */
export function joinParts(parts: readonly string[]): string {
  let s = ''
  for (const p of parts) s += `${p.length}:${p}`
  return s
}

/** A hash takes UTF-8, which has no lone surrogates: two texts that differ in one would become the same bytes. */
const hashed = (text: string): string | Uint8Array => (text.isWellFormed() ? text : Buffer.from(text, 'utf16le'))

/** Base64url, 43 characters. */
export const sha256 = (data: string | Uint8Array): string =>
  hash('sha256', typeof data === 'string' ? hashed(data) : data, 'base64url')

/**
 * The idempotency token that travels with everything sent: a function of the admission, the step and its iteration
 * (both empty outside chains) and the redrive nonce (empty but for a redrive). Never of the caller's own id.
 */
export const deliveryToken = (runId: string, step = '', iteration = 0, nonce = ''): string =>
  sha256(joinParts([runId, step, String(iteration), nonce]))
