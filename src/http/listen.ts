import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { type AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { type Clock, systemClock, watchTraffic } from '../core/clock.ts'
import { Problem } from '../core/errors.ts'
import { Gathering } from '../core/passing.ts'
import { response } from './answered.ts'
import { linger } from './linger.ts'
import { PROBLEM_TYPE, problemBody, problemResponse } from './problem.ts'
import type { Http } from './route.ts'

export interface Listening {
  /** The one it got, where 0 was asked for. */
  readonly port: number
  /** Takes no more connections and resolves when every request in hand is answered. */
  close(): Promise<void>
}

/** Takes a request, or leaves it: then nothing of it was touched. */
export type Direct = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean

export interface Patience {
  /** A client that sends its request drop by drop holds a connection no longer than this: for its headers, and for all of it. */
  readonly headersMs: number
  readonly requestMs: number
  /** A client that takes nothing of its answer for so long, or twice that, might as well be gone; what it leaves there is in our memory. */
  readonly answerMs: number
  /** How often the server looks for such connections. */
  readonly lookMs: number
}
const PATIENCE: Patience = { headersMs: 10_000, requestMs: 60_000, answerMs: 30_000, lookMs: 1000 }
/** Longer than the 60 s after which most proxies drop an idle connection, so that they do it, not we. */
const KEEP_ALIVE_MS = 65_000
/** How often a server that is closing looks for connections that have become idle. */
const SWEEP_MS = 20
/** How long a server that is closing waits for the rest of a request that has not arrived whole, as nobody has been promised anything, and for who takes nothing of an answer. */
const REST_MS = 2000

/** Rejects when the address cannot be had. */
export async function listen(
  app: Hono<Http>,
  server: { readonly host: string; readonly port: number; readonly bodyLimitBytes: number },
  {
    clock = systemClock(),
    patience = PATIENCE,
    direct,
  }: { readonly clock?: Clock; readonly patience?: Patience; readonly direct?: Direct } = {},
): Promise<Listening> {
  let closing = false
  const answer = getRequestListener(app.fetch, {
    // Would end a connection that its answer has said to keep, half a second behind it. Node reads past what is left of a body.
    autoCleanupIncoming: false,
    errorHandler: () =>
      response(problemResponse(new Problem(400, 'invalid_request', 'the address or Host of the request is malformed'))),
  })
  const connections = new Gathering<Connection>()
  const connectionOf = new WeakMap<Socket, Connection>()
  /** The latest request of a connection. */
  const exchangeOf = (socket: Socket): Exchange | undefined => connectionOf.get(socket)?.exchange
  /** They have been told that they were too late, or are no HTTP: what arrives on them all the same must have no effect. */
  const refused = new WeakSet<Socket>()
  const lingering = new WeakSet<Socket>()
  const begin = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    if (!incoming.socket.writable) incoming.resume()
    else if (!direct?.(incoming, outgoing)) void answer(incoming, outgoing)
  }
  const on = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    if (refused.has(incoming.socket)) {
      incoming.socket.destroy()
      return
    }
    const before = exchangeOf(incoming.socket)?.outgoing
    // Behind the last answer of its connection, or what will be that: nobody would be told what became of it.
    if (!incoming.socket.writable || before?.shouldKeepAlive === false) {
      incoming.resume()
      return
    }
    if (closing) outgoing.shouldKeepAlive = false
    // HTTP/1.0 knows no Host, and load balancers still ask so: under no name in particular.
    if (incoming.headers.host === undefined && incoming.httpVersion === '1.0') incoming.headers.host = 'localhost'
    connectionOf.get(incoming.socket)!.exchange = { incoming, outgoing }
    // A few bytes ask for a page of megabytes: those of one connection are made as they are taken, not all at once.
    if (before && !before.closed && reads(incoming)) before.once('close', () => begin(incoming, outgoing))
    else begin(incoming, outgoing)
  }
  const http = createServer(
    {
      headersTimeout: patience.headersMs,
      requestTimeout: patience.requestMs,
      connectionsCheckingInterval: patience.lookMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      // Refused all the same, in our words.
      requireHostHeader: false,
    },
    on,
  )
  // Left to itself, node waits for ever. A connection from which nobody waits for anything is idle, and ends as node would end it.
  http.timeout = patience.answerMs
  http.on('timeout', (socket: Socket) => {
    const { bytesRead, writableLength } = socket
    // After a standstill node fires timers before it reads: what has come meanwhile came in time.
    setImmediate(() => {
      if (socket.bytesRead > bytesRead || socket.writableLength < writableLength) return
      if (writableLength > 0 || idle(exchangeOf(socket))) socket.destroy()
    })
  })
  // Node's own, which its `close` calls too, takes a connection for idle once its answer is made, and cuts off what is still to be sent.
  http.closeIdleConnections = () => {
    for (const { socket, exchange } of connections) if (idle(exchange)) socket.destroy()
  }
  // Who has said all it will say (`nc -N`, small devices) still wants the answer: left to itself, node acts and tells nobody.
  Object.assign(http, { httpAllowHalfOpen: true })
  // A body that is too large is refused before it is sent.
  http.on('checkContinue', (incoming, outgoing) => {
    if (!(Number(incoming.headers['content-length']) > server.bodyLimitBytes)) outgoing.writeContinue()
    on(incoming, outgoing)
  })
  // Left to itself, node answers these without a word.
  http.on('checkExpectation', (incoming, outgoing) => {
    connectionOf.get(incoming.socket)!.exchange = { incoming, outgoing }
    outgoing.shouldKeepAlive = false // the body may be on its way, or not
    const { status, headers, body } = problemResponse(
      new Problem(417, 'expectation_failed', 'only "Expect: 100-continue" is known; send the request without it'),
    )
    outgoing.writeHead(status, headers).end(body)
  })
  http.on('clientError', (error: Error & { readonly code?: string }, socket: Socket) => {
    if (refused.has(socket)) return // more of the same; it is read past until the connection is closed
    refused.add(socket)
    const exchange = exchangeOf(socket)
    // A request before these bytes has its own answer, and takes the next one for it.
    if (exchange && underWay(exchange)) {
      exchange.outgoing.once('close', () => refuseBytes(error, socket, clock))
      return
    }
    if (exchange?.outgoing.writableFinished && !exchange.incoming.complete) {
      socket.destroySoon() // has its answer; what is late, or broken, is the rest of its body
      return
    }
    refuseBytes(error, socket, clock, exchange?.incoming.complete === false)
    // Whoever waits for the rest of its body waits no longer. (After a standstill node looks for late requests before it reads them.)
    const last = exchange?.incoming
    if (last && !last.complete && last.listenerCount('error') > 0) last.emit('error', error)
  })
  http.on('connection', (socket: Socket) => {
    const connection: Connection = { socket, exchange: undefined }
    connectionOf.set(socket, connection)
    const leave = connections.enter(connection)
    // How node closes behind an answer that is its connection's last.
    socket.destroySoon = () => {
      const rest = connection.exchange?.incoming
      if (!rest || rest.complete) Socket.prototype.destroySoon.call(socket)
      else if (!lingering.has(socket)) {
        lingering.add(socket)
        linger(socket, rest, clock)
      }
    }
    socket.once('close', leave)
    socket.once('end', () => {
      // A stream has no end of its own: who hangs up has left it.
      const answering = connection.exchange?.outgoing
      if (answering?.headersSent && !answering.writableEnded) socket.destroy()
    })
  })
  await bound(http, server)
  const { port } = http.address() as AddressInfo
  return {
    port,
    close() {
      closing = true
      return new Promise((resolve) => {
        let over = false
        http.close(() => {
          over = true
          resolve()
        })
        const last = clock.now() + REST_MS
        // Nor is anybody waited for who does not read; whoever does has moved on by then, and again.
        for (const { socket } of connections) watchTraffic(socket, REST_MS)
        const sweep = (): void => {
          if (over) return
          // Closing ends the server's own watch over slow clients, and takes a connection nobody has used for a busy one.
          http.closeIdleConnections()
          for (const { socket, exchange } of connections)
            if (socket.bytesRead === 0 || (clock.now() >= last && !underWay(exchange))) socket.destroy()
          clock.timer(SWEEP_MS, sweep)
        }
        sweep()
      })
    },
  }
}

