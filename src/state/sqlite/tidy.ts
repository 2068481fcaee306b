import type { DatabaseSync } from 'node:sqlite'
import { toSql } from './text.ts'

/** Deletes up to `limit` expired rows; answers how many. They were absent to every reader before. */
export function sweep(db: DatabaseSync, now: number, limit: number): number {
  const expired = db
    .prepare('SELECT kind, scope, id, tags FROM entry WHERE expires_at <= ? ORDER BY expires_at LIMIT ?')
    .all(now, limit)
  const remove = db.prepare('DELETE FROM entry WHERE kind = ? AND scope = ? AND id = ?')
  const untag = db.prepare('DELETE FROM tag WHERE kind = ? AND scope = ? AND tag = ? AND id = ?')
  for (const { kind, scope, id, tags } of expired) {
    if (tags != null) {
      const list = JSON.parse(String(tags)) as string[]
      for (const tag of list) untag.run(kind!, scope!, toSql(tag), id!)
    }
    remove.run(kind!, scope!, id!)
  }
  return expired.length + sweepCells(db, now, limit - expired.length)
}

function sweepCells(db: DatabaseSync, now: number, limit: number): number {
  if (limit <= 0) return 0
  const { changes } = db
    .prepare(`DELETE FROM cell WHERE (shape, scope, id) IN
      (SELECT shape, scope, id FROM cell WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`)
    .run(now, limit)
  return Number(changes)
}

/** Pages given back to the file system at a time: a small bite, between commits. */
const VACUUM_PAGES = 256

/** Shrinks the file when over a quarter of it is free; less than that is soon used again. Outside a transaction. */
export function giveBackPages(db: DatabaseSync): void {
  const pragma = (name: string): number => Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
  const free = pragma('freelist_count')
  if (free > VACUUM_PAGES && free * 4 > pragma('page_count')) db.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`)
}
