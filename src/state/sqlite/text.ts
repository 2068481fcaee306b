import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import type { Scope } from '../../core/action.ts'
import { joinParts } from '../../core/ids.ts'

/**
 * Text as SQLite keeps it exactly. SQLite stores UTF-8, which has no lone surrogates: two ids that differ in one would become the
 * same text. Such text is kept as its UTF-16 bytes in a blob; a blob never equals a text, so no two keys collide.
 */
export const toSql = (text: string): SQLInputValue => (text.isWellFormed() ? text : Buffer.from(text, 'utf16le'))
export const fromSql = (v: SQLOutputValue | undefined): string =>
  v instanceof Uint8Array ? Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString('utf16le') : String(v)

/** A scope as one text: length-prefixed, so that `a` + `b:c` and `a:b` + `c` differ. */
export const scopeText = (scope: Scope): string => joinParts(scope)

export function scopeParts(text: string): Scope {
  const colon = text.indexOf(':')
  const end = colon + 1 + Number(text.slice(0, colon))
  return [text.slice(colon + 1, end), text.slice(text.indexOf(':', end) + 1)]
}

/** A text of its own, not a slice of a batch: for whoever keeps it beyond that batch. */
export const owned = (text: string): string => ` ${text}`.slice(1)
