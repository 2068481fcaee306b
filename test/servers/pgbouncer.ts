import { chmodSync, chownSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { fromDebian } from './debian.ts'
import { onFreePort } from './ports.ts'
import { NOBODY, type ServerProcess, serverProcess } from './process.ts'

/** A PgBouncer in transaction mode, before a PostgreSQL of the tests. */
export interface PgBouncer extends ServerProcess {
  /** The server's address, through it. */
  readonly url: string
  /** A command of its console: `PAUSE`, `SHOW POOLS`, `SET query_wait_timeout = 1`. */
  tell(command: string): Promise<readonly Record<string, unknown>[]>
}

const debian = fromDebian({
  name: 'pgbouncer',
  at: 'usr/sbin/pgbouncer',
  needs: ['pgbouncer', 'libc-ares2'],
  perhaps: ['libevent-2.1-7', 'libevent-2.1-7t64', 'libssl3', 'libssl3t64', 'libsystemd0', 'libpam0g', 'libpam0t64'],
})
/** Whether tests that need one must be skipped. */
export const withoutPgBouncer = debian.without

/** `settings` stand over its own defaults: `['query_wait_timeout = 1']`. Ready at once: it looks for the server when it is asked for it. */
export const startPgBouncer = (server: string, settings: readonly string[] = []): Promise<PgBouncer> =>
  onFreePort((port) => startOn(port, new URL(server), settings))

async function startOn(port: number, behind: URL, settings: readonly string[]): Promise<PgBouncer> {
  const binary = debian.program()
  if (binary === undefined) throw new Error('there is no pgbouncer')
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-pgbouncer-'))
  const write = (name: string, text: string): void => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    if (NOBODY) chownSync(join(folder, name), NOBODY.uid, NOBODY.gid)
  }
  chmodSync(folder, 0o755)
  if (NOBODY) chownSync(folder, NOBODY.uid, NOBODY.gid)
  write('users', `"${behind.username}" "${behind.password}"\n`)
  write(
    'ini',
    `[databases]
* = host=${behind.hostname} port=${behind.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
pidfile = ${join(folder, 'pid')}
auth_type = scram-sha-256
auth_file = ${join(folder, 'users')}
admin_users = ${behind.username}
pool_mode = transaction
${settings.join('\n')}
`,
  )
  const server = serverProcess({
    name: 'pgbouncer',
    folder,
    command: [binary.path, join(folder, 'ini')],
    env: binary.env,
    pidFile: 'pid',
    ready: /process up: PgBouncer/,
    readyMs: 60_000,
    kill: 'SIGKILL',
    as: NOBODY,
  })
  try {
    await server.again()
  } catch (e) {
    await server.stop()
    throw e
  }
  const address = new URL(behind)
  address.port = String(port)
  const console = new URL(address)
  console.pathname = '/pgbouncer'
  return {
    ...server,
    url: address.href,
    async tell(command) {
      const client = new pg.Client({ connectionString: console.href })
      // It may be told to end.
      client.on('error', () => {})
      await client.connect()
      try {
        return (await client.query<Record<string, unknown>>(command)).rows
      } finally {
        await client.end()
      }
    },
  }
}
