import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'

/** The process of a server that has a folder of its own. */
export interface ServerProcess {
  /** Starts it, again too: on its port, with what is on disk. Resolves when it is ready. */
  again(): Promise<void>
  /** Ends it at once, as a crash would, and waits until it has ended. What has ended already has. */
  kill(): Promise<void>
  /** Resolves when it has ended, whoever ended it. */
  ended(): Promise<void>
  /** Stops it in its tracks (SIGSTOP), or lets it go on. */
  freeze(frozen: boolean): void
  /** Ends it, and its folder is gone. */
  stop(): Promise<void>
}
export interface ServerOptions {
  readonly name: string
  readonly folder: string
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** The file in the folder whose first line is its process's id. */
  readonly pidFile: string
  /** What it says when it is ready. */
  readonly ready: RegExp
  readonly readyMs: number
  /** What ends it at once. A server of several processes may need another one than SIGKILL, to end them all. */
  readonly kill: NodeJS.Signals
  /** Whom it runs as, where it refuses to as root. */
  readonly as?: { readonly uid: number; readonly gid: number } | undefined
  /** The processor core it is pinned to, with all its processes. */
  readonly core?: number | undefined
}

/**
 * Ends the server and removes its folder when its standard input ends: so both go also when whoever started them was killed. It ignores
 * what ends a whole group of processes (an interrupt of a terminal, a time that is up), so that it is there to clean up after it. A
 * server that has ended stays a process (a zombie) where nobody is left to ask how it ended.
 */
const KEEPER = `trap '' INT TERM HUP
read -r _
read -r pid 2>/dev/null <"$FOLDER/$PID_FILE" && kill "-$KILL" "$pid" 2>/dev/null &&
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$pid" 2>/dev/null && ! grep -q 'State:.Z' "/proc/$pid/status" 2>/dev/null && sleep 0.1
  done
cd / && rm -rf "$FOLDER"`

/** It has not been started yet; its folder goes in any case. */
export function serverProcess(opts: ServerOptions): ServerProcess {
  const { name, folder, env, as, core } = opts
  const keeper = spawn('sh', ['-c', KEEPER], {
    env: { ...process.env, FOLDER: folder, PID_FILE: opts.pidFile, KILL: opts.kill.replace('SIG', '') },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const left = new Promise<void>((resolve) => keeper.once('exit', () => resolve()))
  const [file, ...args] = [...(core === undefined ? [] : ['taskset', '-c', String(core)]), ...opts.command]
  let server: ChildProcess | undefined
  let end = Promise.resolve()

  const kill = (): Promise<void> => {
    server?.kill(opts.kill)
    return end
  }
  return {
    async again() {
      const started = spawn(file!, args, { ...as, cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
      server = started
      end = new Promise((resolve) => {
        started.once('exit', () => resolve())
        started.once('error', () => resolve())
      })
      await ready(started, opts)
    },
    kill,
    ended: () => end,
    freeze: (frozen) => void server?.kill(frozen ? 'SIGSTOP' : 'SIGCONT'),
    async stop() {
      await kill()
      // What it says is nobody any more, or somebody else.
      rmSync(join(folder, opts.pidFile), { force: true })
      keeper.stdin.end()
      await left
    },
  }

  function ready(started: ChildProcess, { ready: line, readyMs }: ServerOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      let said = ''
      const late = setTimeout(() => {
        started.kill(opts.kill)
        said += `\nit was not ready within ${readyMs / 1000} s`
      }, readyMs)
      started.once('error', reject)
      // `close`, not `exit`: all that it said has been read by then.
      started.once('close', (code, signal) => {
        clearTimeout(late)
        reject(new Error(`${name} ended with ${code ?? signal}: ${said}`))
      })
      // Read on to the end: a pipe nobody empties would stop the server.
      for (const stream of [started.stdout, started.stderr])
        stream?.on('data', (d) => {
          if (said.length < 10_000) said += d
          if (!line.test(said)) return
          clearTimeout(late)
          resolve()
        })
    })
  }
}

/** Whom a server runs as that refuses to be run by root; undefined: as we do. */
export const NOBODY = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined
