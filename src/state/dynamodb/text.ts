import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { joinParts, sha256 } from '../../core/ids.ts'

/**
 * Text as DynamoDB keeps it exactly. Its strings are UTF-8, which has no lone surrogates: such text is kept as its UTF-16 bytes.
 */
export const toValue = (text: string): AttributeValue =>
  text.isWellFormed() ? { S: text } : { B: Buffer.from(text, 'utf16le') }
export function fromValue(v: AttributeValue | undefined): string {
  if (v?.S !== undefined) return v.S
  if (v?.B !== undefined) return Buffer.from(v.B.buffer, v.B.byteOffset, v.B.byteLength).toString('utf16le')
  return ''
}

const ESCAPE = '\u0001'
const ESCAPED = /\u0001(?:\u0001|([\da-f]{4}))/g
const LONE = /[\u0001]|\p{Surrogate}/gu

/** Text as a part of a key, in which a lone surrogate is escaped: no two texts become the same, and well-formed ones stay in their order. */
const escaped = (text: string): string =>
  text.replace(LONE, (c) => (c === ESCAPE ? ESCAPE + ESCAPE : ESCAPE + c.charCodeAt(0).toString(16)))
const unescaped = (text: string): string =>
  text.replace(ESCAPED, (_, hex?: string) =>
    hex === undefined ? ESCAPE : String.fromCharCode(Number.parseInt(hex, 16)),
  )

/** Bytes of a key's text that are kept as they are; of a longer one the rest is a hash. DynamoDB takes 2048 and 1024. */
const LONGEST = 200

/**
 * A key of at most 300 bytes. Short ones are the text itself behind a mark, long ones are longer than any of those, so they never
 * meet. Ids that are longer and begin alike have no order of their own.
 */
function keyText(mark: string, text: string): string {
  const whole = escaped(text)
  if (Buffer.byteLength(whole) <= LONGEST) return mark + whole
  let kept = whole.slice(0, LONGEST)
  while (Buffer.byteLength(kept) > LONGEST) kept = kept.slice(0, -1)
  return `${mark}${kept.toWellFormed().padEnd(LONGEST + 1, '~')}${sha256(text)}`
}
const isWhole = (key: string): boolean => Buffer.byteLength(key) <= LONGEST + 1

/** What partitions are of, by their first letter. */
export const partitions = {
  entries: 'E',
  tag: 'T',
  counter: 'C',
  window: 'W',
  semaphore: 'S',
  buffer: 'H',
  items: 'I',
  /** Scopes that had entries of a kind. */
  scopes: 'R',
  /** Kinds that had due entries. */
  kinds: 'K',
  numbers: 'N',
} as const
export type Partition = keyof typeof partitions

export const partitionKey = (of: Partition, ...parts: readonly string[]): string =>
  keyText(partitions[of], joinParts(parts))
export const sortKey = (id: string): string => keyText('=', id)
/** The one item of a partition that has one. */
export const ALONE = '='

/** The id in a sort key, or undefined where only its hash is there. */
export const sortedId = (sk: string): string | undefined => (isWhole(sk) ? unescaped(sk.slice(1)) : undefined)
/** The parts in a partition key, or undefined where only their hash is there. */
export function partsOf(pk: string): readonly string[] | undefined {
  if (!isWhole(pk)) return undefined
  const parts: string[] = []
  const text = unescaped(pk.slice(1))
  for (let at = 0; at < text.length; ) {
    const colon = text.indexOf(':', at)
    const end = colon + 1 + Number(text.slice(at, colon))
    parts.push(text.slice(colon + 1, end))
    at = end
  }
  return parts
}
