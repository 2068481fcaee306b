import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { auditStore } from '../../src/audit/scan.ts'
import type { Op } from '../../src/core/state.ts'
import { plainRow } from '../fakes/audit-row.ts'
import { fakeClock } from '../fakes/clock.ts'
import { testEnv } from '../fakes/env.ts'
import { testGateway } from '../fakes/gateway.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { openReal, openSimulated } from './postgres-store.ts'

const scope = ['a', 'b'] as const

describe.skipIf(withoutPostgres())('several nodes on one PostgreSQL', () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.stop())
  const nodes = (prefix: string, n: number) =>
    Promise.all(Array.from({ length: n }, () => openReal(server.url, { prefix })))

  it('one gets each due entry, whoever asks', async () => {
    const all = await nodes('claims', 3)
    const now = all[0]!.clock.now()
    const put = (i: number): Op => ({
      op: 'put',
      kind: 'k',
      id: `${i}`,
      value: '',
      version: 'v',
      dueAt: now - 1000 + i,
    })
    for (const t of ['x', 'y'])
      await all[0]!.state.commit(
        ['a', t],
        Array.from({ length: 100 }, (_, i) => put(i)),
      )
    const taken: string[] = []
    for (let left = true; left; ) {
      const rounds = await Promise.all(
        all.map(({ state }, i) => state.claim('k', { owner: `n${i}`, leaseMs: 60_000, limit: 7 })),
      )
      for (const c of rounds.flat()) taken.push(`${c.key.scope[1]}/${c.key.id}/${c.claim.number}`)
      left = rounds.some((r) => r.length > 0)
    }
    expect(taken.length).toBe(200)
    expect(new Set(taken.map((t) => t.split('/').slice(0, 2).join('/'))).size).toBe(200)
    expect(new Set(taken.map((t) => t.split('/')[2])).size).toBe(200)
    for (const { state } of all) await state.close()
  })

  it('what waits is counted up to a hundred thousand of a kind, those due first', async () => {
    const env = testEnv()
    const { state } = await openSimulated(server.url, 'depths', env)
    const client = new pg.Client(server.url)
    await client.connect()
    const now = env.clock.now()
    for (const [kind, n] of [
      ['few', 3],
      ['many', 100_500],
    ])
      await client.query(`INSERT INTO depths.entry (kind, scope, id, rest, version, value, due_at, woken, attempts)
        SELECT '${kind}', '1:a1:b', i::text, '', 'v', '', ${now} + i - 2, false, 0 FROM generate_series(1, ${n}) i`)
    await client.end()
    expect(await state.depths()).toEqual([
      { kind: 'few', waiting: 3, due: 2, oldestDueAt: now - 1 },
      { kind: 'many', waiting: 100_000, due: 2, oldestDueAt: now - 1 },
    ])
    await state.close()
  })

  it('a claim looks at a bounded number of scopes, and none is hidden behind one that has much due', async () => {
    const { clock } = testEnv()
    const one = await openSimulated(server.url, 'walk', testEnv())
    const db = new pg.Client(server.url)
    await db.connect()
    const insert = (scopes: string, ids: string, dueAt: number, n: number) =>
      db.query(`INSERT INTO walk.entry (kind, scope, id, rest, version, value, due_at, woken, attempts)
        SELECT 'k', ${scopes}, ${ids}, '', 'v', '', ${dueAt}, false, 0 FROM generate_series(1, ${n}) i`)
    const scopeOf = `'1:a5:' || lpad(i::text, 5, '0')`
    await insert(scopeOf, `'later'`, 4e15, 6000)
    await insert(`'1:a5:00001'`, `'busy' || i`, 1, 1500)
    // It came last, and lies far behind.
    await insert(`'1:a5:05900'`, `'lone'`, clock.now() - 1, 1)
    await db.query('BEGIN')
    await db.query(`SELECT walk.claim_due('k', 'w', 1000, 64, 16, '', ${clock.now()})`)
    const { rows } = await db.query<{ n: number }>(
      `SELECT sum(idx_scan)::int AS n FROM pg_stat_xact_user_tables WHERE schemaname = 'walk' AND relname = 'entry'`,
    )
    await db.query('ROLLBACK')
    await db.end()
    expect(rows[0]!.n).toBeLessThan(2500)
    const claimed: string[] = []
    for (let i = 0; i < 7; i++) {
      const some = await one.state.claim('k', { owner: 'w', leaseMs: 60_000, limit: 64, perScope: 16 })
      expect(some.length).toBeGreaterThanOrEqual(16)
      claimed.push(...some.map((c) => c.key.id))
    }
    expect(claimed).toContain('lone')
    expect(new Set(claimed).size).toBe(claimed.length)
    await one.state.close()
  })

  it('keys wanted in any order by all of them: no deadlock, limits hold, nothing is lost', async () => {
    const all = await nodes('locks', 3)
    const keys = ['k1', 'k2', 'k3', 'k4', 'k5']
    const turned = (i: number) => keys.map((_, j) => keys[(i * 3 + j * (i % 2 === 0 ? 1 : 4)) % keys.length]!)
    const commits = all.flatMap(({ state }, node) =>
      Array.from({ length: 60 }, (_, i) =>
        state.commit(
          scope,
          turned(i + node).flatMap((id): Op[] => [
            { op: 'count', id, by: 1, limit: 100, expiresAt: 1e15 },
            { op: 'put', kind: 'k', id, value: `${node}`, version: `${node}/${i}` },
            { op: 'slot', id, holder: `${node}/${i}`, max: 1e6, until: 1e15 },
          ]),
        ),
      ),
    )
    const done = await Promise.all(commits)
    expect(done.filter((d) => d.ok).length).toBe(100)
    for (const d of done) if (!d.ok) expect(d).toMatchObject({ n: 100 })
    expect((await all[1]!.state.peek('count', scope, keys)).map((p) => p?.n)).toEqual([100, 100, 100, 100, 100])
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    const { rows } = await client.query('SELECT sum(deadlocks)::int AS n FROM pg_stat_database')
    expect(rows).toEqual([{ n: 0 }])
    await client.end()
    for (const { state } of all) await state.close()
  })

  it('a buffer all of them fill: each event is in one flush or still in the buffer, once', async () => {
    const all = await nodes('buffers', 3)
    const append = (itemId: string): Op => ({
      op: 'append',
      id: 'g',
      itemId,
      item: itemId,
      value: '{}',
      maxItems: 7,
      maxBytes: 1e6,
      waitMs: 1e6,
      intervalMs: 0,
      into: { kind: 'flush', idPrefix: 'f/' },
    })
    await Promise.all(
      all.flatMap(({ state }, n) => Array.from({ length: 50 }, (_, i) => state.commit(scope, [append(`${n}/${i}`)]))),
    )
    const { state } = all[0]!
    const flushes = (await state.list('flush', scope, { limit: 100 })).entries
    const kept = (await state.peek('buffer', scope, ['g']))[0]?.items ?? []
    const ids = flushes.flatMap((e) =>
      (JSON.parse(e.value) as { items: { itemId: string }[] }).items.map((i) => i.itemId),
    )
    expect([...ids, ...kept.map((i) => i.itemId)].sort()).toEqual(
      all.flatMap((_, n) => Array.from({ length: 50 }, (_, i) => `${n}/${i}`)).sort(),
    )
    for (const { state } of all) await state.close()
  })

  it('a node whose clock is ahead sweeps away nothing that others still count by', async () => {
    const start = Date.UTC(2026, 0, 5)
    const [early, late] = [testEnv({ clock: fakeClock(start + 300) }), testEnv({ clock: fakeClock(start) })]
    const [ahead, behind] = [
      await openSimulated(server.url, 'sweep', early),
      await openSimulated(server.url, 'sweep', late),
    ]
    const ops: readonly Op[] = [
      { op: 'count', id: 'q', by: 1, limit: 1, expiresAt: start + 1100 },
      { op: 'admit', id: 'w', max: 1, windowMs: 1000 },
      { op: 'slot', id: 's', holder: 'other', max: 1, until: start + 1100 },
      { op: 'put', kind: 'once', id: 'x', value: '', version: 'v', ifVersion: null, expiresAt: start + 1100 },
    ]
    expect((await behind.state.commit(scope, ops)).ok).toBe(true)
    await early.clock.advance(900)
    await late.clock.advance(900)
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    const left = async () => {
      const { rows } = await client.query<{ n: number }>(
        'SELECT ((SELECT count(*) FROM sweep.counter) + (SELECT count(*) FROM sweep.stamp) + (SELECT count(*) FROM sweep.holder) + (SELECT count(*) FROM sweep.entry))::int AS n',
      )
      return rows[0]?.n
    }
    /** Begins with a commit, and has ended when the store is closed. */
    const swept = async () => {
      const { state } = await openSimulated(server.url, 'sweep', early)
      await state.commit(scope, [{ op: 'wake', kind: 'none', id: 'none' }])
      await state.close()
    }
    await swept()
    const again: readonly Op[] = ops.map((op) => (op.op === 'slot' ? { ...op, holder: 'one more' } : op))
    for (const op of again) expect(await behind.state.commit(scope, [op]), op.op).toMatchObject({ ok: false })
    // By the clock that is ahead they are over.
    for (const op of again) expect((await ahead.state.commit(scope, [op], { dry: true })).ok, op.op).toBe(true)
    await early.clock.advance(60_000)
    await swept()
    expect(await left()).toBe(0)
    await client.end()
    for (const { state } of [ahead, behind]) await state.close()
  })

  it('an audit of a version before has a column added, and its records stay', async () => {
    const env = testEnv()
    const before = await openSimulated(server.url, 'older', env)
    await before.audit.append([plainRow('1', scope)])
    await before.state.close()
    const client = new pg.Client(server.url)
    await client.connect()
    await client.query(`ALTER TABLE older.audit DROP COLUMN group_id; UPDATE older.meta SET functions = 'of before'`)
    await client.end()
    const after = await openSimulated(server.url, 'older', env)
    await after.audit.append([{ ...plainRow('2', scope), groupId: 'g' }])
    const audit = auditStore(after.audit)
    expect((await after.audit.scan({ scope, match: {}, limit: 9, looks: 9 })).rows).toHaveLength(2)
    expect((await after.audit.scan({ scope, match: { groupId: 'g' }, limit: 9, looks: 9 })).rows).toMatchObject([
      { id: '2' },
    ])
    await audit.close()
    await after.state.close()
  })

  it('a node of a version before that starts again puts its functions beside those of this one', async () => {
    const env = testEnv()
    const { state, audit } = await openSimulated(server.url, 'beside', env)
    const client = new pg.Client(server.url)
    await client.connect()
    // Under the names that it knows they are its own, and whatever they do is nobody else's.
    const plain = 'jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, bigint[], bigint, bigint'
    for (const [call, gives] of [
      ['take_due(text, text, bigint, bigint, bigint, text, bigint)', 'jsonb'],
      ['run_batch(bigint[], jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, jsonb, int, int[], bigint, bigint)', 'jsonb'],
      [`run_plain(${plain})`, 'jsonb'],
      ['apply_op(text, jsonb, bigint)', 'jsonb'],
      ['keep_record(jsonb)', 'void'],
    ])
      await client.query(`CREATE OR REPLACE FUNCTION beside.${call} RETURNS ${gives} LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION USING MESSAGE = ''of a version before''; END'`)
    await client.end()
    const record = (id: string): Op => ({ op: 'record', row: { ...plainRow(id, scope), groupId: 'g' } })
    const slot: Op = { op: 'slot', id: 's', holder: 'h', max: 1, until: env.clock.now() + 1000 }
    for (const ops of [[record('1')], [slot, record('2')]]) expect((await state.commit(scope, ops)).ok).toBe(true)
    expect(await state.claim('k', { owner: 'me', leaseMs: 1000, limit: 1 })).toEqual([])
    const { rows } = await audit.scan({ scope, match: { groupId: 'g' }, limit: 9, looks: 9 })
    expect(rows.map((r) => r.id)).toEqual(['2', '1'])
    await state.close()
  })

  it('a control change is with every node within a second, and at once where it may listen', async () => {
    const env = testEnv()
    const writer = await openSimulated(server.url, 'control', env)
    const polls = await openSimulated(server.url, 'control', env)
    const listens = await openSimulated(server.url, 'control', env, { listenUrl: server.url })
    const [ours, polled, heard] = [
      await writer.state.control('t'),
      await polls.state.control('t'),
      await listens.state.control('t'),
    ]
    const told = (control: typeof ours, value: string) =>
      new Promise<void>((resolve) => {
        const stop = control.subscribe((_, doc) => {
          if (doc?.value !== value) return
          stop()
          resolve()
        })
      })
    // No time passes: the poll cannot be what tells it. The first may come before it listens, which then looks.
    const first = told(heard, '1')
    await ours.put('doc', '1')
    await first
    const second = [told(heard, '2'), told(polled, '2')] as const
    await ours.put('doc', '2')
    await second[0]
    expect(polled.get('doc')).toBeUndefined()
    await env.clock.advance(1000)
    await second[1]
    for (const { state } of [writer, polls, listens]) await state.close()
  })

  it('a dispatch with dedup, throttle and audit is two ways there and back; a refused one is one', async () => {
    const env = testEnv()
    const opened = await openSimulated(server.url, 'trips', env)
    const gateway = await testGateway({
      env,
      memory: {
        state: opened.state,
        audit: auditStore(opened.audit),
        rows: opened.audit,
        restart: () => Promise.reject(new Error('not here')),
      },
      rules: `rules:
  - { name: once, priority: 1, action: { type: deduplicate, ttl_seconds: 60, key: [payload.n] } }
  - { name: slow, priority: 2, action: { type: throttle, max_count: 3, window_seconds: 60 } }
`,
    })
    const trips = async (n: number) => {
      const before = opened.roundTrips()
      const { body } = await gateway.dispatch({ action_type: 'reading', provider: 'out', payload: { n } })
      return [body['outcome'], opened.roundTrips() - before]
    }
    for (const n of [1, 2, 3]) expect(await trips(n)).toEqual(['executed', 2])
    expect((await trips(3))[1]).toBeLessThanOrEqual(2)
    expect((await trips(4))[1]).toBeLessThanOrEqual(2)
    const before = opened.roundTrips()
    await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        gateway.dispatch({ action_type: 'r', provider: 'out', payload: { n: 100 + i } }),
      ),
    )
    expect((opened.roundTrips() - before) / 60).toBeLessThan(0.5)
    await gateway.close()
    await opened.state.close()
  })
})
