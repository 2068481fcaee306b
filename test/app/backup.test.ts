import fs, {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { main } from '../../src/app/cli.ts'
import { systemClock } from '../../src/core/clock.ts'
import { kinds } from '../../src/core/hold.ts'
import { systemRandom } from '../../src/core/ids.ts'
import type { Op } from '../../src/core/state.ts'
import { VERSION } from '../../src/state/sqlite/schema.ts'
import type { Opened } from '../../src/state/sqlite/store.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { plainRow } from '../fakes/audit-row.ts'
import { NOBODY } from '../servers/process.ts'

const MINUTE = 60_000
const scope = ['n', 't'] as const

interface Told {
  readonly code: number
  readonly out: readonly string[]
  readonly err: readonly string[]
}
interface Place {
  readonly folder: string
  path(name: string): string
  /** The store of the default configuration. */
  readonly store: string
  command(...args: string[]): Promise<Told>
  open(): Promise<Opened>
  /** Opens the store, commits, closes. */
  holds(...ops: Op[]): Promise<void>
  ids(file?: string): readonly string[]
}

function place(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'backup-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = (name: string) => join(folder, name)
  const store = path('data/signalbox.db')
  const open = () => openSqlite({ path: store, clock: systemClock(), random: systemRandom(), inThread: true })
  return {
    folder,
    path,
    store,
    open,
    async command(...args) {
      const out: string[] = []
      const err: string[] = []
      const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l), cwd: folder, env: {} })
      return { code, out, err: err.filter((l) => !l.includes('warning:')) }
    },
    async holds(...ops) {
      const { state } = await open()
      expect(await state.commit(scope, ops)).toMatchObject({ ok: true })
      await state.close()
    },
    ids(file = store) {
      const db = new DatabaseSync(file)
      try {
        return db
          .prepare('SELECT id FROM entry ORDER BY id')
          .all()
          .map((r) => String(r.id))
      } finally {
        db.close()
      }
    },
  }
}
const put = (id: string, more: Partial<Extract<Op, { op: 'put' }>> = {}): Op => ({
  op: 'put',
  kind: kinds.dedup,
  id,
  value: id,
  version: id,
  ...more,
})
const due = (kind: string, id: string, inMs: number): Op => put(id, { kind, dueAt: systemClock().now() + inMs })

