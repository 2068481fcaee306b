import type { Clock } from '../core/clock.ts'
import type { Random } from '../core/ids.ts'
import { uuidv7Source } from '../core/ids.ts'
import { openHere } from './sqlite/here.ts'
import { holdFile } from './sqlite/lock.ts'
import { openWriter } from './sqlite/schema.ts'
import type { Opened } from './sqlite/store.ts'

export interface SqliteOptions {
  /** The database file; `:memory:` only with `inThread`. */
  readonly path: string
  /**
   * `full` (default): what was answered survives a power cut. `normal`: it survives a killed process; a power cut may lose the
   * last moments, never consistency.
   */
  readonly synchronous?: 'full' | 'normal'
  readonly clock: Clock
  readonly random: Random
  /** Pages of 4 KiB the file may grow to. */
  readonly maxPageCount?: number
  /** Runs the engine on the calling thread: for tests under a simulated clock, and tools. */
  readonly inThread?: boolean
  /** The medium failed: nothing held in memory can be trusted, the process must end. */
  readonly onFatal?: (e: Error) => void
}

/**
 * State and audit in one SQLite file, records in the transaction of the commit that carries them. Refuses with one line when
 * another process has the file. All claims are void afterwards: their holder is gone.
 */
export async function openSqlite(opts: SqliteOptions): Promise<Opened> {
  const lock = opts.path === ':memory:' ? undefined : holdFile(opts.path)
  const db = openWriter({ path: opts.path, synchronous: opts.synchronous ?? 'full', maxPageCount: opts.maxPageCount })
  return openHere({
    db,
    clock: opts.clock,
    newId: uuidv7Source(opts.clock.now, opts.random),
    onFatal: opts.onFatal ?? end,
    onClose: () => {
      db.close()
      lock?.release()
    },
  })
}

const end = (e: Error): void => {
  process.stderr.write(`the store failed and cannot go on: ${e.message}\n`)
  process.exit(1)
}
