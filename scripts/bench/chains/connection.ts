import net from 'node:net'

/** A connection with one request in flight: raw bytes, so that the load costs little beside what it measures. */
export interface Connection {
  /** Starts an execution; resolves to its id. */
  start(body: string): Promise<string>
  close(): void
}

export function connect(port: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.setNoDelay(true)
    let buffered = ''
    let answered: (id: string) => void = () => {}
    let failed: (e: Error) => void = reject
    socket.on('error', (e) => failed(e))
    socket.on('connect', () => {
      resolve({
        start: (body) =>
          new Promise((done, fail) => {
            answered = done
            failed = fail
            socket.write(
              `POST /v1/dispatch HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
            )
          }),
        close: () => socket.end(),
      })
    })
    socket.on('data', (chunk) => {
      buffered += chunk.toString('latin1')
      const head = buffered.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = Number(/content-length: (\d+)/i.exec(buffered.slice(0, head))?.[1])
      if (buffered.length < head + 4 + length) return
      const answer = buffered
      buffered = ''
      const id = /"chain_id":"([^"]+)"/.exec(answer)?.[1]
      if (id === undefined) failed(new Error(`no execution was started: ${answer.slice(0, 500)}`))
      else answered(id)
    })
  })
}
