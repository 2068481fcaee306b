/** The processes of the run: started one by one, ended by their own ids, whatever happens. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export type Variables = Readonly<Record<string, string | undefined>>

export interface Server {
  /** What its ready line says: a URL, or host:port. */
  readonly at: string
  /** Everything it has written to its standard error, line by line. */
  readonly log: readonly string[]
  /** Asks it to end, and insists after a while. Resolves to its exit code, null when a signal ended it. */
  stop(): Promise<number | null>
  /** Ends it in the middle of whatever it does, as `kill -9` would. */
  kill(): Promise<void>
}
export interface Finished {
  readonly code: number | null
  readonly out: string
}

const GRACE_MS = 5000
const running = new Set<ChildProcess>()

/** A script has children of its own, so it leads a process group and is ended with it. */
const signal = (child: ChildProcess, name: NodeJS.Signals): void => {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(child.spawnargs[0] === 'bash' ? -child.pid : child.pid, name)
  } catch (e) {
    // Gone between the look and the signal.
    if (!(e instanceof Error && 'code' in e && e.code === 'ESRCH')) throw e
  }
}

const track = (child: ChildProcess): Promise<number | null> => {
  running.add(child)
  return new Promise((resolve, reject) => {
    child.once('error', (e) => {
      running.delete(child)
      reject(e)
    })
    child.once('close', (code) => {
      running.delete(child)
      resolve(code)
    })
  })
}

async function end(child: ChildProcess, closed: Promise<number | null>): Promise<number | null> {
  signal(child, 'SIGTERM')
  const late = setTimeout(() => signal(child, 'SIGKILL'), GRACE_MS)
  try {
    return await closed
  } finally {
    clearTimeout(late)
  }
}

/** Starts a node program directly (npm would keep signals to itself) and waits for the line that says where it listens. */
export async function startServer(args: readonly string[], env: Variables): Promise<Server> {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const closed = track(child)
  const log: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line))
  const out: string[] = []
  const at = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      out.push(line)
      const found = /[Ll]istening on (\S+)$/.exec(line)?.[1]
      if (found !== undefined) resolve(found)
    })
    closed.then((code) => {
      reject(new Error(`${args.join(' ')} ended with ${code} before it listened:\n${[...out, ...log].join('\n')}`))
    }, reject)
  })
  return {
    at,
    log,
    stop: () => end(child, closed),
    async kill() {
      signal(child, 'SIGKILL')
      await closed
    },
  }
}

/** Runs a script to its end; what it writes is shown as it comes, and kept. */
export async function runScript(path: string, args: readonly string[], env: Variables): Promise<Finished> {
  const child = spawn('bash', [path, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const closed = track(child)
  let out = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      out += text
      process.stdout.write(text)
    })
  return { code: await closed, out }
}

/** Ends all that still runs. */
export async function endAll(): Promise<void> {
  await Promise.all(
    [...running].map((child) =>
      end(
        child,
        once(child, 'close').then(([code]) => code as number | null),
      ),
    ),
  )
}
