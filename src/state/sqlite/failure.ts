/** A failure of the medium: nothing this process believes about the file can be trusted any more. */
export class Fatal extends Error {
  override readonly name = 'Fatal'
}

interface SqliteError extends Error {
  /** SQLite's extended result code; the low byte is the primary one. */
  readonly errcode: number
}
export const isSqlite = (e: unknown): e is SqliteError => e instanceof Error && 'errcode' in e
const [BUSY, IOERR, CORRUPT, CANTOPEN, NOTADB] = [5, 10, 11, 14, 26]
const primary = (e: unknown): number | undefined => (isSqlite(e) ? e.errcode & 0xff : undefined)

export const isBusy = (e: unknown): boolean => primary(e) === BUSY
export const isNoDatabase = (e: unknown): boolean => primary(e) === NOTADB
export const isClosed = (e: unknown): boolean => primary(e) === CANTOPEN
/** A full disk (13) is not one: it passes. A failed fsync is one: what reached the disk is anybody's guess. */
export const isFatal = (e: unknown): boolean =>
  e instanceof Fatal || [IOERR, CORRUPT, NOTADB].includes(primary(e) ?? -1)

/** A full or busy file is no end: what was tried is tried again later, and the commits themselves say what is wrong. Throws Fatal after a failure of the medium. */
export function tolerant(act: () => void): void {
  try {
    act()
  } catch (e) {
    if (isFatal(e)) throw new Fatal(say(e))
  }
}

export const say = (e: unknown): string => (e instanceof Error ? e.message : String(e))