describe('backup', () => {
  test('copies a store that a gateway has open, with what is only in its log, and leaves one file', async () => {
    const at = place()
    const { state } = await at.open()
    await state.commit(scope, [put('a')])
    expect(statSync(`${at.store}-wal`).size).toBeGreaterThan(0)
    mkdirSync(at.path('safe'))
    const told = await at.command('backup', 'safe/one.db')
    expect(told).toMatchObject({ code: 0, err: [] })
    expect(told.out[0]).toMatch(/safe\/one\.db: sound, schema \d+, \d+\.\d MiB, 0 audit records$/)
    expect(told.out.slice(1)).toEqual(['  dedup: 1'])
    expect(readdirSync(at.path('safe'))).toEqual(['one.db'])
    await state.commit(scope, [put('b')])
    await state.close()
    expect([at.ids(at.path('safe/one.db')), at.ids()]).toEqual([['a'], ['a', 'b']])
  })

  test('is as private as the store', async () => {
    const at = place()
    await at.holds(put('a'))
    chmodSync(at.store, 0o600)
    await at.command('backup', 'one.db')
    expect(statSync(at.path('one.db')).mode & 0o777).toBe(0o600)
  })

  test('writes over nothing, unless told to', async () => {
    const at = place()
    await at.holds(put('a'))
    writeFileSync(at.path('one.db'), 'dear')
    const file = at.path('one.db')
    const refused = { code: 1, out: [], err: [`signalbox backup: ${file} is there already; --force writes over it`] }
    expect(await at.command('backup', 'one.db')).toEqual(refused)
    expect(readFileSync(file, 'utf8')).toBe('dear')
    expect(await at.command('backup', 'one.db', '--force')).toMatchObject({ code: 0 })
    expect(at.ids(file)).toEqual(['a'])
  })

  test('not even --force puts it beside the log of another database, such as the store itself', async () => {
    const at = place()
    const { state } = await at.open()
    await state.commit(scope, [put('a')])
    const told = await at.command('backup', 'data/signalbox.db', '--force')
    expect(told.err).toEqual([`signalbox backup: ${at.store} is a database that is in use, or was: take another name`])
    await state.close()
    expect(at.ids()).toEqual(['a'])
  })

  test('not even --force puts it in the place of the store itself, by whatever name, or of a device', async () => {
    const at = place()
    await at.holds(put('a'))
    symlinkSync(at.store, at.path('linked.db'))
    symlinkSync('data', at.path('folder'))
    symlinkSync('/dev/null', at.path('device'))
    const told = async (name: string) => (await at.command('backup', name, '--force')).err
    const itself = (file: string) => [`signalbox backup: ${file} is the store itself: take another name`]
    expect(await told('data/signalbox.db')).toEqual(itself(at.store))
    expect(await told('linked.db')).toEqual(itself(at.path('linked.db')))
    expect(await told('folder/signalbox.db')).toEqual(itself(at.path('folder/signalbox.db')))
    expect(await told('device')).toEqual([`signalbox backup: ${at.path('device')} is a device or a pipe: name a file`])
    expect(readdirSync(at.folder).toSorted()).toEqual(['data', 'device', 'folder', 'linked.db'])
  })

  test('no store, no folder, a damaged store: one line each, and nothing is left', async () => {
    const at = place()
    expect(await at.command('backup', 'one.db')).toEqual({
      code: 1,
      out: [],
      err: [`signalbox backup: there is no store ${at.store} yet`],
    })
    await at.holds(put('a'))
    expect(await at.command('backup', 'nowhere/one.db')).toEqual({
      code: 1,
      out: [],
      err: [`signalbox backup: there is no folder ${at.path('nowhere')}`],
    })
    expect(await at.command('backup', '.', '--force')).toEqual({
      code: 1,
      out: [],
      err: [`signalbox backup: ${at.folder} is a folder: name a file in it`],
    })
    damage(at.store)
    const damaged = await at.command('backup', 'one.db')
    expect([damaged.code, damaged.err]).toEqual([1, [expect.stringContaining('malformed')]])
    expect(readdirSync(at.folder)).toEqual(['data'])
  })
})

test('a state that is kept by a server is not copied, nor replaced', async () => {
  const at = place()
  const elsewhere = ['--set', 'state.backend=postgres', '--set', 'state.url=postgres://127.0.0.1:1/none']
  await at.holds(put('a'))
  expect(await at.command('backup', 'one.db')).toMatchObject({ code: 0 })
  for (const command of ['backup', 'restore']) {
    const told = await at.command(command, command === 'backup' ? 'two.db' : 'one.db', ...elsewhere)
    const line = `signalbox ${command}: the state is kept by postgres, which has tools of its own for this`
    expect(told).toEqual({ code: 1, out: [], err: [line] })
  }
  expect(readdirSync(at.folder).toSorted()).toEqual(['data', 'one.db'])
})

