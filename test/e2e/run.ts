import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AtEnd } from './place.ts'

/** Real processes of the gateway, each ended with its test, by its own id. */

export const root = resolve(import.meta.dirname, '..', '..')
export const entry = join(root, 'src', 'app', 'signalbox.cjs')

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}
export interface Running {
  readonly child: ChildProcess
  readonly pid: number
  /** All it has written so far. */
  readonly stdout: string
  readonly stderr: string
  readonly ended: Promise<Ended>
  signal(name: NodeJS.Signals): void
}

export interface Spawned {
  readonly cwd: string
  readonly env?: { readonly [name: string]: string }
  readonly command?: string
  /** The user it runs as, where the tests may choose. */
  readonly uid?: number
  readonly atEnd?: AtEnd
}

/** Variables of whoever runs the tests must not configure what they test. */
const plain = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(SIGNALBOX_|VITEST|NODE_OPTIONS$|NODE_ENV$|PORT$|LOG_LEVEL$)/.test(name),
    ),
  )

/** Starts `node signalbox.cjs …args`, or another command with these words. */
export function start(
  args: readonly string[],
  { cwd, env = {}, command, uid, atEnd = onTestFinished }: Spawned,
): Running {
  const words = command === undefined ? [entry, ...args] : args
  const child = spawn(command ?? process.execPath, words, {
    cwd,
    env: { ...plain(), ...env },
    ...(uid !== undefined && { uid, gid: uid }),
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // `close`, not `exit`: all that was written has been read by then.
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal }) as Ended)
  atEnd(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await ended
  })
  return {
    child,
    pid: child.pid!,
    ended,
    get stdout() {
      return stdout
    },
    get stderr() {
      return stderr
    },
    signal: (name) => void child.kill(name),
  }
}

/** Runs it to its end. */
export async function run(args: readonly string[], how: Spawned): Promise<Ended & { stdout: string; stderr: string }> {
  const running = start(args, how)
  const { code, signal } = await running.ended
  return { code, signal, stdout: running.stdout, stderr: running.stderr }
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

/** Looks again and again until there is something; fails with `what` after `ms`. `everyMs`: between one look and the next, or what it is before each. */
export async function until<T>(
  look: () => T | Promise<T>,
  what: string | (() => string),
  ms = 30_000,
  everyMs: number | (() => number) = 15,
): Promise<NonNullable<T>> {
  const last = performance.now() + ms
  for (;;) {
    const seen = await look()
    if (seen !== undefined && seen !== null && seen !== false) return seen
    if (performance.now() > last) throw new Error(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`)
    await sleep(typeof everyMs === 'number' ? everyMs : everyMs())
  }
}
