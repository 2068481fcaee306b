/** The receiver over HTTP: `POST /<anything>` is a call; what begins with `/_receiver/` is about the receiver itself. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { type Call, createReceiver, tellingSchema } from './receiver.ts'

export interface Listening {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  close(): Promise<void>
}
interface Answer {
  readonly status: number
  readonly body: unknown
  readonly delayMs?: number
}

/** @param port 0 takes any free one. `onCall` hears of every call. */
export async function startReceiver(port: number, onCall: (call: Call) => void = () => undefined): Promise<Listening> {
  const receiver = createReceiver(() => new Date())

  function own(method: string, what: string, text: string): Answer {
    if (what === 'answers' && method === 'POST') {
      const read = tellingSchema.safeParse(parse(text))
      if (!read.success) return { status: 400, body: { error: z.prettifyError(read.error) } }
      receiver.tell(read.data)
      return { status: 201, body: read.data }
    }
    if (what !== 'answers' && what !== 'calls')
      return { status: 404, body: { error: `there is no /_receiver/${what}` } }
    if (method === 'GET')
      return { status: 200, body: what === 'calls' ? { calls: receiver.calls() } : { answers: receiver.tellings() } }
    if (method === 'DELETE') {
      receiver.forget(what)
      return { status: 200, body: { forgotten: what } }
    }
    return { status: 405, body: { error: `${what} knows no ${method}` } }
  }

  async function answer(request: IncomingMessage): Promise<Answer> {
    const { pathname } = new URL(request.url ?? '/', 'http://receiver')
    const text = await readText(request)
    const [, mine, what = ''] = pathname.split('/')
    if (mine === '_receiver') return own(request.method ?? '', what, text)
    if (request.method !== 'POST') return { status: 405, body: { error: 'calls are POST' } }
    const token = request.headers['idempotency-key']
    const { call, reply } = receiver.take({
      receiver: decodeURIComponent(pathname.slice(1)),
      token: typeof token === 'string' ? token : undefined,
      text,
    })
    onCall(call)
    return reply
  }

  const server = createServer((request, response) => {
    answer(request).then(
      ({ status, body, delayMs = 0 }) => setTimeout(() => send(response, status, body), delayMs),
      // A sender that is killed in the middle of its request has sent nothing.
      (e: unknown) => (request.destroyed ? response.destroy() : send(response, 500, { error: String(e) })),
    )
  })
  // Senders keep connections for longer than Node's 5 seconds; one closed under them is a lost request.
  server.keepAliveTimeout = 65_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}
async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
