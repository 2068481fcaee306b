import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startPostgres, withoutPostgres } from '../servers/postgres.ts'
import { startRedis, withoutRedis } from '../servers/redis.ts'
import { listening } from './gateway.ts'
import { root, start, until } from './run.ts'

/** The commands of examples/backends as they stand there, but for the ports, on stores of the test's own. */

const readme = readFileSync(join(root, 'examples/backends/README.md'), 'utf8')
const [command = ''] = /npm run signalbox -- serve -c examples\/backends\/postgres\.toml/.exec(readme) ?? []

async function serves(file: string, env: { readonly [name: string]: string }): Promise<void> {
  const [npm, ...words] = command.replace('postgres.toml', file).split(' ')
  const open = () => listening(start([...words, '--port', '0'], { cwd: root, command: npm!, env }))
  const two = [await open(), await open()]
  for (const gateway of two)
    expect(await gateway.dispatch({ action_type: 'greeting' })).toMatchObject({
      status: 200,
      body: { outcome: 'executed', provider: 'log', rule: 'allow-the-rest' },
    })
  for (const gateway of two) expect(await gateway.stop()).toBe(0)
}
async function postgres(): Promise<{ readonly [name: string]: string }> {
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  return { DATABASE_URL: server.url }
}

test.skipIf(withoutPostgres())('postgres.toml', async () => {
  await serves('postgres.toml', await postgres())
})
test.skipIf(withoutPostgres() || withoutRedis())('redis.toml', async () => {
  const redis = await startRedis({ appendfsync: 'everysec' })
  onTestFinished(() => redis.stop())
  await serves('redis.toml', { ...(await postgres()), REDIS_URL: redis.url })
})
test('dynamodb.toml', async () => {
  const local = start(['run', 'local-aws'], { cwd: root, command: 'npm', env: { PORT: '0' } })
  const url = await until(() => /listening on (\S+)/i.exec(local.stdout)?.[1], 'local AWS', 60_000)
  await serves('dynamodb.toml', { AWS_ENDPOINT_URL: url.startsWith('http') ? url : `http://${url}` })
})
