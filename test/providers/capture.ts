import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Captured {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}
export interface Reply {
  readonly status: number
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string | Buffer
  /** The connection breaks after the body. */
  readonly cut?: boolean
}
/** `hang`: never answered. `reset`: the connection breaks. */
export type Answer = (request: Captured) => Reply | 'hang' | 'reset'

export interface CaptureServer {
  readonly url: string
  readonly port: number
  readonly requests: Captured[]
  /** How the next requests are answered. */
  answer: Answer
  /** Resolves once `n` requests in all have arrived whole. */
  arrived(n: number): Promise<void>
  connections(): Promise<number>
  stop(): Promise<void>
}

/** A real HTTP server on loopback that keeps every request as it came over the wire. */
export async function captureServer(answer: Answer): Promise<CaptureServer> {
  const requests: Captured[] = []
  const waiting: { n: number; done: () => void }[] = []
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const captured = {
      method: req.method ?? '',
      path: req.url ?? '',
      headers: req.headers,
      body: Buffer.concat(chunks),
    }
    requests.push(captured)
    for (const w of waiting) if (requests.length >= w.n) w.done()
    const reply = self.answer(captured)
    if (reply === 'hang') return
    if (reply === 'reset') return void req.socket.resetAndDestroy()
    res.writeHead(reply.status, reply.headers)
    if (reply.cut) res.write(reply.body ?? '', () => req.socket.destroy())
    else res.end(reply.body ?? '')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const self: CaptureServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    answer,
    arrived: (n) => new Promise((done) => (requests.length >= n ? done() : waiting.push({ n, done }))),
    connections: () => new Promise((done, failed) => server.getConnections((e, n) => (e ? failed(e) : done(n)))),
    async stop() {
      if (!server.listening) return
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return self
}

/** Headers that differ from one sending to the next by nature: dates, signatures over them, call counters. */
const VOLATILE = ['authorization', 'x-amz-date', 'amz-sdk-invocation-id', 'amz-sdk-request', 'date', 'connection']

/** What must be equal each time one request goes out. */
export const bytesOf = (r: Captured): string =>
  JSON.stringify([
    r.method,
    r.path,
    Object.fromEntries(Object.entries(r.headers).filter(([name]) => !VOLATILE.includes(name))),
    r.body.toString('base64'),
  ])
