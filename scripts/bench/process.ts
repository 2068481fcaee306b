import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

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

/** Starts a node script pinned to one core and waits for its `Listening on` line. */
export function start(
  script: readonly string[],
  opts: { readonly core: number; readonly log: number; readonly env?: NodeJS.ProcessEnv; readonly cwd?: string },
): Promise<Running> {
  return new Promise((resolve, reject) => {
    const began = performance.now()
    const child = spawn('taskset', ['-c', String(opts.core), process.execPath, ...script], {
      env: { ...process.env, ...opts.env },
      cwd: opts.cwd,
      // The log goes to a file, as it would in production: reading it here would cost the core the load comes from.
      stdio: ['ignore', 'pipe', opts.log],
    })
    let out = ''
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`${script.join(' ')} ended with ${code}`)))
    child.stdout!.on('data', (d) => {
      out += d
      const port = /Listening on \S*:(\d+)/.exec(out)?.[1]
      if (port === undefined) return
      child.removeAllListeners('exit')
      resolve({
        port: Number(port),
        readyMs: performance.now() - began,
        memory: () => residentMiB(child.pid!),
        cpuMs: () => cpuMs(child.pid!),
        stop: () => stop(child),
      })
    })
  })
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
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
  })
}
