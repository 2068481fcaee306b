import { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { StateUnavailable } from '../../src/core/errors.ts'
import { seededRandom } from '../../src/core/ids.ts'
import { failed, refusalCode, StateFull } from '../../src/state/redis/failure.ts'
import { openLink } from '../../src/state/redis/link.ts'
import { type Durability, unfit } from '../../src/state/redis/server.ts'
import { startProxy } from '../servers/proxy.ts'
import { type Redis, startRedis, withoutRedis } from '../servers/redis.ts'

const open = (url: string, durability: Durability = 'everysec') =>
  openLink({ url, durability, clock: systemClock(), random: seededRandom(1), commandTimeoutMs: 500 })
const refusal = async (url: string, durability?: Durability): Promise<string> => {
  const e = await open(url, durability).then(
    (link) => link.close(),
    (e: unknown) => e,
  )
  expect(e).toBeInstanceOf(StateUnavailable)
  const { message } = e as Error
  expect(message).not.toContain('\n')
  expect(message).not.toContain(new URL(url).password || 'no password')
  return message
}

describe('an address that is none', () => {
  it.each(['', 'localhost:6379', 'http://127.0.0.1', 'redis://'])('%s', async (url) => {
    await expect(open(url)).rejects.toThrow(
      '[state].url is no address of a Redis: redis://[user:password@]host[:port][/database]',
    )
  })
})

describe.skipIf(withoutRedis())('a Redis that may not keep state says why, in one line', () => {
  let server: Redis
  let admin: Client
  let at: string
  beforeAll(async () => {
    server = await startRedis()
    admin = new Client(server.url)
    at = `cannot use Redis at 127.0.0.1:${server.port}: `
  })
  afterAll(async () => {
    admin.disconnect()
    await server.stop()
  })

  it('is fit as it is', async () => {
    const link = await open(server.url)
    expect(link.trouble()).toBeUndefined()
    link.close()
  })
  it('wrong password, and none', async () => {
    expect(await refusal(server.url.replace(/:[0-9a-f]+@/, ':wrong@'))).toBe(`${at}it refuses the password`)
    expect(await refusal(server.url.replace(/:[0-9a-f]+@/, ''))).toBe(`${at}it refuses the password`)
  })
  it('nobody there', async () => {
    const other = await startRedis()
    await other.stop()
    expect(await refusal(other.url)).toBe(`cannot use Redis at 127.0.0.1:${other.port}: ECONNREFUSED`)
  })
  it('somebody there who says nothing', async () => {
    const proxy = await startProxy({ port: server.port })
    proxy.blackHole()
    expect(await refusal(proxy.url(server.url))).toBe(`cannot use Redis at 127.0.0.1:${proxy.port}: it does not answer`)
    await proxy.close()
  })
  it('PITFALLS 73: an eviction policy', async () => {
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const why = 'the maxmemory-policy of Redis is allkeys-lru, which would delete held actions: set it to noeviction'
    expect(await refusal(server.url)).toBe(at + why)
    expect(await refusal(server.url, 'managed')).toBe(at + why)
    await admin.config('SET', 'maxmemory-policy', 'noeviction')
  })
  it('PITFALLS 76: another durability than the settings say', async () => {
    expect(await refusal(server.url, 'always')).toBe(
      `${at}[state].durability is "always", but this Redis keeps "everysec" (appendonly yes, appendfsync everysec)`,
    )
    await admin.config('SET', 'appendonly', 'no')
    expect(await refusal(server.url)).toBe(
      `${at}[state].durability is "everysec", but this Redis keeps "none" (appendonly no, appendfsync everysec)`,
    )
    const link = await open(server.url, 'none')
    link.close()
    await admin.config('SET', 'appendonly', 'yes')
  })
  it('PITFALLS 76: always, but not while it rewrites its file', async () => {
    await admin.config('SET', 'appendfsync', 'always')
    await admin.config('SET', 'no-appendfsync-on-rewrite', 'yes')
    expect(await refusal(server.url, 'always')).toBe(
      `${at}[state].durability is "always", but this Redis keeps less while it rewrites its file (no-appendfsync-on-rewrite yes)`,
    )
    await admin.config('SET', 'no-appendfsync-on-rewrite', 'no')
    const link = await open(server.url, 'always')
    link.close()
    await admin.config('SET', 'appendfsync', 'everysec')
  })
  it('one that does not tell its settings is taken with "managed" alone', async () => {
    await admin.call('ACL', 'SETUSER', 'guest', 'on', '>secret', '~*', '+@all', '-config')
    const url = server.url.replace(/:[0-9a-f]+@/, 'guest:secret@')
    expect(await refusal(url)).toBe(
      `${at}it does not tell how durable it is (CONFIG is refused): set [state].durability to "managed" if its operator answers for it`,
    )
    const link = await open(url, 'managed')
    link.close()
  })
  it('a user who may not run scripts', async () => {
    await admin.call('ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', '+@all', '-@scripting')
    expect(await refusal(server.url.replace(/:[0-9a-f]+@/, 'reader:secret@'))).toBe(
      `${at}it does not permit this user what the store needs`,
    )
  })
  it('a replica', async () => {
    const password = new URL(server.url).password
    const settings = ['--replicaof', '127.0.0.1', String(server.port), '--masterauth', password]
    const replica = await startRedis({ settings })
    expect(await refusal(replica.url)).toBe(
      `cannot use Redis at 127.0.0.1:${replica.port}: it is a replica: name its primary`,
    )
    await replica.stop()
  })
  it('an old one', () => {
    const config = new Map([
      ['appendonly', 'yes'],
      ['appendfsync', 'everysec'],
    ])
    const of = (version: string) => unfit({ info: `redis_version:${version}\r\nrole:master\r\n`, config }, 'everysec')
    expect(of('6.0.16')).toBe('version 6.0.16 is too old: 6.2 or later is needed')
    expect(of('5.0.7')).toBe('version 5.0.7 is too old: 6.2 or later is needed')
    expect([of('6.2.0'), of('7.0.15'), of('10.0.1')]).toEqual([undefined, undefined, undefined])
  })
})

it.each([
  ['OOM', "-OOM command not allowed when used memory > 'maxmemory'.", StateFull],
  ['READONLY', "-READONLY You can't write against a read only replica.", StateUnavailable],
  ['MISCONF', '-MISCONF Redis is configured to save RDB snapshots, but it is currently not able to', StateUnavailable],
])('%s from inside a script is understood as Redis 6.2 says it, and as 7.0 does', (code, said, kind) => {
  const script = 'f_6b1bf486c81ceb7edf3c093f4c48582e38c0e791'
  for (const message of [
    `ERR Error running script (call to ${script}): @user_script:9: @user_script: 9: ${said}`,
    `${said.slice(1)} script: ${script}, on @user_script:9.`,
  ]) {
    const e = Object.assign(new Error(message), { name: 'ReplyError' })
    expect(refusalCode(e)).toBe(code)
    expect(failed(e)).toBeInstanceOf(kind)
  }
})
