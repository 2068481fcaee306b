import net from 'node:net'

/** A webhook target that costs little: answers 200 to each request it can cut out of the stream, after `DELAY_MS`. */
const delayMs = Number(process.env['DELAY_MS'] ?? 0)
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
const server = net.createServer((socket) => {
  let buffered = ''
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    buffered += chunk.toString('latin1')
    for (;;) {
      const head = buffered.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = Number(/content-length: (\d+)/i.exec(buffered.slice(0, head))?.[1] ?? 0)
      if (buffered.length < head + 4 + length) return
      buffered = buffered.slice(head + 4 + length)
      if (delayMs > 0) setTimeout(() => socket.write(ANSWER), delayMs)
      else socket.write(ANSWER)
    }
  })
})
server.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1', () => {
  process.stdout.write(`Listening on 127.0.0.1:${(server.address() as net.AddressInfo).port}\n`)
})
