import { randomUUID } from 'node:crypto'
import net from 'node:net'
import { quantile } from '../table.ts'

/**
 * A load generator that costs little beside what it measures: raw sockets, prepared bytes, one request in flight a connection,
 * answers cut at Content-Length. Bounded in time; runs as a process of its own so that it can be pinned to the other core.
 */
export interface LoadRequest {
  readonly port: number
  readonly path: string
  readonly connections: number
  readonly warmupMs: number
  readonly measureMs: number
  /** `N` in it becomes an id no other request has. */
  readonly body: string
  /** Ids that count up, as of one sender, or at random (UUID version 4), as of many. */
  readonly ids: 'counted' | 'random'
  /** Actions in one request. */
  readonly batch: number
}
export interface LoadResult {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** How long each took, milliseconds, sorted. */
  readonly timesMs: readonly number[]
  readonly errors: number
  /** Answers had, those of the warm-up included. */
  readonly total: number
}

let unique = 0

function requestBytes(load: LoadRequest): Buffer {
  const id = () => (load.ids === 'random' ? randomUUID() : `${process.pid}-${++unique}`)
  const one = () => load.body.replaceAll('"N"', `"${id()}"`)
  const body = load.batch > 1 ? `[${Array.from({ length: load.batch }, one).join(',')}]` : one()
  return Buffer.from(
    `POST ${load.path} HTTP/1.1\r\nHost: localhost:${load.port}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

function runLoad(load: LoadRequest): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const from = started + load.warmupMs
    const until = from + load.measureMs
    const times: number[] = []
    let errors = 0
    let total = 0
    let open = load.connections
    const finish = (): void => {
      times.sort((a, b) => a - b)
      resolve({
        requestsPerSecond: (times.length * 1000) / load.measureMs,
        p50Ms: quantile(times, 0.5),
        p99Ms: quantile(times, 0.99),
        timesMs: times.map((t) => Math.round(t * 1000) / 1000),
        errors,
        total,
      })
    }
    for (let i = 0; i < load.connections; i++) {
      const socket = net.connect(load.port, '127.0.0.1')
      socket.setNoDelay(true)
      let sent = 0
      let buffered = ''
      const next = (): void => {
        sent = performance.now()
        if (sent >= until) {
          socket.end()
          if (--open === 0) finish()
          return
        }
        socket.write(requestBytes(load))
      }
      socket.on('connect', next)
      socket.on('error', reject)
      socket.on('data', (chunk) => {
        buffered += chunk.toString('latin1')
        const head = buffered.indexOf('\r\n\r\n')
        if (head < 0) return
        const length = /content-length: (\d+)/i.exec(buffered.slice(0, head))
        if (!length) return reject(new Error(`an answer without a length: ${buffered.slice(0, 200)}`))
        if (buffered.length < head + 4 + Number(length[1])) return
        if (!buffered.startsWith('HTTP/1.1 200')) errors++
        buffered = ''
        total++
        const now = performance.now()
        if (now >= from && now < until) times.push(now - sent)
        next()
      })
    }
  })
}

process.stdout.write(JSON.stringify(await runLoad(JSON.parse(process.argv[2]!) as LoadRequest)))