describe('restore --check', () => {
  test('says what it holds, and in words what a gateway would do at once', async () => {
    const at = place()
    const oldest = systemClock().now() - 5 * MINUTE
    await at.holds(
      put('s1', { kind: kinds.scheduled, dueAt: oldest }),
      due(kinds.scheduled, 's2', -MINUTE),
      due(kinds.scheduled, 's3', MINUTE),
      due(kinds.deadLetter, 'd', MINUTE),
      put('i', { kind: kinds.intent, claim: { owner: 'dead', until: systemClock().now() + MINUTE } }),
      put('gone', { expiresAt: systemClock().now() - 1 }),
      put('there'),
      append('g'),
    )
    // As the process left it: a store that is opened has no claims.
    await at.command('backup', 'one.db')
    const { code, out, err } = await at.command('restore', 'one.db', '--check')
    expect([code, err]).toEqual([0, []])
    expect(out.slice(1)).toEqual([
      '  buffer: 1',
      '  dead_letter: 1',
      '  dedup: 1',
      '  intent: 1, 1 due at once',
      '  scheduled: 3, 2 due at once',
      '  events in open groups: 1',
      `A gateway that starts on it does at once; the oldest has been due since ${new Date(oldest).toISOString()}:`,
      '  1 delivery under way is taken up',
      '  2 scheduled actions are released',
    ])
    expect(readdirSync(at.folder).toSorted()).toEqual(['data', 'one.db'])
  })

  test('a store in which nothing is due says when something will be', async () => {
    const at = place()
    const dueAt = systemClock().now() + MINUTE
    await at.holds(put('later', { kind: kinds.run, dueAt }))
    const { out } = await at.command('restore', 'data/signalbox.db', '--check')
    expect(out.at(-1)).toBe(`A gateway that starts on it finds nothing due before ${new Date(dueAt).toISOString()}`)
  })

  const FOREIGN = `CREATE TABLE entry (a); PRAGMA user_version = ${VERSION}`
  const fresh = (path: string, make: () => void) => {
    rmSync(path)
    make()
  }
  const open = (path: string, sql: string) => {
    const db = new DatabaseSync(path)
    db.exec(sql)
    db.close()
  }
  test.each<[what: string, make: (path: string) => void, said: string]>([
    ['no file', (p) => rmSync(p), 'there is no file FILE'],
    ['an empty file', (p) => writeFileSync(p, ''), 'FILE is no store of Signalbox'],
    ['text', (p) => writeFileSync(p, 'some text '.repeat(100)), 'FILE is no SQLite database'],
    ['a folder', (p) => fresh(p, () => mkdirSync(p)), 'FILE is no file'],
    ['another program’s', (p) => fresh(p, () => open(p, FOREIGN)), 'FILE is no store of Signalbox'],
    ['a newer one', (p) => open(p, `PRAGMA user_version = ${VERSION + 1}`), 'FILE was written by a newer version (sch'],
    ['an older one', (p) => open(p, `PRAGMA user_version = ${VERSION - 1}`), 'FILE was written by an older version ('],
    [
      'one with a trigger',
      (p) => open(p, 'CREATE TRIGGER x AFTER INSERT ON audit BEGIN SELECT 1; END'),
      'FILE is no st',
    ],
    ['one that lacks an index', (p) => open(p, 'DROP INDEX entry_due'), 'FILE is no store of Signalbox'],
    ['half a file', (p) => writeFileSync(p, readFileSync(p).subarray(0, statSync(p).size / 2)), 'FILE is damaged: '],
    ['a damaged one', (p) => damage(p), 'FILE is damaged: '],
    [
      'one with a document that is none',
      (p) => open(p, `UPDATE entry SET kind = 'control:quotas' WHERE id = 's7'`),
      'FILE is damaged: what is stored of kind control:quotas under the id "s7" is no JSON object: restore an older',
    ],
    ['one whose index does not match', (p) => twist(p), 'FILE is damaged: row 1 missing from index entry_due'],
  ])('%s is refused, by restore itself as well, and the store stays', async (_what, make, said) => {
    const at = place()
    await at.holds(...Array.from({ length: 400 }, (_, i) => due(kinds.scheduled, `s${i}`, MINUTE)))
    const file = at.path('one.db')
    expect(await at.command('backup', 'one.db')).toMatchObject({ code: 0 })
    make(file)
    const before = readFileSync(at.store)
    for (const args of [['--check'], []]) {
      const told = await at.command('restore', 'one.db', ...args)
      const line = `signalbox restore: ${said.replace('FILE', file)}`
      expect([told.code, told.out, told.err.map((l) => l.slice(0, line.length))]).toEqual([1, [], [line]])
    }
    expect(readFileSync(at.store).equals(before)).toBe(true)
    expect(readdirSync(at.path('data')).filter((f) => /part|before/.test(f))).toEqual([])
  })
})

