import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Mode, Wire } from '../../contract/provider.contract.ts'

export interface Received {
  readonly from: string
  readonly to: readonly string[]
  readonly raw: string
}
const refusal = (text: string, responseCode: number) => Object.assign(new Error(text), { responseCode })

/** A real SMTP server on loopback that keeps each message as it came. */
export async function mailServer(over: SMTPServerOptions = {}) {
  const received: Received[] = []
  const waiting: { n: number; done: () => void }[] = []
  const sockets = new Set<Socket>()
  let mode: Mode = 'ok'
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    logger: false,
    closeTimeout: 10,
    onData(stream, session, callback) {
      const chunks: Buffer[] = []
      stream.on('data', (c: Buffer) => chunks.push(c))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        received.push({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map((r) => r.address),
          raw: Buffer.concat(chunks).toString('latin1'),
        })
        for (const w of waiting) if (received.length >= w.n) w.done()
        if (mode === 'hang') return
        if (mode === 'reset') for (const s of sockets) s.resetAndDestroy()
        else if (mode === 'throttled') callback(refusal('try later', 451))
        else if (mode === 'rejected') callback(refusal('no such user', 550))
        else callback()
      })
    },
    ...over,
  })
  server.on('error', () => {}) // resets of its own making
  // Under TLS the raw socket belongs to its TLSSocket: destroying it there crashes Node 24.
  server.server.on(over.secure ? 'secureConnection' : 'connection', (s: Socket) => {
    sockets.add(s)
    s.once('close', () => sockets.delete(s))
  })
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const { port } = server.server.address() as AddressInfo
  const wire: Wire = {
    sent: () => received.map((r) => JSON.stringify(r)),
    mode: (m) => {
      mode = m
    },
    arrived: (n) => new Promise((done) => (received.length >= n ? done() : waiting.push({ n, done }))),
    connections: async () => sockets.size,
    async stop() {
      if (!server.server.listening) return
      for (const s of sockets) s.destroy()
      await new Promise<void>((done) => server.close(done))
    },
  }
  return { port, received, wire, sockets }
}
