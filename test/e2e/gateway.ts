import type { JsonObject } from '../../src/core/json.ts'
import type { Place } from './place.ts'
import { type Running, type Spawned, start, until } from './run.ts'

/** A gateway that listens. */
export interface Gateway extends Running {
  readonly port: number
  readonly base: string
  /** From the start of the process to its line, milliseconds. */
  readonly readyMs: number
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Told>
  dispatch(action: object, headers?: Record<string, string>): Promise<Told>
  /** The value of one line of /metrics, 0 where there is none. */
  metric(line: string): Promise<number>
  /** Entries that wait with a due time, by kind; dead letters and occurrence definitions left out. Waits for a store that answers. */
  waiting(): Promise<{ readonly [kind: string]: number }>
  /** Ends it and gives its exit code. */
  stop(): Promise<number | null>
}
export interface Told {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body, where it is JSON. */
  readonly body: JsonObject
}

/** Looks that must all find nothing. The longest way is of two moves: from an open group to its flush, and from there to a delivery. */
const LOOKS = 3
/** For a store's answer: within the patience of whoever waits for the work to end, so that this is what it is told. */
const PATIENCE_MS = 30_000

/** Starts a gateway in its place, on a port of the system's choice, and waits for its line. */
export async function serve(
  at: Place,
  args: readonly string[] = ['--port', '0'],
  how: Partial<Spawned> = {},
): Promise<Gateway> {
  const began = performance.now()
  const words = how.command === undefined ? ['serve', ...args] : args
  return listening(start(words, { cwd: at.folder, ...how }), began)
}

/** Waits for the line of a process that was just started, and wraps it. */
export async function listening(running: Running, began = performance.now()): Promise<Gateway> {
  let over = false
  void running.ended.then(() => {
    over = true
  })
  const port = await until(
    () => {
      const line = /^Listening on \S*:(\d+)$/m.exec(running.stdout)
      if (!line && over) throw new Error(`it ended instead of listening: ${running.stderr}`)
      return line && Number(line[1])
    },
    () => `a line "Listening on", from ${running.stdout} ${running.stderr}`,
    // How fast it is, is tested elsewhere: here a machine may be busy with much else.
    60_000,
  )
  const readyMs = performance.now() - began
  const base = `http://127.0.0.1:${port}`

  const ask: Gateway['ask'] = async (method, path, body, headers = {}) => {
    const answer = await fetch(base + path, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const isJson = answer.headers.get('content-type')?.includes('json') ?? false
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      body: isJson ? (JSON.parse(text) as JsonObject) : {},
    }
  }
  async function look(): Promise<{ readonly [kind: string]: number }> {
    // A store that has not answered in time has no figures, which must not be taken for nothing that waits.
    const text = await until(
      async () => {
        const told = (await ask('GET', '/metrics')).text
        return /^signalbox_state_up 1$/m.test(told) ? told : undefined
      },
      'an answer of the store to /metrics',
      PATIENCE_MS,
    )
    const depths = [...text.matchAll(/^signalbox_queue_depth\{kind="(\w+)"\} (\d+)$/gm)]
    return Object.fromEntries(
      depths.flatMap(([, kind, n]) => (Number(n) > 0 && kind !== 'dead_letter' ? [[kind!, Number(n)]] : [])),
    )
  }
  return {
    ...running,
    get stdout() {
      return running.stdout
    },
    get stderr() {
      return running.stderr
    },
    port,
    base,
    readyMs,
    ask,
    dispatch: (action, headers) => ask('POST', '/v1/dispatch', action, headers),
    async metric(line) {
      const { text } = await ask('GET', '/metrics')
      const found = text.split('\n').find((l) => l.startsWith(`${line} `))
      return found === undefined ? 0 : Number(found.slice(line.length + 1))
    },
    async waiting() {
      // Not every store counts all kinds at one moment: work that moves on meanwhile may be in none of them. The next look finds it.
      for (let looks = 1; ; looks++) {
        const depths = await look()
        if (Object.keys(depths).length > 0 || looks === LOOKS) return depths
      }
    },
    async stop() {
      running.signal('SIGTERM')
      return (await running.ended).code
    },
  }
}

/** Until nothing is left that waits, on a gateway or its store; `first` is done before each look. Fails with what is left after `ms`. */
export async function drained(gateway: Gateway, ms: number, first?: () => Promise<void>): Promise<void> {
  let left: Awaited<ReturnType<Gateway['waiting']>> = {}
  let everyMs = DRAINED_AFTER_MS
  await until(
    async () => {
      await first?.()
      left = await gateway.waiting()
      return Object.keys(left).length === 0
    },
    () => `no work left; there is ${JSON.stringify(left)}`,
    ms,
    () => {
      everyMs = Math.min(everyMs * 1.2, DRAINED_EVERY_MS)
      return everyMs
    },
  )
}
/** Each look asks the store for all its depths: most is done soon, and what waits for a lease to run out waits long. */
const DRAINED_AFTER_MS = 150
const DRAINED_EVERY_MS = 1000
