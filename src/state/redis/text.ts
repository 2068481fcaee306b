import type { Scope } from '../../core/action.ts'
import { joinParts } from '../../core/ids.ts'

/**
 * Text as Redis keeps it exactly. It travels as UTF-8, which has no lone surrogates: two ids that differ in one would become the same
 * bytes. Such a character, and the mark itself, is written as the mark (a noncharacter) and its four hexadecimal digits; and so
 * are the separators of a key or of an entry's first lines, in whatever stands there.
 */
const MARK = '\ufdd0'
const escaped = (c: string): string => MARK + c.charCodeAt(0).toString(16).padStart(4, '0')

/** A value: nothing separates within it. */
export const toText = (t: string): string =>
  t.isWellFormed() && !t.includes(MARK) ? t : t.replace(/[\ufdd0\p{Surrogate}]/gu, escaped)
/** What stands in a key or in a line: kinds, scopes, ids, tags, owners, versions. Pairs of surrogates are looked at, and left. */
export const toLine = (t: string): string =>
  /[\n\t\ufdd0\ud800-\udfff]/.test(t) ? t.replace(/[\n\t\ufdd0\p{Surrogate}]/gu, escaped) : t
export const fromText = (t: string): string =>
  t.includes(MARK)
    ? t.replace(/\ufdd0([0-9a-f]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : t

/** A scope as one line: length-prefixed, so that `a` + `b:c` and `a:b` + `c` differ. */
export const scopeLine = (scope: Scope): string => toLine(joinParts(scope))
export function scopeOfLine(line: string): Scope {
  const text = fromText(line)
  const colon = text.indexOf(':')
  const end = colon + 1 + Number(text.slice(0, colon))
  return [text.slice(colon + 1, end), text.slice(text.indexOf(':', end) + 1)]
}

/** All that one commit touches has one hash tag, and there are so many: enough to spread over a cluster, few enough to ask them all. */
export const TAGS = 64

/** CRC16 (XModem) of the scope, as Redis Cluster takes it of a key, modulo the tags. */
export function tagOf(scope: string): number {
  let crc = 0
  for (let i = 0; i < scope.length; i++) {
    const c = scope.charCodeAt(i)
    crc = step(crc, c & 0xff)
    if (c > 0xff) crc = step(crc, c >> 8)
  }
  return crc % TAGS
}
const step = (crc: number, byte: number): number => ((crc << 8) & 0xffff) ^ TABLE[((crc >> 8) ^ byte) & 0xff]!
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  return crc
})
