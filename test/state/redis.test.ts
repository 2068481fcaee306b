import { afterAll, beforeAll, describe } from 'vitest'
import { stateContract } from '../contract/state.contract.ts'
import { type Redis, someRedis, withoutRedis } from '../servers/redis.ts'
import { redisStore } from './redis-store.ts'

describe.skipIf(process.env['TEST_REDIS_URL'] === undefined && withoutRedis())('redis', () => {
  let server: Pick<Redis, 'url' | 'stop'>
  beforeAll(async () => {
    server = await someRedis()
  })
  afterAll(() => server.stop())

  stateContract('redis', async (env) => (await redisStore(server.url, env, { durability: 'managed' })).state)
})
