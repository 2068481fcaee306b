import { DatabaseSync } from 'node:sqlite'
import type { MessagePort } from 'node:worker_threads'
import { tolerant } from './failure.ts'

/*
 * The log (SQLite's WAL) has to be copied back into the file now and then: some tens of milliseconds in which a writer that does it
 * itself commits nothing. So the reader's thread does, beside the commits, over a connection of its own. The log begins anew only
 * when all of it has been copied, though, and meanwhile it has grown: that rest the writer copies, between two transactions, and with
 * it SQLite syncs the file. Until then nothing of the log is written over, so that what was copied and not yet synced is in there too.
 */

/**
 * Before it SQLite could take part of a log for copied that was not, when two connections copied at once and a third began the log anew
 * (its "WAL-reset bug"): there the writer copies by itself.
 */
const FIXED_IN = [3, 51, 3]
export function mayCopyBeside(version: string): boolean {
  const parts = version.split('.').map(Number)
  for (const [i, n] of FIXED_IN.entries()) if (parts[i] !== n) return (parts[i] ?? 0) > n
  return true
}

/** Frames (4 KiB pages) in the log before it is copied back: about 8 MiB. */
const FRAMES = 2000
/** A rest the writer copies itself: a few milliseconds. For a longer one the other is asked again, but for no third time. */
const REST = 500
const ROUNDS = 2
/** A log of this length the writer copies itself, or waits for whoever is at it: nobody has been through for long. About 64 MiB. */
const MOST = 16_000
/** So that the commits are slowed down then to what the disk can take; in steps of some milliseconds. */
const WAIT_STEPS = 200
const WAIT_STEP_MS = 5
/** Batches between two looks at how long the log is: a look costs as much as a small write. */
const CHECK_EVERY = 16

/** The writer's side. Throws Fatal after a failure of the medium; of a full or a busy file the commits themselves say what is wrong. */
export class Checkpoints {
  readonly #db: DatabaseSync
  readonly #askOther: (() => void) | undefined
  #batches = 0
  /** How often the other was asked since the log began; 0 while it is not. */
  #asked = 0

  /** `askOther`: asks the other thread to copy, which ends in `copied`; undefined: there is none. */
  constructor(db: DatabaseSync, askOther?: () => void) {
    this.#db = db
    this.#askOther = askOther
  }

  /** After a batch. */
  look(): void {
    if (++this.#batches % CHECK_EVERY === 0) tolerant(() => this.#look())
  }
  #look(): void {
    const frames = this.#frames()
    if (frames < FRAMES) return
    if (frames >= MOST) this.#insist()
    else if (this.#askOther === undefined) this.#copyAll()
    else if (this.#asked === 0) this.#ask()
  }

  /** The other has copied what it found. */
  copied(): void {
    tolerant(() => {
      if (this.#asked > 0 && this.#asked < ROUNDS && this.#frames() > REST) this.#ask()
      else this.#copyAll()
    })
  }

  #ask(): void {
    this.#asked++
    this.#askOther?.()
  }
  /** False: another connection is at it. */
  #copyAll(): boolean {
    this.#asked = 0
    return this.#db.prepare(COPY).get()?.busy !== 1
  }
  #insist(): void {
    for (let step = 0; step < WAIT_STEPS && !this.#copyAll(); step++) Atomics.wait(nothing, 0, 0, WAIT_STEP_MS)
  }
  /** Frames that are not in the file yet. */
  #frames(): number {
    const log = this.#db.prepare('PRAGMA wal_checkpoint(NOOP)').get()
    return Number(log?.log) - Number(log?.checkpointed)
  }
}

/** PASSIVE: never waits for a reader, and never makes one wait. */
const COPY = 'PRAGMA wal_checkpoint(PASSIVE)'
/** Nobody ever changes it: waiting for that is sleeping. */
const nothing = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))

/**
 * The reader's side: copies when asked, over a connection that is opened for the first time it is. `guarded` is told of a failure of
 * the medium. Answers what closes it.
 */
export function copyWhenAsked(path: string, asked: MessagePort, guarded: (act: () => void) => void): () => void {
  let db: DatabaseSync | undefined
  const copy = (): void =>
    tolerant(() => {
      db ??= openCopier(path)
      db.exec(COPY)
    })
  asked.on('message', () => {
    guarded(copy)
    // In any case: what it could not do the writer does, and finds out why.
    asked.postMessage('copied')
  })
  return () => {
    asked.close()
    db?.close()
  }
}
/** `synchronous` stays as SQLite has it, full: also where commits are not synced, the log is before it is copied. */
function openCopier(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 })
  db.exec('PRAGMA wal_autocheckpoint = 0')
  return db
}
