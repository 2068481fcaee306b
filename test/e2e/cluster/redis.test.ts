import { describe } from 'vitest'
import { startPostgres, withoutPostgres } from '../../servers/postgres.ts'
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
    trail: 'by_gateway',
  }
}

/** One audit for all, as the example has it: Redis keeps none. */
const openWithAudit: OpenShared = async (atEnd) => {
  const [redis, postgres] = await Promise.all([startRedis({ appendfsync: 'everysec' }), startPostgres()])
  atEnd(() => redis.stop())
  atEnd(() => postgres.stop())
  return {
    port: redis.port,
    settings: (port) =>
      `[state]\nbackend = "redis"\nurl = "${redis.url.replace(`:${redis.port}`, `:${port}`)}"\n\n[audit]\nbackend = "postgres"\nurl = "${postgres.url}"\n`,
    trail: 'carried',
  }
}

describe.skipIf(withoutRedis() || withoutPostgres())('several gateways', () => {
  told('Redis', openWithAudit)
  prove('Redis', open)
})
