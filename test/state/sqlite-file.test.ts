import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { Op } from '../../src/core/state.ts'
import { VERSION } from '../../src/state/sqlite/schema.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { testEnv } from '../fakes/env.ts'
import { NOBODY } from '../servers/process.ts'
import { folder } from './folder.ts'

const file = folder()
const scope = ['a', 'b'] as const
const put = (id: string, more: Partial<Extract<Op, { op: 'put' }>> = {}): Op => ({
  op: 'put',
  kind: 'k',
  id,
  value: id,
  version: id,
  ...more,
})
/** What a record has beside what these tests give it. */
const auditColumns = {
  actionId: 'a',
  chainId: undefined,
  kind: 'dispatch',
  outcome: 'executed',
  provider: undefined,
  requestedProvider: undefined,
  actionType: 't',
  rule: undefined,
  caller: undefined,
}
const CHILD = new URL('./crash-child.ts', import.meta.url).pathname

describe('the file', () => {
  it('a second process is refused with one clear line, a second opening in this one too; closing frees it', async () => {
    const env = testEnv()
    const path = file('locked.db')
    const first = await openSqlite({ path, ...env })
    await expect(openSqlite({ path, ...env })).rejects.toThrow(`another process has ${path} open: only one may`)
    await expect(openSqlite({ path, inThread: true, ...env })).rejects.toThrow(StateUnavailable)
    const second = spawnSync(process.execPath, [CHILD, path, 'x'], { encoding: 'utf8' })
    expect(second.status).not.toBe(0)
    expect(second.stderr).toContain(`another process has ${path} open: only one may`)
    await first.state.close()
    await (await openSqlite({ path, ...env })).state.close()
  })
  it('is one file by whatever name: a link to it is no way past the lock, and one that leads nowhere makes no store', async () => {
    const env = testEnv()
    const [path, link, astray, gone] = [file('real.db'), file('link.db'), file('astray.db'), file('gone.db')]
    const first = await openSqlite({ path, ...env })
    symlinkSync(path, link)
    const real = realpathSync(path)
    await expect(openSqlite({ path: link, ...env })).rejects.toThrow(`another process has ${real} open: only one may`)
    const elsewhere = join(file('folder'), basename(path))
    symlinkSync(dirname(path), dirname(elsewhere))
    const asNamed = `another process has ${elsewhere} open: only one may`
    await expect(openSqlite({ path: elsewhere, ...env })).rejects.toThrow(asNamed)
    await first.state.close()
    symlinkSync(gone, astray)
    const refused = `${astray} is a link to ${gone}, and that is not there`
    await expect(openSqlite({ path: astray, ...env })).rejects.toThrow(refused)
    expect(existsSync(gone)).toBe(false)
  })
  it('is for the eyes of its user alone, with its log, unless somebody has changed that', async () => {
    const env = testEnv()
    const path = file('mine.db')
    const modes = () => [path, `${path}-wal`].map((f) => statSync(f).mode & 0o777)
    const first = await openSqlite({ path, ...env })
    await first.state.commit(scope, [put('x')])
    expect(modes()).toEqual([0o600, 0o600])
    await first.state.close()
    chmodSync(path, 0o640)
    const again = await openSqlite({ path, ...env })
    await again.state.commit(scope, [put('y')])
    expect(modes()).toEqual([0o640, 0o640])
    await again.state.close()
  })
  it('a lock that this user cannot write keeps nobody out, and is refused', () => {
    const path = file('closed.db')
    writeFileSync(`${path}.lock`, '', { mode: 0o444 })
    if (NOBODY) chmodSync(dirname(path), 0o777)
    const told = spawnSync(process.execPath, [CHILD, path, 'x'], { encoding: 'utf8', ...NOBODY })
    expect(told.status).toBe(1)
    expect(told.stderr).toContain(`${path}.lock cannot be written: nobody could be kept out`)
  })
  it.runIf(NOBODY)('what root makes beside a store is for whoever has the store', async () => {
    const env = testEnv()
    const path = file('theirs.db')
    await (await openSqlite({ path, ...env })).state.close()
    const whose = () => [path, `${path}.lock`].map((f) => statSync(f).uid)
    rmSync(`${path}.lock`)
    chownSync(path, NOBODY!.uid, NOBODY!.gid)
    await (await openSqlite({ path, ...env })).state.close()
    expect(whose()).toEqual([NOBODY!.uid, NOBODY!.uid])
  })
  it.each([0, 1, VERSION])(
    'the database of another program, numbered %i, is refused and left as it was, and its threads end',
    async (n) => {
      const path = file('strange.db')
      const strange = new DatabaseSync(path)
      strange.exec(`PRAGMA user_version = ${n}; CREATE TABLE other (x)`)
      strange.close()
      const before = readFileSync(path)
      for (const inThread of [false, true])
        await expect(openSqlite({ path, inThread, ...testEnv() })).rejects.toThrow(`${path} is no store of Signalbox`)
      expect(readFileSync(path).equals(before)).toBe(true)
      expect(existsSync(`${path}-wal`)).toBe(false)
    },
  )
  it('opens with work put off farther than a number reaches: it is due', async () => {
    const env = testEnv()
    const path = file('far.db')
    for (const inThread of [false, true]) {
      const first = await openSqlite({ path, inThread, ...env })
      await first.state.commit(scope, [put('a', { dueAt: 1e15 }), put('b', { dueAt: 1e15 }), put('c', { dueAt: 1e15 })])
      await first.state.close()
      const db = new DatabaseSync(path)
      db.exec(`UPDATE entry SET due_at = ${2n ** 53n} WHERE id = 'a'; UPDATE entry SET due_at = 1e300 WHERE id = 'b'`)
      db.close()
      const { state } = await openSqlite({ path, inThread, ...env })
      const due = await state.claim('k', { owner: 'me', leaseMs: 1000, limit: 9 })
      expect(due.map((e) => e.key.id)).toEqual(['a', 'b'])
      expect((await state.list('k', scope, { limit: 9 })).entries).toHaveLength(3)
      expect(await state.depths()).toMatchObject([{ waiting: 3 }])
      await state.close()
    }
  })
  it('survives closing; a closed store refuses', async () => {
    const env = testEnv()
    const path = file('again.db')
    for (const inThread of [false, true, false]) {
      const { state } = await openSqlite({ path, inThread, ...env })
      const n = (await state.list('k', scope, { limit: 9 })).entries.length
      await state.commit(scope, [put(`e${n}`)])
      await state.close()
      await expect(state.commit(scope, [put('late')])).rejects.toThrow(StateUnavailable)
      await expect(state.get([])).rejects.toThrow(StateUnavailable)
    }
    const { state } = await openSqlite({ path, ...env })
    expect((await state.list('k', scope, { limit: 9 })).entries.map((e) => e.key.id)).toEqual(['e0', 'e1', 'e2'])
    await state.close()
  })
  it('PITFALLS 18, 47: all claims are void at start: what was claimed is due at once, under numbers never given before', async () => {
    const env = testEnv()
    const path = file('claims.db')
    const now = env.clock.now()
    const one = (await openSqlite({ path, ...env })).state
    await one.commit(scope, [put('a', { dueAt: now }), put('b', { claim: { owner: 'me', until: now + 1e6 } })])
    await one.commit(scope, [put('later', { dueAt: now + 1e6 })])
    const [a] = await one.claim('k', { owner: 'me', leaseMs: 1e6, limit: 1 })
    await one.close()
    const two = (await openSqlite({ path, ...env })).state
    const claimed = await two.claim('k', { owner: 'me', leaseMs: 1000, limit: 9 })
    expect(claimed.map((c) => [c.key.id, c.attempts])).toEqual([
      ['a', 2],
      ['b', 1],
    ])
    for (const c of claimed) expect(c.claim.number).toBeGreaterThan(a!.claim.number)
    const stale = { owner: 'me', number: a!.claim.number }
    expect((await two.commit(scope, [put('a', { ifClaim: stale })])).ok).toBe(false)
    await two.close()
  })
  it('windows, counters and buffers go on after a restart', async () => {
    const env = testEnv()
    const path = file('guards.db')
    const into = { kind: 'flush', idPrefix: 'f' }
    const ops: Op[] = [
      { op: 'admit', id: 'w', max: 3, windowMs: 1000 },
      { op: 'count', id: 'n', by: 1, expiresAt: 1e15 },
      { op: 'slot', id: 's', holder: 'h', max: 1, until: 1e15 },
    ]
    const append = (itemId: string): Op => ({
      op: 'append',
      id: 'b',
      itemId,
      item: itemId,
      value: '{}',
      maxItems: 9,
      maxBytes: 99,
      waitMs: 9,
      intervalMs: 9,
      into,
    })
    for (let i = 0; i < 3; i++) {
      const { state } = await openSqlite({ path, inThread: i === 1, ...env })
      const done = await state.commit(scope, [...ops, append(`i${i}`)])
      expect(done).toMatchObject({ results: [{ n: i + 1 }, { n: i + 1 }, { n: 1 }, { n: i + 1 }] })
      await state.close()
    }
    const { state } = await openSqlite({ path, ...env })
    expect(await state.commit(scope, ops)).toMatchObject({ ok: false, at: 0, n: 3 })
    expect(await state.commit(scope, [append('i1'), { op: 'seal', id: 'b', into }])).toMatchObject({
      results: [{ n: 3, skipped: true }, { n: 3 }],
    })
    await state.close()
  })
  it('a file of a newer version is refused by name', async () => {
    const path = file('newer.db')
    const db = new DatabaseSync(path)
    db.exec('PRAGMA user_version = 99')
    db.close()
    const newer = `${path} was written by a newer version (schema 99, this one knows ${VERSION})`
    await expect(openSqlite({ path, ...testEnv() })).rejects.toThrow(newer)
    await expect(openSqlite({ path, inThread: true, ...testEnv() })).rejects.toThrow(newer)
  })
  it('a file of schema 1 is taken over: every record, found by action and chain, followed in the order of time, and nothing twice', async () => {
    const env = testEnv()
    const path = file('schema-1.db')
    await (await openSqlite({ path, inThread: true, ...env })).state.close()
    const ids = Array.from({ length: 5 }, () => env.newId())
    const db = new DatabaseSync(path)
    db.exec(`DROP TABLE audit; DROP TABLE audit_purged; DROP TABLE audit_part; DROP TABLE audit_action; DELETE FROM meta;
      CREATE TABLE audit (
        scope BLOB NOT NULL, id TEXT NOT NULL, action_id BLOB NOT NULL, chain_id BLOB, json TEXT NOT NULL,
        PRIMARY KEY (scope, id)) WITHOUT ROWID;
      CREATE INDEX audit_action ON audit (scope, action_id);
      CREATE INDEX audit_chain ON audit (chain_id) WHERE chain_id IS NOT NULL; PRAGMA user_version = 1`)
    const insert = db.prepare('INSERT INTO audit VALUES (?, ?, ?, ?, ?)')
    for (const [i, id] of ids.entries())
      insert.run(i % 2 ? '1:a1:b' : '1:z1:b', id, 'action', i === 1 ? 'chain' : null, JSON.stringify({ id }))
    db.close()
    for (const inThread of [true, false]) {
      const { state, audit } = await openSqlite({ path, inThread, ...env })
      const found = async (match: { actionId?: string; chainId?: string }) =>
        (await audit.scan({ scope, match, limit: 9, looks: 9 })).rows.map((r) => r.id)
      expect(await found({ actionId: 'action' })).toEqual([ids[3], ids[1]])
      expect(await found({ chainId: 'chain' })).toEqual([ids[1]])
      const { next } = await audit.follow({ after: undefined, limit: 9, maxChars: 9 })
      const start = `${next.split('-')[0]}-0`
      const { rows } = await audit.follow({ after: start, limit: 9, maxChars: 1e6 })
      expect(rows.map((r) => (JSON.parse(r.json) as { id: string }).id)).toEqual(ids)
      await state.close()
    }
    const now = new DatabaseSync(path, { readOnly: true })
    expect(now.prepare('PRAGMA user_version').get()).toEqual({ user_version: VERSION })
    expect(now.prepare("SELECT name FROM sqlite_master WHERE name LIKE 'audit%' ORDER BY name").all()).toEqual(
      ['audit', 'audit_action', 'audit_chain', 'audit_part', 'audit_purged'].map((name) => ({ name })),
    )
    now.close()
  })
  it('a file of schema 2 is taken over: every record is found by its action', async () => {
    const env = testEnv()
    const path = file('schema-2.db')
    await (await openSqlite({ path, inThread: true, ...env })).state.close()
    const ids = Array.from({ length: 9 }, () => env.newId())
    const db = new DatabaseSync(path)
    db.exec(`DROP TABLE audit_part; DROP TABLE audit_action;
      CREATE INDEX audit_action ON audit (scope, action_id, id); PRAGMA user_version = 2`)
    const insert = db.prepare('INSERT INTO audit (scope, id, action_id, json) VALUES (?, ?, ?, ?)')
    for (const [i, id] of ids.entries()) insert.run('1:a1:b', id, `action-${i % 3}`, JSON.stringify({ id }))
    db.close()
    const { state, audit } = await openSqlite({ path, inThread: true, ...env })
    const { rows } = await audit.scan({ scope, match: { actionId: 'action-1' }, limit: 9, looks: 9 })
    expect(rows.map((r) => r.id)).toEqual([ids[7], ids[4], ids[1]])
    expect(await audit.purge(scope, { below: 'z', completedBefore: 'z' }, 99)).toMatchObject({ gone: 9 })
    await state.close()
    const now = new DatabaseSync(path, { readOnly: true })
    expect(now.prepare('SELECT count(*) AS n FROM audit_action').get()).toEqual({ n: 0 })
    now.close()
  })
  it('positions of another file are unknown to this one, and no number is given twice, whatever was purged before a restart', async () => {
    const env = testEnv()
    const record = (): Op => ({
      op: 'record',
      row: { ...auditColumns, scope, id: env.newId(), json: '{}' },
    })
    const follow = (opened: Awaited<ReturnType<typeof openSqlite>>, after?: string) =>
      opened.audit.follow({ after, limit: 9, maxChars: 1e6 })
    const path = file('trail.db')
    const one = await openSqlite({ path, inThread: true, ...env })
    await one.state.commit(scope, [record(), record()])
    const seen = (await follow(one)).next
    await one.audit.purge(scope, { below: 'z', completedBefore: 'z' }, 9)
    await one.state.close()
    const two = await openSqlite({ path, inThread: true, ...env })
    await two.state.commit(scope, [record()])
    const page = await follow(two, seen)
    expect([page.rows.length, page.missed]).toEqual([1, undefined])
    expect(page.next).not.toBe(seen)
    await two.state.close()
    await env.clock.advance(1)
    const other = await openSqlite({ path: file('other.db'), inThread: true, ...env })
    await other.state.commit(scope, [record(), record(), record()])
    expect(await follow(other, seen)).toMatchObject({ rows: [], missed: { why: 'unknown' } })
    await other.state.close()
  })
  it('is opened as HOUSE says: WAL, FULL unless NORMAL is asked for, incremental vacuum', async () => {
    const path = file('pragmas.db')
    const { state } = await openSqlite({ path, ...testEnv() })
    const db = new DatabaseSync(path, { readOnly: true })
    expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    expect(db.prepare('PRAGMA auto_vacuum').get()).toEqual({ auto_vacuum: 2 })
    db.close()
    await state.close()
  })

  for (const inThread of [true, false])
    it(`PITFALLS 69: a full disk (${inThread ? 'here' : 'worker'}): callers are told, nothing acknowledged is missing, and it works again when there is room`, async () => {
      const env = testEnv()
      const { state } = await openSqlite({ path: file('full.db'), maxPageCount: 150, inThread, ...env })
      const kept: string[] = []
      const told: unknown[] = []
      for (let round = 0; round < 12; round++)
        await Promise.all(
          Array.from({ length: 10 }, async (_, i) => {
            const id = `${round}-${i}`
            try {
              const done = await state.commit(scope, [put(id, { value: 'x'.repeat(8000) })])
              if (done.ok) kept.push(id)
            } catch (e) {
              told.push(e)
            }
          }),
        )
      expect(kept.length).toBeGreaterThan(10)
      expect(told.length).toBeGreaterThan(10)
      expect(told.every((e) => e instanceof StateUnknown || e instanceof StateUnavailable)).toBe(true)
      const found = await state.get(kept.map((id) => ({ kind: 'k', scope, id })))
      expect(found.every((e) => e?.value.length === 8000)).toBe(true)
      expect((await state.list('k', scope, { limit: 1000 })).entries.map((e) => e.key.id)).toEqual([...kept].sort())

      // What travels with one that finds no room is done all the same, and of that one it is known that it is not.
      const [first, ...others] = kept
      const together = await Promise.allSettled([
        state.commit(scope, [put('large', { value: 'x'.repeat(80_000) })]),
        state.commit(scope, [{ op: 'count', id: 'c', by: 1, expiresAt: env.clock.now() + 1000 }]),
        state.commit(scope, [{ op: 'delete', kind: 'k', id: first! }]),
        state.claim('none', { owner: 'o', leaseMs: 1, limit: 1 }),
      ])
      expect(together.map((t) => t.status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled'])
      expect(together[0]).toMatchObject({ reason: expect.any(StateUnavailable) })
      expect(await state.get(['large', first!].map((id) => ({ kind: 'k', scope, id })))).toEqual([undefined, undefined])

      const gone = others.slice(0, 10).map((id): Op => ({ op: 'delete', kind: 'k', id }))
      expect((await state.commit(scope, gone)).ok).toBe(true)
      expect((await state.commit(scope, [put('after', { value: 'y'.repeat(8000) })])).ok).toBe(true)
      await state.close()
    })
})
