import net, { type AddressInfo, type Socket } from 'node:net'
import { Pool } from 'undici'
import { describe, expect, onTestFinished, test } from 'vitest'
import { gather } from '../../../src/providers/wire/gather.ts'

/** A server that answers each connection with bytes of its own making. */
async function serving(
  answer: (socket: Socket) => void,
): Promise<{ readonly pool: Pool; readonly closed: () => number }> {
  let closed = 0
  const sockets = new Set<Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => closed++)
    socket.once('data', () => answer(socket))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const pool = new Pool(`http://127.0.0.1:${port}`, { headersTimeout: 0, bodyTimeout: 0 })
  onTestFinished(async () => {
    await pool.destroy()
    for (const s of sockets) s.destroy()
    await new Promise((done) => server.close(done))
  })
  return { pool, closed: () => closed }
}
const ask = (pool: Pool, signal = new AbortController().signal) =>
  gather(pool, { path: '/', method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'hello' }, signal)

describe('gather', () => {
  test('an answer in pieces, cut in the middle of a character, under repeated headers', async () => {
    const bytes = Buffer.from('{"temperature":"21 °C"}')
    const { pool } = await serving((s) => {
      s.write(`HTTP/1.1 201 Created\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: ${bytes.length}\r\n\r\n`)
      s.write(bytes.subarray(0, 20))
      setTimeout(() => s.write(bytes.subarray(20)), 20)
    })
    expect(await ask(pool)).toEqual({
      status: 201,
      headers: { 'x-a': ['1', '2'], 'content-length': String(bytes.length) },
      text: bytes.toString(),
      truncated: false,
    })
  })
  test('what comes before the answer is none of it', async () => {
    const { pool } = await serving((s) =>
      s.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nX-B: 1\r\n\r\n'),
    )
    expect(await ask(pool)).toEqual({ status: 204, headers: { 'x-b': '1' }, text: '', truncated: false })
  })
  test('an answer without end is cut at 1 MiB, and its connection closed', async () => {
    const { pool, closed } = await serving((s) => {
      s.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
      const more = (): void => {
        while (!s.destroyed && s.write(chunk));
        if (!s.destroyed) s.once('drain', more)
      }
      more()
    })
    const { text, truncated } = await ask(pool)
    expect([text.length, truncated]).toEqual([1_048_576, true])
    await expect.poll(closed).toBe(1)
  })
  test('a connection that ends before the answer does is an error', async () => {
    const { pool } = await serving((s) => s.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'))
    await expect(ask(pool)).rejects.toThrow('other side closed')
  })
  test.each(['before the answer', 'in the middle of it'])('the signal ends it %s, with its reason', async (when) => {
    const stop = new AbortController()
    const { pool, closed } = await serving((s) => {
      if (when !== 'before the answer') s.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
      setTimeout(() => stop.abort(new Error('enough')), 30)
    })
    await expect(ask(pool, stop.signal)).rejects.toThrow('enough')
    await expect.poll(closed).toBe(1)
  })
  test('a signal that has fired sends nothing', async () => {
    let asked = 0
    const { pool } = await serving(() => asked++)
    await expect(ask(pool, AbortSignal.abort(new Error('never')))).rejects.toThrow('never')
    expect(asked).toBe(0)
  })
  test('an end leaves no listener behind', async () => {
    const { pool } = await serving((s) => {
      s.on('data', () => s.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
      s.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
    const { signal } = new AbortController()
    let listening = 0
    const counted = Object.assign(Object.create(signal) as AbortSignal, {
      addEventListener: () => void listening++,
      removeEventListener: () => void listening--,
    })
    Object.defineProperty(counted, 'aborted', { value: false })
    for (let i = 0; i < 3; i++) await ask(pool, counted)
    expect(listening).toBe(0)
  })
})
