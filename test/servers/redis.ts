import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onFreePort } from './ports.ts'

/**
 * A Redis of its own, as durable as asked for: tests and figures of a store that may forget say nothing. Taken from the PATH, or
 * from the packages of a Debian or Ubuntu, unpacked beside the other temporary files: nothing is installed.
 */
export interface Redis {
  /** With its password. */
  readonly url: string
  readonly port: number
  /** Where it lives; gone once it has stopped. */
  readonly folder: string
  /** As a power cut of the process would end it (SIGKILL). */
  kill(): Promise<void>
  /** Starts it again on its port, with what is on disk. */
  again(): Promise<void>
  /** Stops it in its tracks (SIGSTOP), or lets it go on. */
  freeze(frozen: boolean): void
  stop(): Promise<void>
}
export interface RedisOptions {
  readonly appendfsync?: 'always' | 'everysec' | 'no'
  /** Further settings, as on its command line: `['--maxmemory', '4mb']`. */
  readonly settings?: readonly string[]
  /** The processor core it is pinned to. */
  readonly core?: number
}

interface Program {
  readonly path: string
  readonly env: NodeJS.ProcessEnv
}

const CACHE = join(tmpdir(), `signalbox-redis-${process.arch}-${process.getuid?.() ?? 0}`)
const NEEDED = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1']
/** Mostly there already, and named differently from one release to the next. */
const PERHAPS = ['libatomic1', 'libssl3', 'libssl3t64', 'libsystemd0']

let looked = false
let found: Program | undefined
function program(): Program | undefined {
  if (!looked) found = onPath() ?? unpacked(CACHE) ?? download()
  looked = true
  return found
}
const runs = (p: Program): boolean => spawnSync(p.path, ['--version'], { env: p.env }).status === 0

function onPath(): Program | undefined {
  const here = { path: 'redis-server', env: process.env }
  return runs(here) ? here : undefined
}
function unpacked(folder: string): Program | undefined {
  const path = join(folder, 'usr/bin/redis-server')
  if (!existsSync(path)) return undefined
  const libraries = ['usr/lib', 'lib']
    .map((d) => join(folder, d))
    .filter((d) => existsSync(d))
    .flatMap((d) => readdirSync(d).map((name) => join(d, name)))
  const here = { path, env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') } }
  return runs(here) ? here : undefined
}

/** As an ordinary user. Several at once do not meet: each unpacks in a folder of its own, and the first to be done gives it its name. */
function download(): Program | undefined {
  if (process.platform !== 'linux' || spawnSync('apt-get', ['--version']).status !== 0) return undefined
  const own = mkdtempSync(join(tmpdir(), 'signalbox-redis-'))
  try {
    const lists = join(own, 'lists')
    const archives = join(own, 'archives')
    const apt = (args: readonly string[]): boolean =>
      spawnSync('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', '-o', `Dir::Cache=${own}/cache`, ...args], {
        cwd: archives,
      }).status === 0
    for (const d of [join(lists, 'partial'), archives, join(own, 'cache/archives/partial'), join(own, 'root')])
      mkdirSync(d, { recursive: true })
    const ownLists = ['-o', `Dir::State::lists=${lists}`]
    const from = apt(['download', ...NEEDED]) ? [] : ownLists
    if (from === ownLists && !(apt([...from, 'update']) && apt([...from, 'download', ...NEEDED]))) return undefined
    const unpack = (): Program | undefined => {
      for (const deb of readdirSync(archives)) spawnSync('dpkg', ['-x', join(archives, deb), join(own, 'root')])
      return unpacked(join(own, 'root'))
    }
    if (unpack() === undefined) {
      for (const name of PERHAPS) apt([...from, 'download', name])
      if (unpack() === undefined) return undefined
    }
    try {
      renameSync(join(own, 'root'), CACHE)
    } catch {
      // Another one was faster, and what lies there is as good.
    }
    return unpacked(CACHE)
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

/** Whether tests that need one of their own must be skipped: said aloud on one's own machine, a failure where a change is judged. */
export function withoutRedis(): boolean {
  if (program() !== undefined) return false
  const why = 'no redis-server on the PATH or from apt-get: its tests are skipped'
  if (process.env['CI']) throw new Error(why)
  process.stderr.write(`${why}\n`)
  return true
}

const READY_MS = 20_000

/** Ends the server and removes its folder when its standard input ends: so both go also when whoever started them was killed. */
const KEEPER = `trap '' INT
read -r _
pid=$(cat "$FOLDER/pid" 2>/dev/null) && kill -9 "$pid" 2>/dev/null
cd / && rm -rf "$FOLDER"`

/** The server at TEST_REDIS_URL where there is one, as it is and left as it is: for tests that ask nothing of its settings and keep to keys of their own. */
export async function someRedis(): Promise<Pick<Redis, 'url' | 'stop'>> {
  const url = process.env['TEST_REDIS_URL']
  return url === undefined ? await startRedis() : { url, stop: async () => {} }
}

/** Ready within a second. */
export const startRedis = (opts: RedisOptions = {}): Promise<Redis> => onFreePort((port) => startOn(port, opts))

async function startOn(port: number, opts: RedisOptions): Promise<Redis> {
  const binary = program()
  if (binary === undefined) throw new Error('there is no redis-server')
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-redis-'))
  const keeper = spawn('sh', ['-c', KEEPER], {
    env: { ...process.env, FOLDER: folder },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const left = new Promise<void>((resolve) => keeper.once('exit', () => resolve()))
  const password = randomBytes(16).toString('hex')
  const args = [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--pidfile', join(folder, 'pid')],
    ...['--requirepass', password, '--save', '', '--appendonly', 'yes'],
    ...['--appendfsync', opts.appendfsync ?? 'everysec', ...(opts.settings ?? [])],
  ]
  const command = [...(opts.core === undefined ? [] : ['taskset', '-c', String(opts.core)]), binary.path, ...args]
  let server: ChildProcess | undefined
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = server
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const ended = new Promise<void>((resolve) => running.once('exit', () => resolve()))
    running.kill(signal)
    await ended
  }
  const stop = async (): Promise<void> => {
    await end('SIGKILL')
    keeper.stdin.end()
    await left
  }
  const again = async (): Promise<void> => {
    server = spawn(command[0]!, command.slice(1), { env: binary.env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    await ready(server)
  }
  try {
    await again()
  } catch (e) {
    await stop()
    throw e
  }
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    port,
    folder,
    kill: () => end('SIGKILL'),
    again,
    freeze: (frozen) => void server?.kill(frozen ? 'SIGSTOP' : 'SIGCONT'),
    stop,
  }
}

function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    const late = setTimeout(() => {
      server.kill('SIGKILL')
      said += `\nit was not ready within ${READY_MS / 1000} s`
    }, READY_MS)
    server.once('error', reject)
    server.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`redis-server ended with ${code}: ${said}`))
    })
    // Read on to the end: a pipe nobody empties would stop the server.
    for (const stream of [server.stdout, server.stderr])
      stream?.on('data', (d) => {
        if (said.length < 10_000) said += d
        if (!said.includes('Ready to accept connections')) return
        clearTimeout(late)
        resolve()
      })
  })
}
