import { DatabaseSync } from 'node:sqlite'
import type { MessagePort } from 'node:worker_threads'
import { Fatal, isFatal, say } from './failure.ts'

/*
 * The log (SQLite's WAL) has to be copied back into the file now and then: some tens of milliseconds in which a writer that does it
 * itself commits nothing. So the reader's thread does, beside the commits, over a connection of its own. The log begins anew only
 * when all of it has been copied, though, and meanwhile it has grown: that rest the writer copies, between two transactions.
 */

/** Frames (4 KiB pages) in the log before it is copied back: about 8 MiB. */
const FRAMES = 2000
/** A rest the writer copies itself: a few milliseconds. For a longer one the other is asked again, but for no third time. */
const REST = 500
const ROUNDS = 2
/** A log of this length the writer copies itself: the reader's thread has had no time for long. About 64 MiB. */
const MOST = 16_000
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
    if (++this.#batches % CHECK_EVERY !== 0) return
    const frames = this.#frames()
    if (frames < FRAMES) return
    if (this.#askOther === undefined || frames >= MOST) this.#copyAll()
    else if (this.#asked === 0) this.#ask()
  }

  /** The other has copied what it found. */
  copied(): void {
    if (this.#asked > 0 && this.#asked < ROUNDS && this.#frames() > REST) this.#ask()
    else this.#copyAll()
  }

  #ask(): void {
    this.#asked++
    this.#askOther?.()
  }
  #copyAll(): void {
    this.#asked = 0
    copyBack(this.#db)
  }
  /** Frames that are not in the file yet. */
  #frames(): number {
    const log = this.#db.prepare('PRAGMA wal_checkpoint(NOOP)').get()
    return Number(log?.log) - Number(log?.checkpointed)
  }
}

/** PASSIVE: never waits for a reader, and never makes one wait. */
const COPY = 'PRAGMA wal_checkpoint(PASSIVE)'
const copyBack = (db: DatabaseSync): void => tolerant(() => db.exec(COPY))

/** A full or busy file is no end: the log grows, and the next one tries again. Throws Fatal after a failure of the medium. */
function tolerant(act: () => void): void {
  try {
    act()
  } catch (e) {
    if (isFatal(e)) throw new Fatal(say(e))
  }
}

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
/** Synced in full, as SQLite does unless told otherwise: a copy that is not on the disk must not take the place of its log. */
function openCopier(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 })
  db.exec('PRAGMA wal_autocheckpoint = 0')
  return db
}
