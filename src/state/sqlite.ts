import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import type { HandOver } from '../core/audit.ts'
import type { Clock } from '../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { type Random, uuidv7Source } from '../core/ids.ts'
import { type Answer, type Arming, batching, nextTurn } from './batching.ts'
import { throughOutbox } from './outbox.ts'
import { answersUnpacker } from './sqlite/answers.ts'
import { writesPacker } from './sqlite/codec.ts'
import { charsOfWrite, type Write } from './sqlite/engine.ts'
import { openHere } from './sqlite/here.ts'
import type { Packed } from './sqlite/packing.ts'
import type { Read } from './sqlite/reads.ts'
import { realFile } from './sqlite/real-file.ts'
import { startWorker } from './sqlite/remote.ts'
import { openHeld } from './sqlite/schema.ts'
import { type Opened, storeOver } from './sqlite/store.ts'

export interface SqliteOptions {
  /** The database file. Its folder is made if it is missing; `-wal`, `-shm` and `.lock` lie beside it. */
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
  /** The audit lives in another place: records wait here in the outbox until `drainOutbox` has carried them over. */
  readonly auditElsewhere?: boolean
  /** Who carries what comes into it from memory. */
  readonly handOver?: HandOver | undefined
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
  const { clock } = opts
  const onFatal = opts.onFatal ?? end
  const newId = uuidv7Source(clock.now, opts.random)
  const path = realFile(opts.path)
  const file = { path, synchronous: opts.synchronous ?? 'full', maxPageCount: opts.maxPageCount } as const
  const through = opts.auditElsewhere ? throughOutbox(clock.now, opts.handOver) : undefined
  mkdirSync(dirname(path), { recursive: true })
  if (opts.inThread)
    return openHeld(file, (db, free) => openHere({ db, clock, newId, onFatal, onClose: free, through }))
  const data = { ...file, now: clock.now() }
  // The reader opens the file when it is first asked, so both threads can start at once.
  const pack = writesPacker()
  const writes = { pack: (batch: readonly Write[]) => pack(clock.now(), batch), unpack: answersUnpacker() }
  const reads = {
    pack: (batch: readonly Read[]) => [clock.now(), batch],
    unpack: (texts: readonly string[]) => texts.map((text) => JSON.parse(text) as Answer),
  }
  const between = new MessageChannel()
  const starting = startWorker<Read, readonly string[]>(
    { ...data, role: 'reader', other: between.port1 },
    reads,
    onFatal,
  )
  const [writer, reader] = await Promise.allSettled([
    startWorker<Write, Packed>({ ...data, role: 'writer', other: between.port2 }, writes, onFatal),
    starting,
  ])
  if (writer.status === 'rejected') {
    await starting.then((r) => r.close())
    throw writer.reason
  }
  if (reader.status === 'rejected') {
    await writer.value.close()
    throw reader.reason
  }
  const turn: Arming['turn'] = (then) => void setImmediate(then)
  return storeOver({
    writer: batching(writer.value, { turn, ...GATHERING }, StateUnknown, charsOfWrite),
    reader: batching(reader.value, nextTurn(turn), StateUnavailable),
    clock,
    newId,
    through,
  })
}

/**
 * Whoever has just been answered asks again at once, and is worth a few turns of the loop: one commit for sixty costs little more than
 * one for thirty. A lone caller waits two empty turns, some microseconds beside an fsync.
 */
const GATHERING = { quiet: 2, most: 16 }

const end = (e: Error): void => {
  process.stderr.write(`the store failed and cannot go on: ${e.message}\n`)
  process.exit(1)
}
