import { connect } from 'node:net'
import { sleep } from './run.ts'

/** Sends bytes as they are, with `pauseMs` between the pieces, and gives everything that comes back until the other side hangs up or `ms` have passed. */
export function raw(
  port: number,
  pieces: readonly (string | Buffer)[],
  {
    ms = 3000,
    end = false,
    pauseMs = 0,
  }: { readonly ms?: number; readonly end?: boolean; readonly pauseMs?: number } = {},
): Promise<string> {
  return new Promise((resolve) => {
    let heard = ''
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const over = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(heard)
    }
    const timer = setTimeout(over, ms)
    socket.on('data', (bytes: Buffer) => {
      heard += bytes.toString('utf8')
    })
    // What it was sent to may hang up in the middle: what was heard until then counts.
    socket.on('error', over)
    socket.on('end', over)
    socket.on('connect', async () => {
      for (const piece of pieces) {
        if (socket.destroyed) return
        socket.write(piece)
        if (pauseMs > 0) await sleep(pauseMs)
      }
      if (end) socket.end()
    })
  })
}

/** The head of a dispatch, by default one that closes its connection. */
export const head = (lines: readonly string[] = [], version = '1.1'): string =>
  [`POST /v1/dispatch HTTP/${version}`, 'host: 127.0.0.1', 'content-type: application/json', ...lines, '', ''].join(
    '\r\n',
  )

export const statuses = (heard: string): readonly number[] =>
  [...heard.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((m) => Number(m[1]))