interface Connection {
  readonly socket: Socket
  /** Its latest request; those before it are answered first. */
  exchange: Exchange | undefined
}
interface Exchange {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
}
const reads = ({ method }: IncomingMessage): boolean => method === 'GET' || method === 'HEAD'
const underWay = (exchange: Exchange | undefined): boolean =>
  exchange?.incoming.complete === true && !exchange.outgoing.writableFinished

const idle = (exchange: Exchange | undefined): boolean =>
  exchange?.incoming.complete === true && exchange.outgoing.writableFinished

const bound = (http: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> =>
  new Promise((resolve, reject) => {
    http.once('error', reject)
    http.listen(port, host.replace(/^\[(.*)\]$/, '$1'), () => {
      http.off('error', reject)
      resolve()
    })
  })

/** Bytes that are no request get their problem too, where the other side still listens. */
function refuseBytes(error: Error & { readonly code?: string }, socket: Socket, clock: Clock, inBody = false): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const p =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new Problem(431, 'headers_too_large', 'the headers of the request are too large')
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new Problem(408, 'request_timeout', 'the request did not arrive in time')
        : inBody && error.code === 'HPE_INVALID_EOF_STATE'
          ? new Problem(400, 'incomplete_body', 'the connection ended before the body did')
          : new Problem(400, 'invalid_request', 'this is no HTTP request')
  const body = JSON.stringify(problemBody(p))
  const head = `HTTP/1.1 ${p.status} ${STATUS_CODES[p.status]}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`
  socket.write(head + body)
  linger(socket, undefined, clock)
}
