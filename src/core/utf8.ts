import { isUtf8 } from 'node:buffer'
import type { Finding } from './errors.ts'

/** Bytes that are no UTF-8. Read as if they were, they would become other characters without a word. */
export class NotUtf8 extends Error {
  /** Where the first of them stands, from 1. */
  readonly line: number
  readonly column: number

  constructor(before: string) {
    super('is not UTF-8; save it in that encoding')
    const lines = before.split('\n')
    this.line = lines.length
    this.column = lines.at(-1)!.length + 1
  }
  /** `file`: as whoever wrote it knows it. */
  finding(file: string): Finding {
    return { file, line: this.line, column: this.column, severity: 'error', message: this.message }
  }
}

/** What people have written into a file. Throws NotUtf8. */
export function utf8(raw: Buffer): string {
  const text = raw.toString('utf8')
  if (isUtf8(raw)) return text
  // What stands for bytes at fault may also have been written.
  let at = text.indexOf(STANDS_FOR)
  while (isWritten(raw, Buffer.byteLength(text.slice(0, at)))) at = text.indexOf(STANDS_FOR, at + 1)
  throw new NotUtf8(text.slice(0, at))
}
const STANDS_FOR = '\ufffd'
const isWritten = (raw: Buffer, at: number): boolean => raw.subarray(at, at + 3).equals(Buffer.from(STANDS_FOR))

/** UTF-8 takes no more bytes for a UTF-16 unit. */
export const MOST_BYTES = 3
/** Whether the text takes up no more than so many bytes; only those that may not are measured. */
export const fitsIn = (text: string, bytes: number): boolean =>
  text.length * MOST_BYTES <= bytes || Buffer.byteLength(text) <= bytes
