import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { auditBackends } from '../../src/audit/index.ts'
import { drainOutbox } from '../../src/audit/outbox.ts'
import { type AuditScan, auditRow } from '../../src/core/audit.ts'
import { isoTime } from '../../src/core/clock.ts'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { auditRowsOver } from '../../src/state/postgres/audit.ts'
import type { Ask } from '../../src/state/postgres/connections.ts'
import { callOf } from '../../src/state/postgres/wire.ts'
import { openPostgres } from '../../src/state/postgres.ts'
import { auditContract } from '../contract/audit.contract.ts'
import { handsOver } from '../contract/hand-over.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { startProxy } from '../servers/proxy.ts'
import { postgresSettings } from '../state/postgres-settings.ts'
import { openSimulated, readyForQuery } from '../state/postgres-store.ts'

describe.skipIf(withoutPostgres())('on a server of its own', () => {
  let server: Postgres
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.stop())
  const open = (env: TestEnv, prefix: string, auditElsewhere = false) =>
    openPostgres({ ...postgresSettings(server.url), prefix }, { ...env, auditElsewhere, storeTime: env.clock })

  auditContract('postgres', async (env) => {
    const { state, audit } = await open(env, 'one')
    return { state, audit: auditBackends.postgres(audit), close: () => state.close() }
  })
  auditContract('postgres in a schema of its own', async (env) => {
    const here = await open(env, 'here', true)
    const there = await open(env, 'there')
    return {
      state: here.state,
      audit: auditBackends.postgres(there.audit),
      written: async () => void (await drainOutbox(here.state, there.audit, 'test', testEnv().log)),
      close: async () => {
        await here.state.close()
        await there.state.close()
      },
    }
  })

  it('what it has written for an audit elsewhere is handed over', () =>
    handsOver((handOver) => {
      const env = testEnv()
      const settings = { ...postgresSettings(server.url), prefix: 'handing' }
      return openPostgres(settings, { ...env, auditElsewhere: true, handOver, storeTime: env.clock })
    }))
  it('a row beyond a limit of the server is refused as what it never takes', async () => {
    const env = testEnv()
    const { state, audit } = await open(env, 'limits')
    const at = isoTime(env.clock.now())
    const row = auditRow({
      id: env.newId(),
      kind: 'dispatch',
      namespace: 'a',
      tenant: 'b',
      // The index by action takes some 2,700 bytes, compressed.
      action_id: Array.from({ length: 9000 }, () => String.fromCharCode(97 + Math.floor(env.random.float() * 26))).join(
        '',
      ),
      run_id: 'r',
      action_type: 't',
      outcome: 'executed',
      received_at: at,
      completed_at: at,
      duration_ms: 0,
    })
    await expect(audit!.append([row])).rejects.toThrow(StateTooLarge)
    await state.close()
  })
  it('rows that another node has written are once, and an append of many is one transaction', async () => {
    const [env, other] = [testEnv(), testEnv({ seed: 2 })]
    const [one, two] = [await open(env, 'appended'), await open(other, 'appended')]
    const rows = Array.from({ length: 400 }, (_, i) =>
      auditRow({
        id: env.newId(),
        kind: 'dispatch',
        namespace: 'a',
        tenant: `t${i % 3}`,
        action_id: 'x',
        run_id: 'r',
        action_type: 't',
        outcome: 'executed',
        received_at: isoTime(env.clock.now()),
        completed_at: isoTime(env.clock.now()),
        duration_ms: 0,
      }),
    )
    const before = one.roundTrips()
    await Promise.all([one.audit.append(rows), two.audit.append([...rows].reverse())])
    expect(one.roundTrips() - before).toBe(1)
    const page = { match: {}, limit: 1000, looks: 1000 } as const
    const kept = await Promise.all(['t0', 't1', 't2'].map((t) => two.audit.scan({ ...page, scope: ['a', t] })))
    expect(kept.flatMap((k) => k.rows).length).toBe(400)
    await one.state.close()
    await two.state.close()
  })

  it('answers lost on their way: what was written is there once, what only reads has done nothing and says so', async () => {
    const env = testEnv()
    const proxy = await startProxy({ port: Number(new URL(server.url).port) })
    const { audit, state } = await openSimulated(proxy.url(server.url), 'lost', env)
    const at = isoTime(env.clock.now())
    const scope = ['a', 'b'] as const
    const rows = Array.from({ length: 3 }, () =>
      auditRow({
        id: env.newId(),
        kind: 'dispatch',
        namespace: scope[0],
        tenant: scope[1],
        action_id: 'x',
        run_id: 'r',
        action_type: 't',
        outcome: 'executed',
        received_at: at,
        completed_at: at,
        duration_ms: 0,
      }),
    )
    async function losing(ask: () => Promise<unknown>, error: new () => Error): Promise<void> {
      // Of these alone: what the store asks by itself meanwhile, connections that it opens among it, has answers too.
      const asked = /commit_batch|lost\.audit|follow_audit/
      const lost = proxy.loseReply({ request: (data) => asked.test(data.toString('latin1')), answered: readyForQuery })
      await Promise.all([lost, expect(ask()).rejects.toThrow(error)])
    }
    const scan = () => audit.scan({ scope, match: {}, limit: 9, looks: 99 })
    await losing(() => audit.append(rows), StateUnknown)
    expect((await scan()).rows).toHaveLength(3)
    await audit.append(rows)
    for (const read of [
      scan,
      () => audit.scopes(undefined, 9),
      () => audit.follow({ after: undefined, limit: 9, maxChars: 1e6 }),
    ]) {
      await losing(read, StateUnavailable)
      await read()
    }
    const { next } = await audit.follow({ after: undefined, limit: 9, maxChars: 1e6 })
    const all = { below: '~', completedBefore: '~' }
    await losing(() => audit.purge(scope, all, 2), StateUnknown)
    expect((await scan()).rows.map((r) => r.id)).toEqual([rows[2]!.id])
    expect(await audit.purge(scope, all, 2)).toEqual({ gone: 1 })
    expect((await audit.follow({ after: next, limit: 9, maxChars: 1e6 })).rows).toEqual([])
    await state.close()
    await proxy.close()
  })

  it('an action and a chain are sought, a scope is walked by time; nothing is sorted', async () => {
    const opened = await open(testEnv(), 'plans')
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    await client.query(`INSERT INTO plans.audit (scope, id, action_id, chain_id, json)
      SELECT '1:a1:' || (n % 2), 'id' || n, 'action' || (n / 3), 'chain' || (n / 5), '{}' FROM generate_series(1, 20000) n;
      ANALYZE plans.audit`)
    const plan = async (match: AuditScan['match']): Promise<string> => {
      const asked: (readonly [string, readonly unknown[] | undefined])[] = []
      const ask: Ask = async (sql, values) => {
        asked.push([sql, values])
        return []
      }
      const rows = auditRowsOver(ask, ask, 'plans', '', opened.audit)
      await rows.scan({ scope: ['a', '1'], from: 'id1', below: 'id9', limit: 10, looks: 100, match })
      const [sql, values] = asked[0]!
      const explained = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`, [...(values ?? [])])
      const all = explained.rows.map((r) => r['QUERY PLAN']).join('\n')
      return all.slice(all.indexOf('CTE seen'), all.indexOf('CTE found'))
    }
    expect(await plan({ actionId: 'action7' })).toContain('audit_action')
    expect(await plan({ chainId: 'chain7', outcome: 'failed' })).toContain('audit_chain')
    expect(await plan({ rule: 'r' })).toContain('Backward using audit_pkey')
    for (const match of [{ actionId: 'action7' }, { chainId: 'chain7' }, { rule: 'r', provider: 'p' }, {}])
      expect(await plan(match)).not.toMatch(/Sort|Seq Scan/)
    await client.end()
    await opened.state.close()
  })

  it('follow: a transaction of ours that is open holds back what came after it; one of somebody else holds nothing up', async () => {
    const env = testEnv()
    const opened = await open(env, 'held')
    const { state, audit } = opened
    const clients = [new pg.Client({ connectionString: server.url }), new pg.Client({ connectionString: server.url })]
    for (const c of clients) {
      await c.connect()
      await c.query('BEGIN')
    }
    const [ours, theirs] = clients as [pg.Client, pg.Client]
    const record = (id: string) =>
      auditRow({
        id,
        kind: 'dispatch',
        namespace: 'a',
        tenant: 'b',
        action_id: id,
        run_id: 'r',
        action_type: 't',
        outcome: 'executed',
        received_at: isoTime(env.clock.now()),
        completed_at: isoTime(env.clock.now()),
        duration_ms: 0,
      })
    const page = { limit: 100, maxChars: 1e6 } as const
    const { next: from } = await audit.follow({ ...page, after: undefined })
    const ids = async (after: string) => {
      const { rows } = await audit.follow({ ...page, after })
      return rows.map((r) => (JSON.parse(r.json) as { id: string }).id)
    }
    await theirs.query('CREATE TABLE somebody_elses (n int)')
    // A batch of another node, before its COMMIT.
    const call = callOf('1:a1:b', [{ op: 'record', row: record('first') }], false)
    await ours.query("SELECT held.commit_batch('{1}', $1, NULL, NULL, NULL, NULL, NULL, NULL, 0, '{0}', $2, NULL)", [
      JSON.stringify([call]),
      env.clock.now(),
    ])
    expect((await state.commit(['a', 'b'], [{ op: 'record', row: record('second') }])).ok).toBe(true)
    expect(await ids(from)).toEqual([])
    await ours.query('COMMIT')
    expect(await ids(from)).toEqual(['first', 'second'])
    await theirs.query('ROLLBACK')
    expect(await ids(from)).toEqual(['first', 'second'])
    for (const c of clients) await c.end()
    await state.close()
  })
})
