import { copyFileSync } from 'node:fs'
import { Redis as Client } from 'ioredis'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { StateUnavailable } from '../../src/core/errors.ts'
import { seededRandom, uuidv7Source } from '../../src/core/ids.ts'
import type { Op, StateStore } from '../../src/core/state.ts'
import { SOON } from '../fakes/soon.ts'
import { type Authority, authority, type Certificate } from '../servers/certificates.ts'
import { type Postgres, startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { type Redis, startRedis, withoutRedis } from '../servers/redis.ts'
import { openReal } from './postgres-store.ts'
import { redisStore } from './redis-store.ts'

const clock = systemClock()
const random = seededRandom(7)
const env = { clock, random, newId: uuidv7Source(clock.now, random) }
const scope = ['a', 'b'] as const
const count: Op = { op: 'count', id: 'n', by: 1, expiresAt: 1e15 }
const counted = async (state: StateStore): Promise<number> => (await state.peek('count', scope, ['n']))[0]?.n ?? 0

const UNTRUSTED = /(unable to verify the first|self-signed) certificate/
const OTHER_NAME = /Hostname\/IP does not match certificate's altnames: (IP: 127\.0\.0\.1|Host: localhost\.) is not /

async function why(opening: Promise<{ readonly state: StateStore }>): Promise<string> {
  const e = await opening.then(
    ({ state }) => state.close(),
    (e: unknown) => e,
  )
  expect(e).toBeInstanceOf(StateUnavailable)
  const { message } = e as Error
  expect(message).not.toContain('\n')
  return message
}

describe.skipIf(withoutRedis() || withoutPostgres())('over TLS', () => {
  let ca: Authority
  let [good, other] = [] as unknown as readonly Certificate[] as [Certificate, Certificate]
  let distrust: () => void
  beforeAll(() => {
    ca = authority()
    good = ca.issue('good', 'IP:127.0.0.1')
    other = ca.issue('other', 'DNS:other.example')
  })
  afterAll(() => ca.remove())
  beforeEach(() => {
    distrust = ca.trusted()
  })
  afterEach(() => distrust())

  describe('Redis', () => {
    let server: Redis
    let admin: Client
    beforeAll(async () => {
      server = await startRedis({ tls: good })
    })
    afterAll(async () => {
      admin.disconnect()
      await server.stop()
    })
    beforeEach(async () => {
      admin ??= new Client(server.url)
      await admin.ping()
    })
    /** What it shows from its next connection on; those that stand are ended. */
    async function shows({ cert, key }: Certificate): Promise<void> {
      await admin.call('CONFIG', 'SET', 'tls-cert-file', cert, 'tls-key-file', key)
      await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    }
    const opened = () => redisStore(server.url, env)

    it('is refused in one line where its certificate is not trusted, or for another name', async () => {
      distrust()
      expect(await why(opened())).toMatch(UNTRUSTED)
      distrust = ca.trusted()
      await shows(other)
      expect(await why(opened())).toMatch(OTHER_NAME)
      await shows(good)
    })
    it('and without TLS', async () => {
      expect(await why(redisStore(server.url.replace('rediss:', 'redis:'), env))).toMatch(
        /^cannot use Redis at [\d.:]+: (ECONNRESET|EPIPE)$/,
      )
    })
    it('shows a bad certificate while it serves: refused with nothing done, and used again when it is right, unasked', async () => {
      const { state, link } = await opened()
      expect((await state.commit(scope, [count])).ok).toBe(true)
      await shows(other)
      await vi.waitUntil(() => link.trouble() !== undefined, SOON)
      await expect(state.commit(scope, [count])).rejects.toThrow(StateUnavailable)
      await shows(good)
      await vi.waitUntil(() => link.trouble() === undefined, SOON)
      expect((await state.commit(scope, [count])).ok).toBe(true)
      expect(await counted(state)).toBe(2)
      await state.close()
    })
  })

  it('a Redis Cluster by the names of its nodes; where it names addresses, the certificate must have them', async () => {
    const named = ca.issue('named', 'DNS:localhost')
    const node = await startRedis({
      tls: named,
      settings: [
        ...['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
        ...['--cluster-announce-hostname', 'localhost', '--cluster-preferred-endpoint-type', 'hostname'],
      ],
    })
    const url = node.url.replace('127.0.0.1', 'localhost')
    const admin = new Client(url)
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await vi.waitUntil(async () => String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok'), SOON)
    const { state, link } = await redisStore(url, env)
    expect(link.cluster).toBe(true)
    expect((await state.commit(scope, [count])).ok).toBe(true)
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await vi.waitUntil(() => link.trouble() !== undefined, SOON)
    await vi.waitUntil(() => link.trouble() === undefined, SOON)
    expect(await counted(state)).toBe(1)
    await state.close()
    await admin.call('CONFIG', 'SET', 'cluster-preferred-endpoint-type', 'ip')
    expect(await why(redisStore(url, env))).toMatch(OTHER_NAME)
    admin.disconnect()
    await node.stop()
  })

  describe('PostgreSQL', () => {
    let server: Postgres
    let shown: Certificate
    const warned: string[] = []
    const warn = (w: Error): void => void warned.push(w.message)
    beforeAll(async () => {
      process.on('warning', warn)
      shown = ca.issue('shown', 'IP:127.0.0.1')
      const settings = ['ssl=on', `ssl_cert_file=${shown.cert}`, `ssl_key_file=${shown.key}`]
      server = await startPostgres({ settings })
    })
    afterAll(async () => {
      process.off('warning', warn)
      await server.stop()
    })
    const at = (query: string): string => `${server.url}?${query}`
    const byFile = (mode: string): string => `sslmode=${mode}&sslrootcert=${encodeURIComponent(ca.file)}`
    /** What it shows from its next connection on; those over TLS that stand are ended. */
    async function shows({ cert, key }: Certificate): Promise<void> {
      copyFileSync(cert, shown.cert)
      copyFileSync(key, shown.key)
      const admin = new pg.Client({ connectionString: server.url })
      await admin.connect()
      await admin.query('SELECT pg_reload_conf()')
      await admin.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_ssl WHERE ssl')
      await admin.end()
    }

    it('is trusted by `sslrootcert`, or as the process trusts it, in each mode that checks', async () => {
      for (const mode of ['require', 'verify-ca', 'verify-full'])
        for (const query of [byFile(mode), `sslmode=${mode}`]) await (await openReal(at(query))).state.close()
      distrust()
      await (await openReal(at(byFile('verify-full')))).state.close()
      for (const mode of ['require', 'verify-ca', 'verify-full'])
        expect(await why(openReal(at(`sslmode=${mode}`)))).toMatch(UNTRUSTED)
      await (await openReal(at('sslmode=no-verify'))).state.close()
      expect(warned).toEqual([])
    })
    it('is refused in one line where its certificate is for another name, the file is not there, or it has no TLS', async () => {
      for (const mode of ['require', 'verify-full'])
        expect(await why(openReal(at(byFile(mode)).replace('127.0.0.1', 'localhost')))).toMatch(OTHER_NAME)
      expect(await why(openReal(at('sslmode=verify-full&sslrootcert=/not/there')))).toBe(
        "PostgreSQL is not reached: ENOENT: no such file or directory, open '/not/there'",
      )
      const plain = await startPostgres()
      expect(await why(openReal(`${plain.url}?sslmode=require`))).toBe(
        'PostgreSQL is not reached: The server does not support SSL connections',
      )
      await plain.stop()
    })
    it('shows a bad certificate while it serves: refused with nothing done, and used again when it is right, unasked', async () => {
      const url = at(byFile('verify-full'))
      const { state, trouble } = await openReal(url, { prefix: 'serving', listenUrl: url })
      expect((await state.commit(scope, [count])).ok).toBe(true)
      await shows(other)
      await expect(state.commit(scope, [count])).rejects.toThrow(OTHER_NAME)
      expect(trouble()).toMatch(OTHER_NAME)
      await expect(state.commit(scope, [count])).rejects.toThrow(StateUnavailable)
      await shows(good)
      await vi.waitUntil(() => trouble() === undefined, SOON)
      expect((await state.commit(scope, [count])).ok).toBe(true)
      expect(await counted(state)).toBe(2)
      await state.close()
    })
  })
})
