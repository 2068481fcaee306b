import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, vi } from 'vitest'
import { type ScriptName, scripts } from '../../src/state/redis/lua/index.ts'
import type { Lost } from '../contract/state/subject.ts'
import { stateContract } from '../contract/state.contract.ts'
import { SOON } from '../fakes/soon.ts'
import { startProxy, type TcpProxy } from '../servers/proxy.ts'
import { type Redis, someRedis, withoutRedis } from '../servers/redis.ts'
import { redisStore } from './redis-store.ts'

const runs = (data: Buffer, ...names: ScriptName[]): boolean =>
  names.some((name) => data.includes(createHash('sha1').update(scripts[name]).digest('hex')))
/** What a call looks like on the wire. */
const onWire: { readonly [call in Lost]: (data: Buffer) => boolean } = {
  commit: (data) => runs(data, 'commit'),
  claim: (data) => runs(data, 'claim'),
  read: (data) => data.includes('mget') || runs(data, 'list', 'scopes', 'peek', 'nextDue', 'depths'),
}

describe.skipIf(process.env['TEST_REDIS_URL'] === undefined && withoutRedis())('redis', () => {
  let server: Pick<Redis, 'url' | 'stop'>
  let proxy: TcpProxy
  beforeAll(async () => {
    server = await someRedis()
    const { hostname, port } = new URL(server.url)
    proxy = await startProxy({ host: hostname, port: Number(port || 6379) })
  })
  afterAll(async () => {
    await proxy.close()
    await server.stop()
  })

  stateContract('redis', async (env) => {
    const { state, link } = await redisStore(proxy.url(server.url), env, { durability: 'managed' })
    async function lose(call: Lost): Promise<void> {
      await proxy.loseReply({ request: onWire[call] })
      // Its one connection is lost with the answer.
      await vi.waitUntil(() => link.trouble() !== undefined, SOON)
      await vi.waitUntil(() => link.trouble() === undefined, SOON)
    }
    return { state, lose }
  })
})
