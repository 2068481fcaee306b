import { constants, copyFileSync, existsSync, linkSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StateUnavailable } from '../../core/errors.ts'
import { copyStore, hasNoLinks, syncToDisk } from './copy.ts'
import { isSqlite, say } from './failure.ts'
import { type Inventory, inspectStore } from './inspect.ts'
import { giveOwner, holdFile } from './lock.ts'
import { forkTrail } from './trail.ts'

export interface Replacing {
  /** The store of the gateway. */
  readonly path: string
  /** What shall stand in its place. */
  readonly from: string
  /** A name beside `path` for the copy in the making. */
  readonly part: string
  /** Where the store of before is kept. */
  readonly aside: string
  /** Epoch milliseconds. */
  readonly now: number
}
export interface Replaced {
  readonly inventory: Inventory
  /** False: there was none. */
  readonly kept: boolean
  /** Why the store of before could not be read: it is kept as it was. */
  readonly damage: string | undefined
}

/** The files of one database. */
const BESIDE = ['-wal', '-shm', '-journal'] as const

/**
 * Puts a copy of `from` in the place of a store.
 *
 * 1 No gateway has the store open, and none can open it until this is done: this holds its lock.
 * 2 At every moment `path` is the whole store of before or the whole new one. What the log of before holds is therefore taken into its
 *   file first: beside the new file it would be played into that. Only a store that is too damaged for this loses its log at `path`.
 * 3 The store of before has its second name, on the disk, before it loses the first.
 */
export function replaceStore({ path, from, part, aside, now }: Replacing): Replaced {
  mkdirSync(dirname(path), { recursive: true })
  const lock = holdFile(path)
  try {
    const inventory = inspectStore(from, now)
    copyStore(from, part)
    try {
      fork(part, now)
      if (existsSync(path)) giveOwner(part, path)
      const damage = existsSync(path) ? foldLog(path) : undefined
      const kept = keepAside(path, aside)
      for (const suffix of BESIDE) rmSync(path + suffix, { force: true })
      renameSync(part, path)
      syncToDisk(dirname(path))
      return { inventory, kept, damage }
    } finally {
      rmSync(part, { force: true })
    }
  } finally {
    lock.release()
  }
}

function fork(part: string, now: number): void {
  const db = new DatabaseSync(part)
  try {
    forkTrail(db, now)
  } finally {
    db.close()
  }
  syncToDisk(part)
}

/** Takes the log into the file. Answers why that cannot be done. */
function foldLog(path: string): string | undefined {
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path, { timeout: 5000 })
    const { busy } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() ?? {}
    if (busy === 1) throw new StateUnavailable(`another process reads ${path}: end it, or wait for it`)
  } catch (e) {
    if (!isSqlite(e)) throw e
    return say(e)
  } finally {
    db?.close()
  }
  syncToDisk(path)
  return undefined
}

function keepAside(path: string, aside: string): boolean {
  const there = ['', ...BESIDE].filter((suffix) => existsSync(path + suffix))
  for (const suffix of there) secondName(path + suffix, aside + suffix)
  syncToDisk(dirname(path))
  return there.includes('')
}
function secondName(file: string, name: string): void {
  try {
    linkSync(file, name)
  } catch (e) {
    if (!hasNoLinks(e)) throw e
    copyFileSync(file, name, constants.COPYFILE_EXCL)
    syncToDisk(name)
  }
}
