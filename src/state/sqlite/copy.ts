import { chmodSync, closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { openReader } from './schema.ts'

/**
 * Copies a store as it is at one moment into a file that is not there yet, while a gateway goes on writing. The copy is durable, and
 * nobody's until it is given its name.
 *
 * VACUUM INTO, not SQLite's page-wise backup: that one begins anew whenever another process commits, so beside a busy gateway it never
 * ends unless it copies all in one step, damaged pages and deleted rows too. This reads one snapshot, every row of it, and leaves one
 * file without a log beside it.
 */
export function copyStore(from: string, to: string): void {
  const db = openReader(from)
  try {
    begin(to, statSync(from).mode & 0o777)
  } catch (e) {
    db.close()
    throw e
  }
  try {
    db.prepare('VACUUM INTO ?').run(to)
    syncToDisk(to)
  } catch (e) {
    rmSync(to, { force: true })
    throw e
  } finally {
    db.close()
  }
}

/** Whoever may not read the one may not read the other, from the first byte on: VACUUM INTO takes an empty file, and its log has its mode. */
function begin(to: string, mode: number): void {
  closeSync(openSync(to, 'wx', 0o600))
  chmodSync(to, mode)
}

/** Gives a finished file its name, durably. False: the name is taken, and `over` is not set. */
export function giveName(part: string, name: string, over: boolean): boolean {
  if (over) renameSync(part, name)
  else if (existsSync(name) || !linkedAnew(part, name)) return false
  syncToDisk(dirname(name))
  return true
}
/** As a link, so that of two at once one is told; where there are no links the look just before must do. */
function linkedAnew(part: string, name: string): boolean {
  try {
    linkSync(part, name)
  } catch (e) {
    if (hasCode(e, 'EEXIST')) return false
    if (!hasNoLinks(e)) throw e
    renameSync(part, name)
    return true
  }
  rmSync(part)
  return true
}

const hasCode = (e: unknown, ...codes: readonly string[]): boolean =>
  e instanceof Error && 'code' in e && codes.includes(String(e.code))
/** What file systems that know no links say. */
export const hasNoLinks = (e: unknown): boolean => hasCode(e, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')

/** Of a file its bytes, of a folder the names in it. */
export function syncToDisk(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
