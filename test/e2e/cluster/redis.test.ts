import { describe } from 'vitest'
import { startRedis, withoutRedis } from '../../servers/redis.ts'
import { prove } from './prove.ts'

describe.skipIf(withoutRedis())('several gateways', () => {
  prove('Redis', async (atEnd) => {
    const redis = await startRedis({ appendfsync: 'everysec' })
    atEnd(() => redis.stop())
    return {
      port: redis.port,
      settings: (port) =>
        `[state]\nbackend = "redis"\nurl = "${redis.url.replace(`:${redis.port}`, `:${port}`)}"\n\n[audit]\nbackend = "sqlite"\nper_node = true\n`,
    }
  })
})
