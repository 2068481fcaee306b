import { describe } from 'vitest'
import { startRedis, withoutRedis } from '../../servers/redis.ts'
import { prove } from './prove.ts'
import type { OpenShared } from './store.ts'
import { told } from './told.ts'

const open: OpenShared = async (atEnd) => {
  const redis = await startRedis({ appendfsync: 'everysec' })
  atEnd(() => redis.stop())
  return {
    port: redis.port,
    settings: (port) =>
      `[state]\nbackend = "redis"\nurl = "${redis.url.replace(`:${redis.port}`, `:${port}`)}"\n\n[audit]\nbackend = "sqlite"\nper_node = true\n`,
    auditEach: true,
  }
}

describe.skipIf(withoutRedis())('several gateways', () => {
  told('Redis', open)
  prove('Redis', open)
})