describe('restore', () => {
  test('puts the backup in place and keeps the store of before, with what was only in its log', async () => {
    const at = place()
    await at.holds(put('a'))
    await at.command('backup', 'one.db')
    await dies(at, put('b'))
    const told = await at.command('restore', 'one.db')
    expect(told).toMatchObject({ code: 0, err: [] })
    const [aside] = readdirSync(at.path('data')).filter((f) => /^signalbox\.db\.before-\d{8}T\d{6}\.\d{3}Z$/.test(f))
    expect(told.out.at(-1)).toBe(`${at.store} is now this backup; the store of before is ${at.path(`data/${aside}`)}`)
    expect(readdirSync(at.path('data')).toSorted()).toEqual(['signalbox.db', aside, 'signalbox.db.lock'])
    expect([at.ids(), at.ids(at.path(`data/${aside}`))]).toEqual([['a'], ['a', 'b']])
    // And it is a store like any other.
    await at.holds(put('c'))
    expect(at.ids()).toEqual(['a', 'c'])
    const db = new DatabaseSync(at.store)
    expect(db.prepare('PRAGMA auto_vacuum').get()).toMatchObject({ auto_vacuum: 2 })
    db.close()
    expect(existsSync(at.path('one.db'))).toBe(true)
  })

  test('killed before any of its steps, it leaves the store of before whole, or the backup', async () => {
    const at = place()
    await at.holds(put('a'))
    await at.command('backup', 'one.db')
    // In the file, and in the log alone: without its log the store of before is neither of the two.
    await at.holds(put('b'))
    await dies(at, put('c'))
    const left = await beforeEachStep(at, () => at.command('restore', 'one.db'))
    const seen = left.map((folder) => at.ids(join(folder, 'signalbox.db')).join())
    const turn = seen.indexOf('a')
    expect(turn).toBeGreaterThan(5)
    expect(seen).toEqual(seen.map((_, i) => (i < turn ? 'a,b,c' : 'a')))
    // From then on the store of before is under its other name, whole.
    for (const folder of left.slice(turn)) {
      const aside = readdirSync(folder).find((f) => f.includes('.before-') && !f.endsWith('-wal')) ?? ''
      expect(at.ids(join(folder, aside))).toEqual(['a', 'b', 'c'])
    }
  })

  test('what is not finished is as private as the store, too', async () => {
    const at = place()
    await at.holds(put('a'))
    chmodSync(at.store, 0o600)
    await at.command('backup', 'one.db')
    const left = await beforeEachStep(at, () => at.command('restore', 'one.db'))
    const parts = left.flatMap((folder) =>
      readdirSync(folder).flatMap((f) => (f.includes('.part') ? [statSync(join(folder, f)).mode & 0o777] : [])),
    )
    expect(new Set(parts)).toEqual(new Set([0o600]))
  })

  test('positions of the stream before stand for none of its rows, however often each was started', async () => {
    const at = place()
    const append = async (...ids: string[]): Promise<string> => {
      const { audit, state } = await at.open()
      await audit.append(ids.map((id) => plainRow(id, scope)))
      const { next } = await audit.follow({ after: undefined, limit: 1, maxChars: 1 })
      await state.close()
      return next
    }
    await append('1')
    await at.command('backup', 'one.db')
    const seen = await append('2', '3')
    await at.command('restore', 'one.db')
    await append('4', '5', '6')
    const { audit, state } = await at.open()
    expect(await audit.follow({ after: seen, limit: 9, maxChars: 9999 })).toMatchObject({ missed: { why: 'unknown' } })
    await state.close()
  })

  test('where there was none', async () => {
    const at = place()
    await at.holds(put('a'))
    await at.command('backup', 'one.db')
    rmSync(at.path('data'), { recursive: true })
    expect((await at.command('restore', 'one.db')).out.at(-1)).toBe(`${at.store} is now this backup`)
    expect(at.ids()).toEqual(['a'])
  })

  test('a store that the configuration names by a link is replaced where it lies', async () => {
    const at = place()
    await at.holds(put('a'))
    await at.command('backup', 'one.db')
    await at.holds(put('b'))
    symlinkSync('data/signalbox.db', at.path('linked.db'))
    expect(await at.command('restore', 'one.db', '--set', 'state.path=linked.db')).toMatchObject({ code: 0, err: [] })
    expect(at.ids()).toEqual(['a'])
    expect(lstatSync(at.path('linked.db')).isSymbolicLink()).toBe(true)
    const [kept] = readdirSync(at.path('data')).filter((name) => name.includes('.before-'))
    expect(at.ids(at.path(`data/${kept}`))).toEqual(['a', 'b'])
  })

  test.runIf(NOBODY)('by root it leaves the store to whoever had it', async () => {
    const at = place()
    await at.holds(put('a'))
    await at.command('backup', 'one.db')
    chownSync(at.store, NOBODY!.uid, NOBODY!.gid)
    expect(await at.command('restore', 'one.db')).toMatchObject({ code: 0 })
    const { uid, gid } = statSync(at.store)
    expect({ uid, gid }).toEqual(NOBODY)
  })

  test('a log without its file is not played into the backup', async () => {
    const at = place()
    await at.holds(put('a'))
    await at.command('backup', 'one.db')
    await dies(at, put('b'))
    rmSync(at.store)
    expect(await at.command('restore', 'one.db')).toMatchObject({ code: 0 })
    expect(at.ids()).toEqual(['a'])
  })

  test('a raw copy, log and all, is taken with its log', async () => {
    const at = place()
    await dies(at, put('a'))
    for (const s of ['', '-wal']) copyFileSync(at.store + s, at.path(`raw.db${s}`))
    await at.holds(put('b'))
    expect(await at.command('restore', 'raw.db')).toMatchObject({ code: 0 })
    expect(at.ids()).toEqual(['a'])
  })

  test('refuses while a gateway has the store', async () => {
    const at = place()
    const { state } = await at.open()
    await state.commit(scope, [put('a')])
    await at.command('backup', 'one.db')
    await state.commit(scope, [put('b')])
    const told = await at.command('restore', 'one.db')
    expect(told).toEqual({
      code: 1,
      out: [],
      err: [`signalbox restore: another process has ${at.store} open: only one may`],
    })
    await state.commit(scope, [put('c')])
    await state.close()
    expect(at.ids()).toEqual(['a', 'b', 'c'])
  })

  test('a store that is damaged is kept as it was, and said to be', async () => {
    const at = place()
    await at.holds(put('a'))
    await at.command('backup', 'one.db')
    writeFileSync(at.store, 'no database at all, '.repeat(300))
    const { code, out, err } = await at.command('restore', 'one.db')
    expect([code, err]).toEqual([0, ['the store of before cannot be read: file is not a database']])
    const aside = out.at(-1)?.split(' ').at(-1) ?? ''
    expect(readFileSync(aside, 'utf8')).toContain('no database at all')
    expect(at.ids()).toEqual(['a'])
  })
})

