import { existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { checkControlDoc, DamagedDocument } from '../../core/control-doc.ts'
import { StateUnavailable } from '../../core/errors.ts'
import { isClosed, isNoDatabase, isSqlite, say } from './failure.ts'
import { openReader, SCHEMA, VERSION } from './schema.ts'
import { fromSql } from './text.ts'

/** What a store file holds. */
export interface Inventory {
  readonly schema: number
  readonly bytes: number
  /** In order of kind. */
  readonly kinds: readonly KindCount[]
  /** Events that wait in open groups. */
  readonly items: number
  /** Audit records, and the id of the newest. */
  readonly records: number
  readonly newestRecord: string | undefined
}
export interface KindCount {
  readonly kind: string
  readonly entries: number
  /** Of those, the ones that a gateway which starts on the file takes up at once: due, or claimed when the file was last written. */
  readonly atOnce: number
  /** The earliest due time of all, claimed ones left out: theirs is when the lease ends. */
  readonly firstDueAt: number | undefined
}

/**
 * Reads all of a store file, and throws StateUnavailable with what is wrong where it is damaged or no store of this version. Writes
 * nothing; a gateway may have the file open.
 * @param now epoch milliseconds
 */
export function inspectStore(path: string, now: number): Inventory {
  let db: DatabaseSync | undefined
  try {
    db = openReader(path)
    const schema = schemaOf(db, path)
    const found = db.prepare('PRAGMA integrity_check(1)').get()?.integrity_check
    if (found !== 'ok') throw new StateUnavailable(`${path} is damaged: ${oneLine(String(found))}`)
    checkDocuments(db, path)
    return { schema, bytes: statSync(path).size, ...countAll(db, now) }
  } catch (e) {
    throw isSqlite(e) ? new StateUnavailable(problemOf(path, e), { cause: e }) : e
  } finally {
    db?.close()
  }
}

function problemOf(path: string, e: Error): string {
  if (!existsSync(path)) return `there is no file ${path}`
  if (!statSync(path).isFile()) return `${path} is no file`
  if (isNoDatabase(e)) return `${path} is no SQLite database`
  return isClosed(e) ? `${path} cannot be opened: ${say(e)}` : `${path} is damaged: ${say(e)}`
}
/** What SQLite takes for sound may still be nothing a gateway can start on. */
function checkDocuments(db: DatabaseSync, path: string): void {
  const docs = db.prepare(
    "SELECT substr(kind, 9) AS topic, id, value FROM entry WHERE kind GLOB 'control:*' ORDER BY 1, 2",
  )
  for (const { topic, id, value } of docs.iterate()) {
    try {
      checkControlDoc(String(topic), { id: fromSql(id), value: fromSql(value) })
    } catch (e) {
      throw e instanceof DamagedDocument ? new StateUnavailable(`${path} is damaged: ${e.message}`) : e
    }
  }
}
const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, '; ')

/** By its tables, not by its number alone: many programs number theirs from 1. */
function schemaOf(db: DatabaseSync, path: string): number {
  const version = Number(db.prepare('PRAGMA user_version').get()?.user_version)
  const blank = new DatabaseSync(':memory:')
  try {
    blank.exec(SCHEMA)
    if (version === VERSION && shapeOf(db) === shapeOf(blank)) return version
  } finally {
    blank.close()
  }
  const ours = db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('entry', 'audit', 'cell')").get()?.n
  if (ours !== 3 || version === VERSION) throw new StateUnavailable(`${path} is no store of Signalbox`)
  const age = version > VERSION ? 'a newer' : 'an older'
  throw new StateUnavailable(
    `${path} was written by ${age} version (schema ${version}, this one has ${VERSION}): use that version`,
  )
}
/** Statistics and the indexes SQLite makes by itself are left out. */
const shapeOf = (db: DatabaseSync): string =>
  JSON.stringify(
    db
      .prepare(`SELECT m.type, m.name, c.name AS of FROM sqlite_schema m LEFT JOIN pragma_table_xinfo(m.name) c
        WHERE m.name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY 1, 2, 3`)
      .all(),
  )

function countAll(db: DatabaseSync, now: number): Omit<Inventory, 'schema' | 'bytes'> {
  const kinds = db
    .prepare(`SELECT kind, count(*) AS entries, sum(due_at IS NOT NULL AND (due_at <= ?1 OR number IS NOT NULL)) AS at_once,
      min(CASE WHEN number IS NULL THEN due_at END) AS first
      FROM entry WHERE expires_at IS NULL OR expires_at > ?1 GROUP BY kind ORDER BY kind`)
    .all(now)
  const audit = db.prepare('SELECT count(*) AS n, max(id) AS newest FROM audit').get()
  return {
    kinds: kinds.map((k) => ({
      kind: String(k.kind),
      entries: Number(k.entries),
      atOnce: Number(k.at_once),
      firstDueAt: k.first == null ? undefined : Number(k.first),
    })),
    items: Number(db.prepare('SELECT count(*) AS n FROM item').get()?.n),
    records: Number(audit?.n),
    newestRecord: audit?.newest == null ? undefined : String(audit.newest),
  }
}
