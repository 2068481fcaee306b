import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Certificate } from './certificates.ts'
import { fromDebian } from './debian.ts'
import { onFreePort } from './ports.ts'
import { type ServerProcess, serverProcess } from './process.ts'

/** A Redis of its own, as durable as asked for: tests and figures of a store that may forget say nothing. */
export interface Redis extends ServerProcess {
  /** With its password. */
  readonly url: string
  readonly port: number
  /** Where it lives; gone once it has stopped. */
  readonly folder: string
}
export interface RedisOptions {
  readonly appendfsync?: 'always' | 'everysec' | 'no'
  /** Further settings, as on its command line: `['--maxmemory', '4mb']`. */
  readonly settings?: readonly string[]
  /** It speaks TLS alone, with this certificate; the address is then `rediss://`. */
  readonly tls?: Certificate
  /** The processor core it is pinned to. */
  readonly core?: number
}

const debian = fromDebian({
  name: 'redis-server',
  at: 'usr/bin/redis-server',
  needs: ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1'],
  perhaps: ['libatomic1', 'libssl3', 'libssl3t64', 'libsystemd0'],
})
/** Whether tests that need one of their own must be skipped. */
export const withoutRedis = debian.without

const READY_MS = 60_000

/** The server at TEST_REDIS_URL where there is one, as it is and left as it is: for tests that ask nothing of its settings and keep to keys of their own. */
export async function someRedis(): Promise<Pick<Redis, 'url' | 'stop'>> {
  const url = process.env['TEST_REDIS_URL']
  return url === undefined ? await startRedis() : { url, stop: async () => {} }
}

/** Ready within a second. */
export const startRedis = (opts: RedisOptions = {}): Promise<Redis> => onFreePort((port) => startOn(port, opts))

async function startOn(port: number, opts: RedisOptions): Promise<Redis> {
  const binary = debian.program()
  if (binary === undefined) throw new Error('there is no redis-server')
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-redis-'))
  const password = randomBytes(16).toString('hex')
  const args = [
    ...(opts.tls === undefined ? ['--port', String(port)] : overTls(port, opts.tls)),
    ...['--bind', '127.0.0.1', '--dir', folder, '--pidfile', join(folder, 'pid')],
    ...['--requirepass', password, '--save', '', '--appendonly', 'yes'],
    ...['--appendfsync', opts.appendfsync ?? 'everysec', ...(opts.settings ?? [])],
  ]
  const server = serverProcess({
    name: 'redis-server',
    folder,
    command: [binary.path, ...args],
    env: binary.env,
    pidFile: 'pid',
    ready: /Ready to accept connections/,
    readyMs: READY_MS,
    kill: 'SIGKILL',
    core: opts.core,
  })
  try {
    await server.again()
  } catch (e) {
    await server.stop()
    throw e
  }
  return {
    ...server,
    url: `${opts.tls === undefined ? 'redis' : 'rediss'}://:${password}@127.0.0.1:${port}`,
    port,
    folder,
  }
}

const overTls = (port: number, { cert, key }: Certificate): readonly string[] => [
  ...['--port', '0', '--tls-port', String(port), '--tls-cluster', 'yes', '--tls-auth-clients', 'no'],
  ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert],
]
