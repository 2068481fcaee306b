import { expect, onTestFinished, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { authority } from '../servers/certificates.ts'
import { startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { startRedis, withoutRedis } from '../servers/redis.ts'
import { serve } from './gateway.ts'
import { place } from './place.ts'
import { run, until } from './run.ts'

test.skipIf(withoutRedis() || withoutPostgres())(
  'an authority of one’s own, named by NODE_EXTRA_CA_CERTS: state on Redis and audit on PostgreSQL over TLS; without it one line, and no start',
  async () => {
    const ca = authority()
    onTestFinished(() => ca.remove())
    const { cert, key } = ca.issue('good', 'IP:127.0.0.1')
    const [redis, postgres] = await Promise.all([
      startRedis({ tls: { cert, key } }),
      startPostgres({ settings: ['ssl=on', `ssl_cert_file=${cert}`, `ssl_key_file=${key}`] }),
    ])
    onTestFinished(() => redis.stop())
    onTestFinished(() => postgres.stop())
    const at = place({
      'gateway.toml': `
[state]
backend = "redis"
url = "${redis.url}"
[audit]
backend = "postgres"
url = "${postgres.url}?sslmode=verify-full"
[[providers]]
name = "out"
type = "log"
[rules]
default_provider = "out"
`,
    })
    const refused = await run(['serve', '--port', '0'], { cwd: at.folder })
    expect(refused.code).toBe(1)
    expect(refused.stderr.trim().split('\n')).toEqual([
      expect.stringContaining(`cannot use Redis at 127.0.0.1:${redis.port}: unable to verify the first certificate`),
    ])
    const gateway = await serve(at, undefined, { env: { NODE_EXTRA_CA_CERTS: ca.file } })
    const told = await gateway.dispatch({ id: 'one', action_type: 'x', payload: {} })
    expect([told.status, told.body['outcome']]).toEqual([200, 'executed'])
    const records = async () => (await gateway.ask('GET', '/v1/audit')).body['records'] as readonly JsonObject[]
    await until(async () => (await records()).some((r) => r['action_id'] === 'one'), 'its record')
    expect(await gateway.stop()).toBe(0)
  },
)
