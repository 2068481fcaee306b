import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { promisify } from 'node:util'

export interface Running {
  readonly port: number
  /** From spawn to its ready line, milliseconds. */
  readonly readyMs: number
  /** Resident memory now, MiB. */
  memory(): number
  /** Processor time used so far, all threads, milliseconds: what a noisy neighbour does not change. */
  cpuMs(): number
  stop(): Promise<void>
}

export interface StartOptions {
  readonly core: number
  /** The file its log goes to. */
  readonly log: number
  readonly env?: NodeJS.ProcessEnv
  /** Its line that says that it is ready, and the port in it. */
  readonly ready?: RegExp
}

/** Starts a node script pinned to one core and waits for its `Listening on` line. */
export function start(script: readonly string[], opts: StartOptions): Promise<Running> {
  return new Promise((done, reject) => {
    const began = performance.now()
    const child = spawn('taskset', ['-c', String(opts.core), process.execPath, ...script], {
      env: { ...process.env, ...opts.env },
      // The log goes to a file, as it would in production: reading it here would cost the core the load comes from.
      stdio: ['ignore', 'pipe', opts.log],
    })
    let out = ''
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`${script.join(' ')} ended with ${code}`)))
    child.stdout!.on('data', (d) => {
      out += d
      const port = (opts.ready ?? /Listening on \S*:(\d+)/).exec(out)?.[1]
      if (port === undefined) return
      child.removeAllListeners('exit')
      done({
        port: Number(port),
        readyMs: performance.now() - began,
        memory: () => residentMiB(child.pid!),
        cpuMs: () => cpuMs(child.pid!),
        stop: () => stop(child),
      })
    })
  })
}

const CLI = resolve(import.meta.dirname, '../../src/app/signalbox.cjs')

/** `file`: its gateway.toml. */
export const startGateway = (file: string, opts: StartOptions): Promise<Running> =>
  start([CLI, 'serve', '-c', file], opts)

/** A time for each request of a minute, and more. */
const ANSWER_BYTES = 256 * 1024 * 1024

/** Runs a node script to its end, pinned to one core; it is given `request` and prints its answer, both in JSON. */
export async function runPinned<Answer>(core: number, script: string, request: object): Promise<Answer> {
  const args = ['-c', String(core), process.execPath, script, JSON.stringify(request)]
  const { stdout } = await promisify(execFile)('taskset', args, { maxBuffer: ANSWER_BYTES })
  return JSON.parse(stdout) as Answer
}

const residentMiB = (pid: number): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
}

/** proc(5): utime and stime are fields 14 and 15, in hundredths of a second; the name before them may hold spaces. */
const cpuMs = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) return done()
    child.once('exit', () => done())
    child.kill('SIGTERM')
  })
}
