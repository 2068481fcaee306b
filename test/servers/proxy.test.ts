import { once } from 'node:events'
import net from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startProxy, type TcpProxy } from './proxy.ts'

describe('the proxy', () => {
  let server: net.Server
  let proxy: TcpProxy
  let heard: string[]
  beforeEach(async () => {
    heard = []
    server = net.createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (data) => {
        heard.push(String(data))
        socket.write(`re: ${data}`)
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    proxy = await startProxy({ port: (server.address() as net.AddressInfo).port })
  })
  afterEach(async () => {
    await proxy.close()
    const closed = once(server, 'close')
    server.close()
    await closed
  })

  async function client() {
    const socket = net.connect(proxy.port, '127.0.0.1')
    await once(socket, 'connect')
    return {
      socket,
      closed: once(socket, 'close'),
      async ask(text: string): Promise<string> {
        const answer = once(socket, 'data')
        socket.write(text)
        return String((await answer)[0])
      },
    }
  }

  it('passes what is said both ways', async () => {
    const c = await client()
    expect(await c.ask('a')).toBe('re: a')
    expect(await c.ask('b')).toBe('re: b')
    expect([proxy.open, proxy.asked]).toEqual([1, 2])
    expect(proxy.url('postgres://me:pw@db.example:5432/x?y=z')).toBe(`postgres://me:pw@127.0.0.1:${proxy.port}/x?y=z`)
  })
  it('delays', async () => {
    const c = await client()
    proxy.delay(30)
    const from = performance.now()
    expect(await c.ask('a')).toBe('re: a')
    expect(performance.now() - from).toBeGreaterThan(55)
  })
  it('nothing overtakes what is still delayed, however the delay changes', async () => {
    const c = await client()
    await c.ask('a')
    let all = ''
    const whole = new Promise<void>((done) => {
      c.socket.on('data', (data) => {
        all += data
        if (all.replaceAll('re: ', '').length === 3) done()
      })
    })
    for (const [text, ms] of [
      ['1', 60],
      ['2', 5],
      ['3', 0],
    ] as const) {
      proxy.delay(ms)
      const asked = proxy.asked
      c.socket.write(text)
      while (proxy.asked === asked) await new Promise((turn) => setImmediate(turn))
    }
    await whole
    expect(all.replaceAll('re: ', '')).toBe('123')
  })
  it('cuts, and takes the next one', async () => {
    const c = await client()
    await c.ask('a')
    proxy.cut()
    await c.closed
    expect(await (await client()).ask('b')).toBe('re: b')
  })
  it('is down until it is up', async () => {
    const c = await client()
    await c.ask('a')
    proxy.down()
    await c.closed
    await (await client()).closed
    proxy.up()
    expect(await (await client()).ask('b')).toBe('re: b')
  })
  it('a black hole takes everything and says nothing; what it swallowed from is ended when it works again', async () => {
    const [c, idle] = [await client(), await client()]
    await c.ask('a')
    await idle.ask('b')
    proxy.blackHole()
    const other = await client()
    c.socket.write('c')
    other.socket.write('d')
    const told: unknown[] = []
    for (const s of [c.socket, other.socket]) s.on('data', (d) => told.push(d))
    while (proxy.asked < 4) await new Promise((r) => setImmediate(r))
    expect(heard).toEqual(['a', 'b'])
    proxy.up()
    await Promise.all([c.closed, other.closed])
    expect(told).toEqual([])
    expect(await idle.ask('e')).toBe('re: e')
  })
  it('forgets the connections that stand, and takes new ones', async () => {
    const c = await client()
    await c.ask('a')
    proxy.forget()
    c.socket.write('b')
    const told: unknown[] = []
    c.socket.on('data', (d) => told.push(d))
    const other = await client()
    expect(await other.ask('c')).toBe('re: c')
    proxy.up()
    await c.closed
    expect([told, heard]).toEqual([[], ['a', 'c']])
    expect(await other.ask('d')).toBe('re: d')
  })
  it('loses the reply to a request after the server has acted', async () => {
    const [c, other] = [await client(), await client()]
    const lost = proxy.loseReply({
      request: (d) => d.includes('write'),
      answered: (said) => said.includes('write'),
    })
    expect(await c.ask('read')).toBe('re: read')
    const told: unknown[] = []
    c.socket.on('data', (d) => told.push(d))
    c.socket.write('write')
    await Promise.all([lost, c.closed])
    expect(heard).toEqual(['read', 'write'])
    expect(told).toEqual([])
    expect(await other.ask('write')).toBe('re: write')
  })
})
