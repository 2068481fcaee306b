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
  const db = new DatabaseSync(`${path}.lock`, { timeout: 0 })
  try {
    db.exec('BEGIN EXCLUSIVE')
  } catch (e) {
    db.close()
    if (!isBusy(e)) throw e
    throw new StateUnavailable(`another process has ${path} open: only one may`, { cause: e })
  }
  return { release: () => db.close() }
}
