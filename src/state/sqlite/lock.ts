import { accessSync, chownSync, constants, existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { StateUnavailable } from '../../core/errors.ts'
import { isBusy } from './failure.ts'

export interface Lock {
  release(): void
}

/**
 * One process at a time: an exclusive transaction held open on a small file beside the database. The system frees it when the
 * process dies, however it dies; a process id written into a file would mean nothing in the next container.
 */
export function holdFile(path: string): Lock {
  const file = `${path}.lock`
  const isNew = !existsSync(file)
  const db = new DatabaseSync(file, { timeout: 0 })
  try {
    if (isNew && existsSync(path)) giveOwner(file, path)
    mustWrite(file)
    db.exec('BEGIN EXCLUSIVE')
  } catch (e) {
    db.close()
    if (!isBusy(e)) throw e
    throw new StateUnavailable(`another process has ${path} open: only one may`, { cause: e })
  }
  return { release: () => db.close() }
}

/** Of a file it may only read SQLite takes a shared lock, without a word, and any number of processes have that. */
function mustWrite(file: string): void {
  try {
    accessSync(file, constants.W_OK)
  } catch (e) {
    throw new StateUnavailable(`${file} cannot be written: nobody could be kept out; give it to the gateway's user`, {
      cause: e,
    })
  }
}

/** What root makes beside a store, or in its place, is for whoever runs the gateway: SQLite does so with its log. */
export function giveOwner(file: string, like: string): void {
  const [is, shall] = [statSync(file), statSync(like)]
  if (process.geteuid?.() === 0 && is.uid !== shall.uid) chownSync(file, shall.uid, shall.gid)
}
