import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Clock } from '../core/clock.ts'

/** Who still sends after so long has had time to look at its answer. */
const LINGER_MS = 10_000

/**
 * Closes a connection on which a request is answered before all of it has arrived, as RFC 9112, 9.6 has it: our side at
 * once, the other when the rest has been read past, or after ten seconds. A connection closed with bytes unread is
 * reset, and a reset takes the answer away from a client that is still sending. Without `rest` what comes is no request.
 */
export function linger(socket: Socket, rest: IncomingMessage | undefined, clock: Clock): void {
  const end = (): void => Socket.prototype.destroySoon.call(socket)
  const timer = clock.timer(LINGER_MS, () => socket.destroy())
  socket.once('close', () => timer.cancel())
  rest?.once('end', end)
  rest?.on('error', end)
  rest?.resume()
  socket.end()
}
