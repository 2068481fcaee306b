import { once } from 'node:events'
import net from 'node:net'

/** When a reply is to be lost. Left out: the next request, whatever it is; and the answer has come with its first byte. */
export interface Loss {
  readonly request?: (data: Buffer) => boolean
  /** Looks at what the server has said so far. Where it sends before it has acted, this says when it has. */
  readonly answered?: (data: Buffer) => boolean
}

/**
 * A TCP proxy in front of a real server, for what networks do. A test speaks to `port`; nothing is timed here but `delay`, so that what
 * a test sees does not hang on the machine's speed.
 */
export interface TcpProxy {
  readonly port: number
  /** The given address with the proxy's host and port. */
  url(address: string): string
  /** Connections that stand. */
  readonly open: number
  /** Bytes that came from clients so far. */
  readonly asked: number
  /** Each piece of data waits so long, both ways; 0 = no more. None overtakes another. */
  delay(ms: number): void
  /** Ends all connections; new ones are taken. */
  cut(): void
  /** Ends all connections and takes no new one until `up`, as a server that is gone. */
  down(): void
  /** Takes connections and says nothing, and those that stand fall silent, as behind a broken router. What is swallowed is gone. */
  blackHole(): void
  /** Connections that stand fall silent, as behind a router that has forgotten them; new ones work. */
  forget(): void
  /** Works again. Connections that a black hole has swallowed from are ended. */
  up(): void
  /** The server gets the next request of the kind and acts; its answer is swallowed and the connection cut. Resolves then. */
  loseReply(loss?: Loss): Promise<void>
  close(): Promise<void>
}

interface Pair {
  readonly client: net.Socket
  readonly server: net.Socket
  /** Something was swallowed: it can never be right again. */
  spoiled: boolean
  forgotten: boolean
  losing: { readonly loss: Loss; readonly said: Buffer[]; done(): void } | undefined
  /** Data on its way that waits, first come first. */
  readonly waiting: ReadonlyMap<net.Socket, Buffer[]>
}

export async function startProxy(to: { readonly host?: string; readonly port: number }): Promise<TcpProxy> {
  const pairs = new Set<Pair>()
  const losses: { readonly loss: Loss; done(): void }[] = []
  let mode: 'through' | 'silent' | 'down' = 'through'
  let delayMs = 0
  let asked = 0

  const end = (pair: Pair): void => {
    pairs.delete(pair)
    pair.client.destroy()
    pair.server.destroy()
  }
  const cut = (): void => {
    for (const pair of [...pairs]) end(pair)
  }
  function pass(pair: Pair, into: net.Socket, data: Buffer): void {
    if (mode === 'silent' || pair.forgotten) {
      pair.spoiled = true
      return
    }
    const waiting = pair.waiting.get(into)!
    if (delayMs === 0 && waiting.length === 0) {
      into.write(data)
      return
    }
    waiting.push(data)
    setTimeout(() => pairs.has(pair) && into.write(waiting.shift()!), delayMs)
  }
  function onRequest(pair: Pair, data: Buffer): void {
    asked += data.length
    const at = losses.findIndex((l) => l.loss.request?.(data) ?? true)
    if (at >= 0 && pair.losing === undefined && mode === 'through') {
      const [lost] = losses.splice(at, 1)
      pair.losing = { ...lost!, said: [] }
    }
    pass(pair, pair.server, data)
  }
  function onAnswer(pair: Pair, data: Buffer): void {
    if (pair.losing === undefined) {
      pass(pair, pair.client, data)
      return
    }
    const { loss, said, done } = pair.losing
    said.push(data)
    if (!(loss.answered?.(Buffer.concat(said)) ?? true)) return
    end(pair)
    done()
  }

  const listener = net.createServer((client) => {
    if (mode === 'down') return void client.destroy()
    const server = net.connect({ host: to.host ?? '127.0.0.1', port: to.port })
    const waiting = new Map([client, server].map((socket): [net.Socket, Buffer[]] => [socket, []]))
    const pair: Pair = { client, server, spoiled: false, forgotten: false, losing: undefined, waiting }
    pairs.add(pair)
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => end(pair))
      socket.on('close', () => end(pair))
    }
    client.on('data', (data) => onRequest(pair, data))
    server.on('data', (data) => onAnswer(pair, data))
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as net.AddressInfo

  return {
    port,
    url(address) {
      const url = new URL(address)
      url.hostname = '127.0.0.1'
      url.port = String(port)
      return url.href
    },
    get open() {
      return pairs.size
    },
    get asked() {
      return asked
    },
    delay(ms) {
      delayMs = ms
    },
    cut,
    down() {
      mode = 'down'
      cut()
    },
    blackHole() {
      mode = 'silent'
    },
    forget() {
      for (const pair of pairs) pair.forgotten = true
    },
    up() {
      mode = 'through'
      for (const pair of [...pairs]) if (pair.spoiled) end(pair)
    },
    loseReply: (loss = {}) => new Promise((done) => losses.push({ loss, done })),
    async close() {
      const closed = once(listener, 'close')
      listener.close()
      cut()
      await closed
    },
  }
}
