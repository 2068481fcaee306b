import { statSync, writeFileSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import type { Op } from '../../src/core/state.ts'
import { Checkpoints, copyWhenAsked, mayCopyBeside } from '../../src/state/sqlite/checkpoints.ts'
import { Fatal } from '../../src/state/sqlite/failure.ts'
import { openReader, openWriter } from '../../src/state/sqlite/schema.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { testEnv } from '../fakes/env.ts'
import { folder } from './folder.ts'
import { failure, preparing } from './preparing.ts'

const file = folder()
const PAGE = 4096
/** Batches between two looks. */
const EVERY = 16
/** Pages of the longest log, with what comes between two looks. */
const MOST = 20_000

const opened: DatabaseSync[] = []
afterEach(() => {
  for (const db of opened.splice(0)) if (db.isOpen) db.close()
})
function open(name: string): { readonly path: string; readonly db: DatabaseSync } {
  const path = file(name)
  const db = openWriter({ path, synchronous: 'full' })
  opened.push(db)
  return { path, db }
}
/** Makes the log longer by about so many frames, in one transaction. */
function grow(db: DatabaseSync, frames: number): void {
  db.exec('CREATE TABLE IF NOT EXISTS filling (x BLOB)')
  db.prepare(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO filling SELECT zeroblob(4000) FROM n`).run(frames)
}
const left = (db: DatabaseSync): number => {
  const log = db.prepare('PRAGMA wal_checkpoint(NOOP)').get()
  return Number(log?.['log']) - Number(log?.['checkpointed'])
}
function looks(checkpoints: Checkpoints, times = EVERY): void {
  for (let i = 0; i < times; i++) checkpoints.look()
}
/** The same copying as in the reader's thread, and how often it was asked. */
function counted(): { readonly asked: () => number; readonly ask: () => void } {
  let n = 0
  return { asked: () => n, ask: () => void n++ }
}

describe('the log of the file', () => {
  it('is left alone while it is short, and looked at now and then only', () => {
    const { db } = open('short.db')
    const { asked, ask } = counted()
    const checkpoints = new Checkpoints(db, ask)
    grow(db, 1500)
    looks(checkpoints)
    expect(asked()).toBe(0)
    grow(db, 1000)
    looks(checkpoints, EVERY - 1)
    expect(asked()).toBe(0)
    looks(checkpoints, 1)
    expect(asked()).toBe(1)
  })
  it('is copied by the other, asked once; the writer copies what was added meanwhile, and the log begins anew', () => {
    const { path, db } = open('rest.db')
    const { asked, ask } = counted()
    const checkpoints = new Checkpoints(db, ask)
    grow(db, 2500)
    looks(checkpoints, 3 * EVERY)
    expect(asked()).toBe(1)
    const other = openWriter({ path, synchronous: 'full' })
    opened.push(other)
    other.exec('PRAGMA wal_checkpoint(PASSIVE)')
    grow(db, 100)
    expect(left(db)).toBeGreaterThan(99)
    const size = statSync(`${path}-wal`).size
    checkpoints.copied()
    expect([left(db), asked()]).toEqual([0, 1])
    grow(db, 400)
    expect(statSync(`${path}-wal`).size).toBe(size)
    grow(db, 2500)
    looks(checkpoints)
    expect(asked()).toBe(2)
  })
  it('a long rest is asked for again, twice in all, and then copied by the writer', () => {
    const { db } = open('rounds.db')
    const { asked, ask } = counted()
    const checkpoints = new Checkpoints(db, ask)
    grow(db, 2500)
    looks(checkpoints)
    checkpoints.copied()
    expect([asked(), left(db) > 2500]).toEqual([2, true])
    checkpoints.copied()
    expect([asked(), left(db)]).toEqual([2, 0])
  })
  it('an answer that comes late, after the writer has done it, is no harm', () => {
    const { db } = open('late.db')
    const { asked, ask } = counted()
    const checkpoints = new Checkpoints(db, ask)
    grow(db, 2500)
    looks(checkpoints)
    grow(db, 14_000)
    looks(checkpoints)
    expect([asked(), left(db)]).toEqual([1, 0])
    checkpoints.copied()
    grow(db, 2500)
    looks(checkpoints)
    expect(asked()).toBe(2)
  })
  it('with nobody to ask the writer copies it', () => {
    const { db } = open('alone.db')
    const checkpoints = new Checkpoints(db)
    grow(db, 2500)
    looks(checkpoints)
    expect(left(db)).toBe(0)
  })
  it('a copy that cannot be made is no end, a failure of the medium is', () => {
    const { db } = open('fails.db')
    grow(db, 2500)
    for (const [errcode, fatal] of [
      [5, false],
      [13, false],
      [10 | (4 << 8), true],
    ] as const) {
      const failing = preparing(db, (sql, made) => {
        if (sql.includes('PASSIVE')) throw failure(errcode)
        return made
      })
      for (const act of [() => looks(new Checkpoints(failing)), () => new Checkpoints(failing, () => {}).copied()])
        if (fatal) expect(act).toThrow(Fatal)
        else expect(act).not.toThrow()
    }
  })
  it('where it has become very long and another connection is at it, the writer waits', () => {
    const { db } = open('busy.db')
    grow(db, 16_500)
    let tries = 0
    const contended = preparing(db, (sql, made) =>
      sql.includes('PASSIVE') && ++tries < 5 ? { get: () => ({ busy: 1 }) } : made,
    )
    const { asked, ask } = counted()
    looks(new Checkpoints(contended, ask))
    expect([tries, left(db), asked()]).toEqual([5, 0, 0])
  })
  it('is copied by the other only where SQLite is right about what two connections have copied', () => {
    expect(mayCopyBeside(process.versions['sqlite']!)).toBe(true)
    for (const version of ['3.51.3', '3.51.10', '3.52.0', '4.0.0']) expect(mayCopyBeside(version), version).toBe(true)
    for (const version of ['3.51.2', '3.50.9', '3.7.17', '2.8.17', ''])
      expect(mayCopyBeside(version), version).toBe(false)
  })
})

describe('the other side', () => {
  async function asked(path: string): Promise<{ readonly told: unknown[]; readonly close: () => void }> {
    const { port1, port2 } = new MessageChannel()
    const told: unknown[] = []
    const close = copyWhenAsked(path, port1, (act) => {
      try {
        act()
      } catch (e) {
        told.push(e)
      }
    })
    const answered = new Promise((resolve) => port2.once('message', resolve))
    port2.postMessage('copy')
    told.push(await answered)
    return { told, close }
  }
  it('copies what is there when it is asked, and says so', async () => {
    const { path, db } = open('other.db')
    grow(db, 50)
    const { told, close } = await asked(path)
    expect([told, left(db)]).toEqual([['copied'], 0])
    close()
  })
  it('a failure of the medium is told, and answered all the same', async () => {
    const path = file('no.db')
    writeFileSync(path, 'this is no database '.repeat(1000))
    const { told, close } = await asked(path)
    expect(told).toEqual([expect.any(Fatal), 'copied'])
    close()
  })
  it('answers also where it could not', async () => {
    const { told, close } = await asked(file('no/such/folder.db'))
    expect(told).toEqual(['copied'])
    close()
  })
})

describe('under load', () => {
  const scope = ['a', 'b'] as const
  const put = (id: string): Op => ({ op: 'put', kind: 'k', id, value: 'x'.repeat(20_000), version: id })
  it('the log stays bounded and every row is there, also while somebody reads an old moment for long', async () => {
    const env = testEnv()
    const path = file('load.db')
    const { state } = await openSqlite({ path, ...env, synchronous: 'normal' })
    let n = 0
    const write = async (rounds: number): Promise<void> => {
      for (let i = 0; i < rounds; i++)
        await Promise.all(Array.from({ length: 20 }, () => state.commit(scope, [put(`${n++}`)])))
    }
    // 100 MB; the log is 8 MiB before it is copied, what comes until it is, and 64 MiB at the very most.
    await write(250)
    const { size } = statSync(`${path}-wal`)
    expect(size).toBeLessThan(MOST * PAGE)
    const reader = openReader(path)
    reader.exec('BEGIN')
    const { rows } = reader.prepare('SELECT count(*) AS rows FROM entry').get() ?? {}
    await write(30)
    expect(reader.prepare('SELECT count(*) AS rows FROM entry').get()?.['rows']).toBe(rows)
    reader.exec('COMMIT')
    reader.close()
    await write(100)
    expect(statSync(`${path}-wal`).size).toBeLessThan(size + MOST * PAGE)
    await state.close()
    const again = await openSqlite({ path, ...env, inThread: true })
    const seen = await again.state.get(Array.from({ length: n }, (_, i) => ({ kind: 'k', scope, id: `${i}` })))
    expect(seen.filter((e) => e?.value.length === 20_000)).toHaveLength(n)
    await again.state.close()
  })
})
