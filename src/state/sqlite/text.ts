import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'

/**
 * Text as SQLite keeps it exactly. SQLite stores UTF-8, which has no lone surrogates: two ids that differ in one would become the
 * same text. Such text is kept as its UTF-16 bytes in a blob; a blob never equals a text, so no two keys collide.
 */
export const toSql = (text: string): SQLInputValue => (text.isWellFormed() ? text : Buffer.from(text, 'utf16le'))
export const fromSql = (v: SQLOutputValue | undefined): string =>
  v instanceof Uint8Array ? Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString('utf16le') : String(v)
