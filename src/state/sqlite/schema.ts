import { closeSync, existsSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { StateUnavailable } from '../../core/errors.ts'
import { AuditParts } from './audit-parts.ts'
import { holdFile } from './lock.ts'
import { fromSql } from './text.ts'

export const VERSION = 3

/**
 * Small rows are clustered by their key (WITHOUT ROWID): a decision writes few pages. Entries are not small: in the order they came,
 * beside an index of their keys, they stand in no branch of their tree and need no page of their own from a kilobyte on, and what
 * else has to name them (the expiry) is short. Due and expiring rows have partial indexes, so that a row that does neither costs
 * nothing; tags have rows only when there are any. A file made before has its entries by key: the statements are the same.
 */
const TABLES = `
CREATE TABLE meta (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
  kind TEXT NOT NULL, scope BLOB NOT NULL, id BLOB NOT NULL,
  version BLOB NOT NULL, due_at INTEGER, expires_at INTEGER,
  owner BLOB, number INTEGER, until INTEGER, woken INTEGER NOT NULL, attempts INTEGER NOT NULL,
  tags TEXT, value BLOB NOT NULL,
  PRIMARY KEY (kind, scope, id));
CREATE INDEX entry_due ON entry (kind, scope, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX entry_expiry ON entry (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE tag (
  kind TEXT NOT NULL, scope BLOB NOT NULL, tag BLOB NOT NULL, id BLOB NOT NULL,
  PRIMARY KEY (kind, scope, tag, id)) WITHOUT ROWID;
CREATE TABLE cell (
  shape INTEGER NOT NULL, scope BLOB NOT NULL, id BLOB NOT NULL, state NOT NULL, expires_at INTEGER,
  PRIMARY KEY (shape, scope, id)) WITHOUT ROWID;
CREATE INDEX cell_expiry ON cell (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE item (
  seq INTEGER PRIMARY KEY, scope BLOB NOT NULL, buffer BLOB NOT NULL, item_id BLOB NOT NULL, at INTEGER NOT NULL, item BLOB NOT NULL,
  UNIQUE (scope, buffer, item_id));
`
/** See audit-parts.ts. */
const PARTS = `
CREATE TABLE audit_part (first BLOB PRIMARY KEY, part INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE audit_action (
  part INTEGER NOT NULL, hash INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (part, hash, seq)) WITHOUT ROWID;
`
/**
 * Numbered in the order of the commits, under numbers never given twice, and clustered so: a record is a quarter of a page, and a tree
 * by scope would hold it in its branches too (measured with 1300 characters: 72 µs a row and twice the file, against 52). What was
 * purged of a scope stays known by its last number. What a record says beside its keys is read out of its JSON where a filter asks for
 * it: a bounded scan, against seven columns in every dispatch. How it is found by action: audit-parts.ts.
 */
const AUDIT = `
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  scope BLOB NOT NULL, id TEXT NOT NULL, action_id BLOB NOT NULL, chain_id BLOB, json TEXT NOT NULL,
  UNIQUE (scope, id));
CREATE INDEX audit_chain ON audit (chain_id, scope, id) WHERE chain_id IS NOT NULL;
CREATE TABLE audit_purged (scope BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
${PARTS}`
/** What a new file is made with. */
export const SCHEMA = TABLES + AUDIT

/** Schema 1 had the audit by scope and id: ids sort by time, which is as near to the order of its commits as can be known. */
const FROM_1 = `
DROP INDEX audit_action; DROP INDEX audit_chain;
ALTER TABLE audit RENAME TO audit_1;
${AUDIT}
INSERT INTO audit (scope, id, action_id, chain_id, json) SELECT scope, id, action_id, chain_id, json FROM audit_1 ORDER BY id;
DROP TABLE audit_1;
`
/** Schema 2 had one index of all actions. */
const FROM_2 = `
DROP INDEX audit_action;
${PARTS}
`

export interface FileOptions {
  readonly path: string
  /** `full`: durable when answered. `normal`: a power cut may lose the last moments, a killed process nothing. */
  readonly synchronous: 'full' | 'normal'
  /** Pages (4 KiB) the file may grow to; for tests of a full disk. */
  readonly maxPageCount?: number | undefined
}

/** Opens the one writing connection and makes the tables on first use. */
export function openWriter(opts: FileOptions): DatabaseSync {
  const db = new DatabaseSync(opts.path, { timeout: 5000 })
  const found = Number(db.prepare('PRAGMA user_version').get()?.user_version)
  if (found > VERSION) {
    db.close()
    throw new StateUnavailable(
      `${opts.path} was written by a newer version (schema ${found}, this one knows ${VERSION})`,
    )
  }
  const { n, ours } = db.prepare("SELECT count(*) AS n, total(name = 'entry') AS ours FROM sqlite_schema").get() ?? {}
  // Of another program, which finds it as it was.
  if (found > 0 ? ours !== 1 : n !== 0) {
    db.close()
    throw new StateUnavailable(`${opts.path} is no store of Signalbox`)
  }
  // auto_vacuum must be set before the first table. Checkpoints are ours, between batches.
  db.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
    PRAGMA synchronous = ${opts.synchronous === 'normal' ? 'NORMAL' : 'FULL'}; PRAGMA cache_size = -16384;`)
  if (opts.maxPageCount !== undefined) db.exec(`PRAGMA max_page_count = ${Math.floor(opts.maxPageCount)}`)
  if (found === VERSION) return db
  // An empty file has nothing to bring along; all ways end at the same tables.
  db.exec(`BEGIN IMMEDIATE; ${[SCHEMA, FROM_1, FROM_2][found]} PRAGMA user_version = ${VERSION}`)
  if (found > 0) placeAll(db)
  db.exec('COMMIT')
  // The upgrade has written the whole audit into the log.
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  return db
}

/** Every record of before gets its place by its action. */
function placeAll(db: DatabaseSync): void {
  const parts = new AuditParts(db)
  for (const r of db.prepare('SELECT seq, id, scope, action_id FROM audit ORDER BY seq').iterate())
    parts.add({
      seq: Number(r['seq']),
      id: fromSql(r['id']),
      scope: fromSql(r['scope']),
      actionId: fromSql(r['action_id']),
    })
}

/** What is sent, and the secret that lineage is signed with, are nobody else's to read on the machine. SQLite's log takes the mode of its file. */
const OURS_ALONE = 0o600

/**
 * Holds the file's lock, opens it, and answers what `make` makes of it; `free` closes it and gives the lock back. Where either throws
 * nothing is left held.
 */
export function openHeld<T>(opts: FileOptions, make: (db: DatabaseSync, free: () => void) => T): T {
  const lock = holdFile(opts.path)
  let db: DatabaseSync | undefined
  const free = (): void => {
    db?.close()
    lock.release()
  }
  try {
    if (!existsSync(opts.path)) closeSync(openSync(opts.path, 'wx', OURS_ALONE))
    db = openWriter(opts)
    return make(db, free)
  } catch (e) {
    free()
    throw e
  }
}

export function openReader(path: string): DatabaseSync {
  return new DatabaseSync(path, { readOnly: true, timeout: 5000 })
}
