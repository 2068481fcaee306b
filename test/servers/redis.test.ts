import { existsSync } from 'node:fs'
import { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { goesWithItsStarter } from './kept.ts'
import { type Redis, startRedis, withoutRedis } from './redis.ts'

describe.skipIf(withoutRedis())('a Redis of its own', () => {
  let server: Redis
  beforeAll(async () => {
    server = await startRedis({ appendfsync: 'always', settings: ['--maxmemory', '64mb'] })
  })
  afterAll(() => server.stop())

  async function ask(url: string, name: string, ...args: readonly string[]): Promise<unknown> {
    const client = new Client(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 })
    let last: Error | undefined
    client.on('error', (e: Error) => {
      last = e
    })
    try {
      await client.connect()
      return await client.call(name, ...args)
    } catch (e) {
      throw last ?? e
    } finally {
      client.disconnect()
    }
  }

  it('is as durable as asked for', async () => {
    expect(await ask(server.url, 'config', 'get', 'appendonly')).toMatchObject(['appendonly', 'yes'])
    expect(await ask(server.url, 'config', 'get', 'appendfsync')).toMatchObject(['appendfsync', 'always'])
    expect(await ask(server.url, 'config', 'get', 'maxmemory')).toMatchObject(['maxmemory', String(64 * 2 ** 20)])
  })
  it('lets nobody in without its password', async () => {
    await expect(ask(server.url.replace(/:[0-9a-f]+@/, ':wrong@'), 'get', 'a')).rejects.toThrow('WRONGPASS')
  })
  it('comes back on its port with what it has answered, killed or not', async () => {
    await ask(server.url, 'set', 'a', '1')
    await server.kill()
    await expect(ask(server.url, 'get', 'a')).rejects.toThrow(/ECONN(REFUSED|RESET)/)
    await server.again()
    expect(await ask(server.url, 'get', 'a')).toBe('1')
  })
  it('stands beside another one, which leaves nothing behind when it stops', async () => {
    const other = await startRedis()
    expect(await ask(other.url, 'get', 'a')).toBeNull()
    await other.stop()
    expect(existsSync(other.folder)).toBe(false)
    await expect(ask(other.url, 'get', 'a')).rejects.toThrow(/ECONN(REFUSED|RESET)/)
  })
  it('goes with whoever started it, killed or not', () =>
    goesWithItsStarter('redis.ts', 'startRedis', async (url) => expect(await ask(url, 'ping')).toBe('PONG')))
})
