/** One warm process of one function. It runs one invocation at a time. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

export interface WorkerRequest {
  id: string
  /** JSON text. */
  payload: string
  /** JSON text of the client context. */
  context?: string
  /** Milliseconds since the epoch; set when the invocation starts. */
  deadline: number
  arn: string
}
/** What a caller is told of a failed invocation, in the words of the function's runtime. */
export interface FunctionFault {
  errorType: string
  errorMessage: string
  [more: string]: unknown
}
/** `result` is the JSON text the function gave. */
export type Ended = { result: string } | { fault: FunctionFault }

export interface WorkerSpec {
  runtime: string
  folder: string
  env: Record<string, string>
}
export interface Worker {
  run(request: Omit<WorkerRequest, 'deadline'>, timeoutMs: number): Promise<Ended>
  /** The last 4 KB the function printed in its current or last invocation. */
  log(): string
  alive(): boolean
  kill(): void
  /** Resolves when the process is gone. */
  gone: Promise<void>
}

interface Message {
  ready?: true
  init?: FunctionFault
  id?: string
  result?: string
  error?: FunctionFault
}

const INIT_MS = 10_000
const LOG_BYTES = 4096
const BOOT_NODE = fileURLToPath(new URL('boot-node.ts', import.meta.url))
const BOOT_PYTHON = fileURLToPath(new URL('boot_python.py', import.meta.url))

const command = (runtime: string): [string, string[]] =>
  runtime.startsWith('python')
    ? [process.env.LOCAL_AWS_PYTHON ?? 'python3', ['-u', BOOT_PYTHON]]
    : [process.execPath, [BOOT_NODE]]

export const startWorker = ({ runtime, folder, env }: WorkerSpec): Worker => {
  const [file, args] = command(runtime)
  // In a process group of its own, so that what a function starts ends with it.
  const child = spawn(file, args, { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe', 'pipe'], detached: true })
  let alive = true
  let printed = ''
  let exited: FunctionFault | undefined
  let waiting: ((message: Message) => void) | undefined

  const kill = (): void => {
    alive = false
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // it is gone already
    }
  }
  const over = (fault: FunctionFault): void => {
    alive = false
    exited ??= fault
    waiting?.({ error: fault })
  }
  child.on('error', (error) =>
    over({ errorType: 'Runtime.InvalidEntrypoint', errorMessage: `${file}: ${error.message}` }),
  )
  child.on('close', (code, signal) =>
    over({
      errorType: 'Runtime.ExitError',
      errorMessage: `Runtime exited with error: ${signal ?? `exit status ${code}`}`,
    }),
  )
  const gone = new Promise<void>((resolve) => {
    child.once('error', () => resolve())
    child.once('close', () => resolve())
  })
  child.stdin?.on('error', () => {})
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (data: Buffer) => {
      printed = (printed + data.toString()).slice(-LOG_BYTES)
    })
  const answers = child.stdio[3] as Readable | undefined
  answers?.on('error', () => {})
  const early: Message[] = []
  if (answers)
    createInterface({ input: answers }).on('line', (line) => {
      const message = JSON.parse(line) as Message
      if (waiting) waiting(message)
      else early.push(message)
    })

  const next = (withinMs: number): Promise<Message | undefined> =>
    new Promise((resolve) => {
      const told = early.shift()
      if (told) return resolve(told)
      if (exited) return resolve({ error: exited })
      const end = (message?: Message) => {
        clearTimeout(timer)
        waiting = undefined
        resolve(message)
      }
      const timer = setTimeout(end, withinMs)
      waiting = end
    })
  const timedOut = (id: string, ms: number): Ended => {
    kill()
    const message = `RequestId: ${id} Error: Task timed out after ${(ms / 1000).toFixed(2)} seconds`
    return { fault: { errorType: 'Sandbox.Timedout', errorMessage: message } }
  }
  const named = (id: string, fault: FunctionFault): Ended => ({
    fault:
      fault.errorType === 'Runtime.ExitError'
        ? { ...fault, errorMessage: `RequestId: ${id} Error: ${fault.errorMessage}` }
        : fault,
  })

  let started: Promise<Message | undefined> | undefined
  return {
    run: async (request, timeoutMs) => {
      printed = ''
      started ??= next(INIT_MS)
      const init = await started
      if (!init) return timedOut(request.id, INIT_MS)
      const fault = init.init ?? init.error
      if (fault) {
        kill()
        return named(request.id, fault)
      }
      child.stdin?.write(`${JSON.stringify({ ...request, deadline: Date.now() + timeoutMs })}\n`)
      const message = await next(timeoutMs)
      if (!message) return timedOut(request.id, timeoutMs)
      // What it printed comes by another pipe: let that one be read too.
      await new Promise((resolve) => setImmediate(resolve))
      return message.error ? named(request.id, message.error) : { result: message.result ?? 'null' }
    },
    log: () => printed,
    alive: () => alive,
    kill,
    gone,
  }
}