/** Adds an event to a group. */
const append = (idPrefix: string): Op => ({
  op: 'append',
  id: 'group',
  itemId: 'e',
  item: '{}',
  value: '{}',
  maxItems: 10,
  maxBytes: 1000,
  waitMs: MINUTE,
  intervalMs: 0,
  into: { kind: kinds.flush, idPrefix },
})

/** Commits, and leaves the files as a killed process does: what was committed is in the log alone. */
async function dies(at: Place, ...ops: Op[]): Promise<void> {
  const { state } = await at.open()
  await state.commit(scope, ops)
  for (const s of ['', '-wal']) copyFileSync(at.store + s, at.path(`left${s}`))
  await state.close()
  for (const s of ['', '-wal']) copyFileSync(at.path(`left${s}`), at.store + s)
  for (const s of ['', '-wal']) rmSync(at.path(`left${s}`))
}

/** Copies of the data's folder, as it was before each change of a name and each fsync: what a process that is killed there leaves. */
async function beforeEachStep(at: Place, act: () => Promise<Told>): Promise<readonly string[]> {
  const left: string[] = []
  const steps = ['linkSync', 'renameSync', 'rmSync', 'fsyncSync', 'chmodSync', 'copyFileSync'] as const
  const real = { ...fs }
  // A first copy loads what copies, which would otherwise take our steps for its own, for good.
  real.cpSync(at.path('data'), at.path('first'), { recursive: true })
  for (const step of steps)
    Object.assign(fs, {
      [step]: (...args: unknown[]) => {
        const folder = at.path(`left-${left.length}`)
        real.cpSync(at.path('data'), folder, { recursive: true })
        left.push(folder)
        return (real[step] as (...given: unknown[]) => unknown)(...args)
      },
    })
  syncBuiltinESMExports()
  try {
    expect(await act()).toMatchObject({ code: 0 })
  } finally {
    for (const step of steps) Object.assign(fs, { [step]: real[step] })
    syncBuiltinESMExports()
  }
  return left
}

/** Overwrites every page but the first. */
function damage(path: string): void {
  const bytes = readFileSync(path)
  writeFileSync(path, bytes.fill(7, 4096))
}

/** An index that was made of other columns than it says: every page of the file is whole. */
function twist(path: string): void {
  const db = new DatabaseSync(path, { defensive: false })
  db.exec(`PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = 'CREATE INDEX entry_due ON entry (kind, scope, attempts)' WHERE name = 'entry_due'`)
  db.close()
}
