import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { sha256 } from '../../src/core/ids.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import { refusal } from '../../src/state/postgres/server.ts'
import type { OpenedPostgres } from '../../src/state/postgres.ts'
import { testEnv } from '../fakes/env.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { openReal, openSimulated } from './postgres-store.ts'

const why = async (opening: Promise<unknown>): Promise<string> => {
  const e = await opening.then(
    () => new Error('it was opened'),
    (e: unknown) => e,
  )
  expect(e).toBeInstanceOf(StateUnavailable)
  return (e as Error).message
}
const count: Op = { op: 'count', id: 'n', by: 1, expiresAt: 1e15 }
const scope = ['a', 'b'] as const
const counted = async (state: StateStore): Promise<number> => (await state.peek('count', scope, ['n']))[0]?.n ?? 0
/** Turns of the loop until it holds. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((r) => setImmediate(r))
}

// Some start a server of their own, which takes its time where others do too.
describe.skipIf(withoutPostgres())('PostgreSQL with faults', { timeout: 60_000 }, () => {
  let server: Postgres
  let proxy: TcpProxy
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.stop())
  beforeEach(async () => {
    proxy = await startProxy({ port: Number(new URL(server.url).port) })
  })
  afterEach(() => proxy.close())

  async function sql(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    await client.query(text)
    await client.end()
  }
  const withOption = (option: string): string => `${server.url}?options=${encodeURIComponent(`-c ${option}`)}`

  describe('is refused at the start in one line', () => {
    it('without a server, a database, the right password, or an address that is one', async () => {
      const { port } = new URL(server.url)
      const gone = await startProxy({ port: 1 })
      await gone.close()
      expect(await why(openReal(server.url.replace(port, String(gone.port))))).toMatch(
        /^PostgreSQL is not reached: connect ECONNREFUSED/,
      )
      expect(await why(openReal(server.url.replace(/[^/]+$/, 'nowhere')))).toBe(
        'PostgreSQL is not reached: database "nowhere" does not exist',
      )
      expect(await why(openReal(server.url.replace(/:[0-9a-f]+@/, ':wrong@')))).toBe(
        'PostgreSQL is not reached: password authentication failed for user "postgres"',
      )
      for (const url of ['redis://localhost', 'localhost:5432', ''])
        expect(await why(openReal(url))).toMatch(/^the url is none of PostgreSQL: postgres:\/\/user:password@/)
      expect(await why(openReal(server.url, { url: undefined }))).toMatch(/^PostgreSQL needs a url/)
      expect(await why(openReal(server.url, { prefix: 'a"; DROP' }))).toMatch(/is no name of a schema/)
    })
    it('where it does not answer, within seconds', async () => {
      proxy.blackHole()
      expect(await why(openReal(proxy.url(server.url)))).toMatch(/^PostgreSQL is not reached: /)
    })
    it('with settings under which it may lose what it has answered', async () => {
      expect(await why(openReal(withOption('synchronous_commit=off')))).toMatch(/synchronous_commit = off/)
      expect(await why(openReal(withOption('default_transaction_read_only=on')))).toMatch(/read-only/)
      const forgetful = await startPostgres({ settings: ['fsync=off'] })
      expect(await why(openReal(forgetful.url))).toBe(
        'PostgreSQL runs with fsync = off: what it has answered does not survive a crash',
      )
      await forgetful.stop()
    })
    it('torn pages are warned of, as the storage may prevent them', async () => {
      const torn = await startPostgres({ settings: ['full_page_writes=off'] })
      const env = testEnv()
      await (await openSimulated(torn.url, 'torn', env)).state.close()
      expect(env.logged.map((l) => [l.level, l.message])).toEqual([
        ['warn', expect.stringContaining('full_page_writes')],
      ])
      await torn.stop()
    })
    it('where it stands by for another', async () => {
      const standby = await startPostgres({ standby: true })
      expect(await why(openReal(standby.url))).toMatch(/^this PostgreSQL is a standby, which cannot be written/)
      await standby.stop()
    })
    it('before version 14, or with text of another encoding', () => {
      const fine = {
        version: 140_000,
        shown: '14.0',
        fsync: 'on',
        synchronous_commit: 'local',
        full_page_writes: 'on',
        standby: false,
        read_only: 'off',
        encoding: 'UTF8',
      }
      expect(refusal(fine)).toBeUndefined()
      expect(refusal({ ...fine, version: 130_014, shown: '13.14' })).toMatch(
        /^PostgreSQL 13\.14 is too old: 14 or later/,
      )
      expect(refusal({ ...fine, encoding: 'SQL_ASCII' })).toMatch(/UTF8 is needed/)
    })
    it('where a newer version has made the schema', async () => {
      await (await openReal(server.url, { prefix: 'newer' })).state.close()
      await sql('UPDATE newer.meta SET version = 99')
      expect(await why(openReal(server.url, { prefix: 'newer' }))).toBe(
        'the schema newer was written by a newer version (schema 99, this one knows 1)',
      )
    })
    it('where its user may make no schema', async () => {
      await sql("CREATE ROLE poor LOGIN PASSWORD 'poor'")
      const url = server.url.replace(/\/\/[^@]+@/, '//poor:poor@')
      expect(await why(openReal(url, { prefix: 'not_there' }))).toMatch(/permission denied/)
    })
  })

  it('several who start at once on nothing make one schema', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => openReal(server.url, { prefix: 'at_once' })))
    for (const { state } of all) expect((await state.commit(scope, [count])).ok).toBe(true)
    expect(await counted(all[0]!.state)).toBe(4)
    for (const { state } of all) await state.close()
  })

  describe('while it serves', () => {
    let opened: OpenedPostgres
    let n = 0
    beforeEach(async () => {
      opened = await openReal(proxy.url(server.url), { prefix: `serving_${++n}` })
    })
    afterEach(() => opened.state.close())
    /** Several connections stand, whatever else may use one. */
    const standing = () =>
      Promise.all([opened.state.commit(scope, [count]), ...[1, 2, 3].map(() => counted(opened.state))])

    it('a connection that is cut: what was under way is unknown, what comes then is done', async () => {
      const { state, trouble } = opened
      await state.commit(scope, [count])
      const lost = proxy.loseReply({ request: (d) => d.includes('commit_batch') })
      await expect(state.commit(scope, [count])).rejects.toThrow(StateUnknown)
      await lost
      expect((await state.commit(scope, [count])).ok).toBe(true)
      expect(await counted(state)).toBe(3)
      proxy.cut()
      // A call may meet the end of its connection before it is known; the next one does not.
      await counted(state).catch((e: unknown) => expect(e).toBeInstanceOf(StateUnavailable))
      expect(await counted(state)).toBe(3)
      expect(trouble()).toBeUndefined()
    })
    it('a server that is gone: calls are refused at once with nothing done, and it is used again when it is back, unasked', async () => {
      const { state, trouble } = opened
      await state.commit(scope, [count])
      proxy.down()
      await expect(state.commit(scope, [count])).rejects.toThrow(StateUnavailable)
      expect(trouble()).toMatch(/^PostgreSQL is not reached: /)
      const from = performance.now()
      for (let i = 0; i < 100; i++) await expect(state.get([])).resolves.toEqual([])
      for (let i = 0; i < 100; i++) await expect(counted(state)).rejects.toThrow(StateUnavailable)
      expect(performance.now() - from).toBeLessThan(10_000)
      proxy.up()
      await until(() => trouble() === undefined)
      expect((await state.commit(scope, [count])).ok).toBe(true)
      expect(await counted(state)).toBe(2)
    })
    it('a server that says nothing more: nobody waits for ever, and it is used again when it speaks', async () => {
      const { state, trouble } = opened
      await standing()
      proxy.blackHole()
      await expect(state.commit(scope, [count])).rejects.toThrow(StateUnknown)
      expect(trouble()).toBeDefined()
      await expect(state.commit(scope, [count])).rejects.toThrow(StateUnavailable)
      proxy.up()
      await until(() => trouble() === undefined)
      expect(await counted(state)).toBe(1)
    })
    it('closes while nothing answers', async () => {
      await standing()
      proxy.blackHole()
      const commit = opened.state.commit(scope, [count])
      await Promise.all([expect(commit).rejects.toThrow(StateUnknown), opened.state.close()])
      await expect(opened.state.commit(scope, [count])).rejects.toThrow(StateUnavailable)
    })
    it('a commit the server cannot take is refused alone', async () => {
      const { state } = opened
      const kind = Array.from({ length: 200 }, (_, i) => sha256(`${i}`)).join('') // more than an index takes
      const bad: Op = { op: 'put', kind, id: 'bad', value: '', version: 'v' }
      const [one, other, last] = await Promise.allSettled([
        state.commit(scope, [count]),
        state.commit(scope, [count, bad]),
        state.commit(scope, [count]),
      ])
      expect([one?.status, other?.status, last?.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect((other as PromiseRejectedResult).reason).toBeInstanceOf(StateUnavailable)
      expect(await counted(state)).toBe(2)
    })
    it('a server that takes no writes any more, as after a failover: refused with nothing done, and used again when it does', async () => {
      const { state, trouble } = opened
      await state.commit(scope, [count, { op: 'put', kind: 'k', id: 'due', value: '', version: 'v', dueAt: 1 }])
      const readOnly = (is: string) =>
        sql(`BEGIN READ WRITE; ALTER DATABASE postgres SET default_transaction_read_only = ${is}; COMMIT`)
      await readOnly('on')
      proxy.cut()
      await counted(state).catch((e: unknown) => expect(e).toBeInstanceOf(StateUnavailable))
      await expect(state.commit(scope, [count])).rejects.toThrow(/read-only transaction/)
      expect(trouble()).toBeDefined()
      await until(() => /takes no writes/.test(trouble() ?? ''))
      await expect(state.commit(scope, [count])).rejects.toThrow(StateUnavailable)
      await expect(state.claim('k', { owner: 'w', leaseMs: 1000, limit: 1 })).rejects.toThrow(StateUnavailable)
      await readOnly('off')
      await until(() => trouble() === undefined)
      expect((await state.commit(scope, [count])).ok).toBe(true)
      expect(await counted(state)).toBe(2)
    })
    it('tables that are gone: refused, whatever is asked', async () => {
      const { state } = opened
      await sql(`DROP SCHEMA serving_${n} CASCADE`)
      for (const ask of [
        () => state.commit(scope, [count]),
        () => counted(state),
        () => state.list('k', scope, { limit: 1 }),
        () => state.claim('k', { owner: 'w', leaseMs: 1000, limit: 1 }),
      ])
        await expect(ask()).rejects.toThrow(StateUnavailable)
    })
    it('a lock somebody holds for ever: the batch is refused with nothing done', async () => {
      const { state } = opened
      const holder = new pg.Client({ connectionString: server.url })
      await holder.connect()
      await holder.query(`BEGIN; LOCK TABLE serving_${n}.counter`)
      await expect(state.commit(scope, [count])).rejects.toThrow(/lock timeout/)
      await holder.query('ROLLBACK')
      await holder.end()
      expect((await state.commit(scope, [count])).ok).toBe(true)
      expect(await counted(state)).toBe(1)
    })
    it('a slow way there: an admission counts from when it was decided, not from when it was asked for', async () => {
      const { state, clock } = opened
      const windowMs = 600_000
      const admit = (id: string): Op => ({ op: 'admit', id, max: 1, windowMs })
      const quick = await openReal(server.url, { prefix: `serving_${n}` })
      await standing()
      proxy.delay(300)
      // All at once, and op by op.
      for (const ops of [[admit('a')], [{ ...count, by: 0 }, admit('b')]]) {
        const asked = clock.now()
        expect((await state.commit(scope, ops)).ok).toBe(true)
        const refused = await quick.state.commit(scope, ops)
        expect(refused.ok ? 0 : refused.retryAt! - windowMs - asked).toBeGreaterThan(250)
      }
      proxy.delay(0)
      await quick.state.close()
    })
    it('was frozen, and goes on when the caller has given up: what was asked long ago is not done any more', async () => {
      const { state } = opened
      const put: Op = { op: 'put', kind: 'k', id: 'late', value: '', version: 'v', ifVersion: null }
      await standing()
      const client = new pg.Client({ connectionString: server.url })
      await client.connect()
      const { rows } = await client.query<{ pid: number }>(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      )
      const tell = (signal: NodeJS.Signals) => {
        for (const { pid } of rows) process.kill(pid, signal)
      }
      tell('SIGSTOP')
      await expect(state.commit(scope, [put, count])).rejects.toThrow(StateUnknown)
      const other = await openReal(server.url, { prefix: `serving_${n}` })
      const seen = async () => [
        (await other.state.get([{ kind: 'k', scope, id: 'late' }]))[0],
        await counted(other.state),
      ]
      expect(await seen()).toEqual([undefined, 1])
      tell('SIGCONT')
      // Whoever has the commit does it or not, and ends, as nobody hears of it.
      const there = async () =>
        (await client.query('SELECT FROM pg_stat_activity WHERE pid = ANY ($1)', [rows.map((r) => r.pid)])).rowCount
      while ((await there()) === rows.length);
      expect(await seen()).toEqual([undefined, 1])
      await client.end()
      await other.state.close()
    })
    it('tells the time of the server', () => {
      expect(Math.abs(opened.clock.now() - Date.now())).toBeLessThan(1000)
      expect(Math.abs(opened.clockOffsetMs())).toBeLessThan(1000)
      expect(opened.where).toMatch(/^PostgreSQL at 127\.0\.0\.1:\d+\/postgres, schema serving_\d+$/)
    })
  })
})
