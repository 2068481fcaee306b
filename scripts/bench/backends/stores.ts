import { join } from 'node:path'
import { startRedis } from '../../../test/servers/redis.ts'
import { LOAD_CORE } from '../bench.ts'
import { withPostgres } from '../chains/postgres.ts'
import { start } from '../process.ts'

/** A store to be measured: a server on the core the gateway does not have, as it would be on a machine of its own. */
export interface Store {
  /** What a gateway on it is told: `[state]` and `[audit]`. */
  readonly settings: string
  /** Of the bare loop on the same server. */
  readonly floor: { readonly kind: 'redis' | 'postgres' | 'dynamodb'; readonly url: string }
  /** Version and what says how durable it is. */
  readonly about: string
}
type Use<T> = (store: Store) => Promise<T>

/** `log`: the file servers write to. */
export const stores: { readonly [name: string]: <T>(log: number, use: Use<T>) => Promise<T> } = {
  async redis(_log, use) {
    // The child that rewrites its log has a core of its own elsewhere; here it would have a third of the load's, now and then.
    const settings = ['--auto-aof-rewrite-percentage', '0']
    const redis = await startRedis({ core: LOAD_CORE, appendfsync: 'everysec', settings })
    try {
      return await use({
        settings: `[state]\nbackend = "redis"\nurl = "${redis.url}"\n\n[audit]\nbackend = "sqlite"\nper_node = true\npath = "data/audit.db"\n`,
        floor: { kind: 'redis', url: redis.url },
        about:
          'Redis: appendonly yes, appendfsync everysec, its log not rewritten meanwhile; the audit in a SQLite file beside the gateway',
      })
    } finally {
      await redis.stop()
    }
  },
  postgres: (_log, use) =>
    withPostgres(LOAD_CORE, ({ url, settings }) =>
      use({
        settings: `[state]\nbackend = "postgres"\nurl = "${url}"\n`,
        floor: { kind: 'postgres', url },
        about: settings,
      }),
    ),
  async dynamodb(log, use) {
    const main = join(import.meta.dirname, '../../local-aws/main.ts')
    const aws = await start([main], { core: LOAD_CORE, log, env: { PORT: '0' }, ready: /listening on \S*:(\d+)/i })
    const url = `http://127.0.0.1:${aws.port}`
    try {
      return await use({
        settings: `[state]\nbackend = "dynamodb"\nurl = "${url}"\nregion = "us-east-1"\nprefix = "bench"\n\n[audit]\nbackend = "dynamodb"\nurl = "${url}"\nregion = "us-east-1"\nprefix = "bench"\n`,
        floor: { kind: 'dynamodb', url },
        about:
          'DynamoDB: the local stand-in, in memory; its figures are its own, and say only how many requests are made',
      })
    } finally {
      await aws.stop()
    }
  },
}
