import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import pg from 'pg'

/**
 * What PgBouncer does in transaction mode, and nothing else of it: each transaction of a client goes to the next of a few connections to the
 * server. What one statement leaves in a session (settings, prepared statements, locks, a LISTEN) is not there for the next.
 */
export interface Pooler {
  readonly url: string
  /** Transactions that went to another connection than their client's one before. */
  readonly moves: number
  close(): Promise<void>
}

interface Backend {
  readonly client: pg.Client
  readonly stream: Duplex
  user: net.Socket | undefined
}

const READY = 0x5a
const IDLE = 0x49
/** AuthenticationOk, ParameterStatus client_encoding = UTF8, BackendKeyData, ReadyForQuery. */
const WELCOME = Buffer.concat([
  Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]),
  Buffer.from([0x53, 0, 0, 0, 25]),
  Buffer.from('client_encoding\0UTF8\0'),
  Buffer.from([0x4b, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1]),
  Buffer.from([READY, 0, 0, 0, 5, IDLE]),
])
const TERMINATE = 0x58

export async function startPooler(url: string, size: number): Promise<Pooler> {
  const backends: Backend[] = []
  const waiting: { readonly client: net.Socket; resolve(b: Backend): void }[] = []
  const clients = new Set<net.Socket>()
  let next = 0
  let moves = 0

  for (let i = 0; i < size; i++) {
    const stream = new net.Socket()
    const client = new pg.Client({ connectionString: url, stream: () => stream })
    await client.connect()
    // From here on the socket is ours.
    stream.removeAllListeners('data')
    const backend: Backend = { client, stream, user: undefined }
    onMessages(stream, (type, message) => {
      backend.user?.write(message)
      if (type === READY && message[5] === IDLE) release(backend)
    })
    client.on('error', () => {})
    stream.setNoDelay(true)
    backends.push(backend)
  }
  function release(backend: Backend): void {
    const next = waiting.shift()
    backend.user = next?.client
    next?.resolve(backend)
  }
  /** The one after the one that was taken last. */
  function acquire(client: net.Socket): Promise<Backend> {
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[(next + i) % backends.length]!
      if (backend.user !== undefined) continue
      next = (next + i + 1) % backends.length
      backend.user = client
      return Promise.resolve(backend)
    }
    return new Promise((resolve) => waiting.push({ client, resolve }))
  }

  const listener = net.createServer((client) => {
    clients.add(client)
    client.setNoDelay(true)
    client.on('close', () => clients.delete(client))
    client.on('error', () => {})
    let last: Backend | undefined
    let held: Buffer[] = []
    const take = async (): Promise<void> => {
      const backend = await acquire(client)
      if (last !== undefined && last !== backend) moves++
      last = backend
      for (const data of held) backend.stream.write(data)
      held = []
    }
    client.once('data', () => {
      client.write(WELCOME)
      client.on('data', (data: Buffer) => {
        if (data[0] === TERMINATE) {
          client.end()
          return
        }
        if (last?.user === client) last.stream.write(data)
        else {
          held.push(data)
          if (held.length === 1) void take()
        }
      })
    })
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = new URL(url)
  address.host = `127.0.0.1:${(listener.address() as net.AddressInfo).port}`
  return {
    url: address.href,
    get moves() {
      return moves
    },
    async close() {
      const closed = once(listener, 'close')
      listener.close()
      for (const c of clients) c.destroy()
      for (const b of backends) b.stream.destroy()
      await closed
    },
  }
}

/** Whole messages of a server: a type, a length of four bytes that counts itself, and so much. */
function onMessages(stream: Duplex, on: (type: number, message: Buffer) => void): void {
  let left: Buffer = Buffer.alloc(0)
  stream.on('data', (data: Buffer) => {
    left = left.length === 0 ? data : Buffer.concat([left, data])
    while (left.length >= 5) {
      const size = 1 + left.readInt32BE(1)
      if (left.length < size) return
      on(left[0]!, left.subarray(0, size))
      left = left.subarray(size)
    }
  })
}
