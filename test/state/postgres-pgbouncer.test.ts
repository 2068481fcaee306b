import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { auditStore } from '../../src/audit/scan.ts'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import type { OpenedPostgres } from '../../src/state/postgres.ts'
import { stateContract } from '../contract/state.contract.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { testGateway } from '../fakes/gateway.ts'
import { SOON } from '../fakes/soon.ts'
import { type PgBouncer, startPgBouncer, withoutPgBouncer } from '../servers/pgbouncer.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { openReal, openSimulated } from './postgres-store.ts'

const scope = ['a', 'b'] as const
const count: Op = { op: 'count', id: 'n', by: 1, expiresAt: 1e15 }
const counted = async (state: StateStore): Promise<number> => (await state.peek('count', scope, ['n']))[0]?.n ?? 0

describe.skipIf(withoutPostgres() || withoutPgBouncer())(
  'behind PgBouncer in transaction mode',
  {
    timeout: 60_000,
  },
  () => {
    let server: Postgres
    let direct: pg.Client
    beforeAll(async () => {
      server = await startPostgres()
      direct = new pg.Client({ connectionString: server.url })
      // It ends with the server.
      direct.on('error', () => {})
      await direct.connect()
    })
    afterAll(async () => {
      direct.end().catch(() => {})
      await server.stop()
    })
    let n = 0
    const name = () => `pooled_${++n}`

    describe('that gives each transaction another connection, and leaves nothing in one', () => {
      let pooler: PgBouncer
      beforeAll(async () => {
        pooler = await startPgBouncer(server.url, [
          'default_pool_size = 3',
          'server_round_robin = 1',
          'server_reset_query_always = 1',
        ])
      })
      afterAll(() => pooler.stop())
      const behind = async (env: TestEnv) => (await openSimulated(pooler.url, name(), env)).state
      stateContract('postgres', Object.assign(behind, { share: 0.1 }))

      it('which it does', async () => {
        const [one, other] = [1, 2].map(() => new pg.Client({ connectionString: pooler.url })) as [pg.Client, pg.Client]
        onTestFinished(() => Promise.all([one.end(), other.end()]).then(() => undefined))
        await Promise.all([one.connect(), other.connect()])
        // Two transactions at once need two connections: those that were there before may have gone since.
        for (const word of ['BEGIN', 'COMMIT']) for (const client of [one, other]) await client.query(word)
        const seen = new Set<number>()
        // One that is still being cleaned after its last transaction is not given out.
        for (const began = performance.now(); seen.size < 2 && performance.now() < began + 5000; )
          seen.add((await one.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!.pid)
        expect(seen.size).toBeGreaterThan(1)
      })

      it('several who start at once on nothing make one schema', async () => {
        // Not the first to do so in these sessions: they remember what was not there.
        for (const prefix of [name(), name(), name()]) {
          const all = await Promise.all(Array.from({ length: 4 }, () => openReal(pooler.url, { prefix })))
          for (const { state } of all) expect((await state.commit(scope, [count])).ok).toBe(true)
          expect(await counted(all[0]!.state)).toBe(4)
          for (const { state } of all) await state.close()
        }
      })

      it('a dispatch is two ways there and back, and its record is there', async () => {
        const env = testEnv()
        const opened = await openSimulated(pooler.url, name(), env)
        const audit = auditStore(opened.audit)
        const restart = () => Promise.reject(new Error('not here'))
        const gateway = await testGateway({
          env,
          memory: { state: opened.state, audit, rows: opened.audit, restart },
          rules: 'rules:\n  - { name: slow, action: { type: throttle, max_count: 3, window_seconds: 60 } }\n',
        })
        const outcomes: (readonly [outcome: unknown, inTwo: boolean])[] = []
        for (let i = 0; i < 4; i++) {
          const before = opened.roundTrips()
          const { body } = await gateway.dispatch({ action_type: 'reading', provider: 'out', payload: { i } })
          outcomes.push([body['outcome'], opened.roundTrips() - before <= 2])
        }
        expect(outcomes).toEqual([...Array(3).fill(['executed', true]), ['throttled', true]])
        expect((await gateway.records()).map((r) => r['outcome'])).toEqual(outcomes.map(([outcome]) => outcome))
        await gateway.close()
        await opened.state.close()
      })

      it('a control change is heard at once by `listen_url`, and found without it', async () => {
        const env = testEnv()
        const prefix = name()
        const open = (listenUrl?: string) => openSimulated(pooler.url, prefix, env, { listenUrl })
        const [writer, polls, hears] = await Promise.all([open(), open(), open(server.url)])
        const [ours, polled, heard] = await Promise.all([writer, polls, hears].map(({ state }) => state.control('t')))
        const told = (control: typeof ours, value: string) =>
          vi.waitUntil(() => control?.get('doc')?.value === value, SOON)
        await ours?.put('doc', '1')
        await told(heard, '1')
        expect(polled?.get('doc')).toBeUndefined()
        await env.clock.advance(1000)
        await told(polled, '1')
        for (const { state } of [writer, polls, hears]) await state.close()
      })
    })

    describe('in trouble', () => {
      let pooler: PgBouncer
      let opened: OpenedPostgres
      beforeAll(async () => {
        pooler = await startPgBouncer(server.url, ['default_pool_size = 2', 'server_login_retry = 1'])
      })
      afterAll(() => pooler.stop())
      beforeEach(async () => {
        opened = await openReal(pooler.url, { prefix: name() })
      })
      afterEach(() => opened.state.close())
      const back = () => vi.waitUntil(() => opened.trouble() === undefined, SOON)

      it('is ended, killed and started again under commits: what was answered is there, what was refused is not', async () => {
        const { state } = opened
        const told = { done: 0, unknown: 0, refused: 0 }
        let over = false
        const client = async (me: number): Promise<void> => {
          for (let i = 0; !over; i++) {
            const put: Op = { op: 'put', kind: 'k', id: `${me}/${i}`, value: '', version: 'v', ifVersion: null }
            const e = await state.commit(scope, [put, count]).then(
              () => undefined,
              (e: unknown) => e,
            )
            if (e === undefined) told.done++
            else if (e instanceof StateUnknown) told.unknown++
            else if (e instanceof StateUnavailable) told.refused++
            else throw e
            if (e !== undefined) await new Promise((r) => setTimeout(r, 5))
          }
        }
        const clients = Array.from({ length: 12 }, (_, me) => client(me))
        for (const end of [() => pooler.tell('SHUTDOWN').catch(() => []), () => pooler.kill()]) {
          const before = told.done
          await vi.waitUntil(() => told.done > before + 50, SOON)
          await end()
          await pooler.ended()
          await vi.waitUntil(() => opened.trouble() !== undefined, SOON)
          await pooler.again()
          await back()
        }
        over = true
        await Promise.all(clients)
        const all = await counted(state)
        expect(all).toBeGreaterThanOrEqual(told.done)
        expect(all).toBeLessThanOrEqual(told.done + told.unknown)
        expect((await state.list('k', scope, { limit: 1e5 })).entries.length).toBe(all)
        expect(told.refused).toBeGreaterThan(0)
      })

      it('has no connection to the server left (query_wait_timeout): refused with nothing done, and used again when it has', async () => {
        const { state } = opened
        await state.commit(scope, [count])
        await pooler.tell('SET query_wait_timeout = 1')
        const others = [1, 2].map(() => new pg.Client({ connectionString: pooler.url }))
        for (const c of others) await c.connect().then(() => c.query('BEGIN'))
        await expect(state.commit(scope, [count])).rejects.toThrow(
          new StateUnavailable('PostgreSQL: query_wait_timeout'),
        )
        expect(opened.trouble()).toBe('PostgreSQL is not reached: query_wait_timeout')
        for (const c of others) await c.query('ROLLBACK').then(() => c.end())
        await back()
        expect((await state.commit(scope, [count])).ok).toBe(true)
        expect(await counted(state)).toBe(2)
      })

      it('takes no more clients (max_client_conn): a node makes do with the connections it has', async () => {
        const { state } = opened
        await state.commit(scope, [count])
        await pooler.tell('SET max_client_conn = 2')
        const reads = () => Promise.all(Array.from({ length: 8 }, () => counted(state)))
        expect(await reads()).toEqual(Array(8).fill(1))
        expect(opened.trouble()).toBeUndefined()
        expect((await state.commit(scope, [count])).ok).toBe(true)
        expect(await why(openReal(pooler.url))).toBe(
          'PostgreSQL is not reached: no more connections allowed (max_client_conn)',
        )
        await pooler.tell('SET max_client_conn = 100')
      })

      it('the server behind it is killed and comes back: refused or unknown meanwhile, and used again, unasked', async () => {
        const { state } = opened
        let [done, asked] = [0, 0]
        const commit = async (): Promise<void> => {
          asked++
          await state.commit(scope, [count]).then(
            () => done++,
            (e: unknown) => expect([StateUnavailable, StateUnknown]).toContain((e as Error).constructor),
          )
        }
        await commit()
        await pooler.tell('SET query_wait_timeout = 1')
        await Promise.all([commit(), server.kill()])
        while (opened.trouble() === undefined) await commit()
        expect(done).toBeLessThan(asked)
        await server.again()
        await back()
        expect((await state.commit(scope, [count])).ok).toBe(true)
        const all = await counted(state)
        expect(all).toBeGreaterThan(done)
        expect(all).toBeLessThanOrEqual(asked + 1)
      })

      it('refuses what an address asks to be set for a session, in one line, unless it is told not to', async () => {
        const url = `${pooler.url}?options=${encodeURIComponent('-c work_mem=8MB')}`
        expect(await why(openReal(url))).toBe('PostgreSQL is not reached: unsupported startup parameter: options')
        expect(await why(openReal(pooler.url.replace(/:[0-9a-f]+@/, ':wrong@')))).toBe(
          'PostgreSQL is not reached: SASL authentication failed',
        )
        await pooler.tell("SET ignore_startup_parameters = 'options'")
        await (await openReal(url)).state.close()
      })
    })
  },
)

async function why(opening: Promise<OpenedPostgres>): Promise<string> {
  const e = await opening.then(
    async ({ state }) => state.close(),
    (e: unknown) => e,
  )
  expect(e).toBeInstanceOf(StateUnavailable)
  return (e as Error).message
}
