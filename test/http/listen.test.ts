import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { Hono } from 'hono'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { createDirect } from '../../src/http/direct.ts'
import type { Patience } from '../../src/http/listen.ts'
import type { Http } from '../../src/http/route.ts'
import { type Listening, listen } from '../../src/http/server.ts'
import { fakeClock } from '../fakes/clock.ts'
import { type GatewayGiven, type TestGateway, testGateway } from '../fakes/gateway.ts'
import { held, OK } from '../fakes/provider.ts'

const ACTION = JSON.stringify({ action_type: 'x', provider: 'out' })

async function listening(given: GatewayGiven = {}): Promise<{ g: TestGateway; server: Listening; base: string }> {
  const g = await testGateway({ set: ['server.body_limit_bytes=65536'], ...given })
  const server = await listen(g.app, { ...g.config.server, port: 0 }, { direct: createDirect(g.deps) })
  onTestFinished(() => server.close())
  return { g, server, base: `http://127.0.0.1:${server.port}` }
}
async function raw(
  port: number,
  bytes: string | Uint8Array,
): Promise<{ socket: Socket; answer: () => Promise<string> }> {
  const socket = connect(port, '127.0.0.1')
  let got = ''
  socket.on('data', (d) => {
    got += d
  })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(bytes)
  onTestFinished(() => void socket.destroy())
  return {
    socket,
    async answer() {
      if (!socket.closed) await once(socket, 'close')
      return got
    },
  }
}
/** More than the buffers of both ends take. */
const LARGE = 64_000_000
/** A client that has asked for a large answer and does not read it, with the gateway's end of its connection. */
async function unread(patience?: Patience) {
  const g = await testGateway()
  let serverSide: Socket | undefined
  const app = new Hono<Http>().get('/', (c) => {
    serverSide = c.env.incoming?.socket
    return c.body('x'.repeat(LARGE))
  })
  const server = await listen(app, { ...g.config.server, port: 0 }, patience && { patience })
  const socket = connect(server.port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'readable')
  return { server, socket, serverSide: serverSide! }
}
/** How many bytes come until the connection ends. */
async function rest(socket: Socket): Promise<number> {
  let got = 0
  socket.on('data', (d) => {
    got += d.length
  })
  await once(socket, 'close')
  return got
}
const post = (more: string, body = ''): string =>
  `POST /v1/dispatch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n${more}\r\n\r\n${body}`
const chunk = (s: string): string => `${Buffer.byteLength(s).toString(16)}\r\n${s}\r\n`

describe('over a socket', () => {
  test('a dispatch is answered as it is without one', async () => {
    const { g, base } = await listening()
    const response = await fetch(`${base}/v1/dispatch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: ACTION,
    })
    expect([response.status, response.headers.get('signalbox-outcome')]).toEqual([200, 'executed'])
    expect((await response.json()) as JsonObject).toMatchObject({ outcome: 'executed' })
    expect(g.providers.out!.sent).toHaveLength(1)
    expect((await fetch(`${base}/v1/quotas/a%2Fb%25`)).status).toBe(404)
  })
  test('what is asked for at once on one connection is made as it is taken, not all of it before', async () => {
    const g = await testGateway()
    let made = 0
    const app = new Hono<Http>().get('/', (c) => {
      made += 1
      return c.body('x'.repeat(LARGE))
    })
    const server = await listen(app, { ...g.config.server, port: 0 })
    onTestFinished(() => server.close())
    const socket = connect(server.port, '127.0.0.1')
    const ask = (how: string): string => `GET / HTTP/1.1\r\nHost: localhost\r\nConnection: ${how}\r\n\r\n`
    socket.write(ask('keep-alive') + ask('close'))
    await once(socket, 'readable')
    expect(made).toBe(1)
    expect(await rest(socket)).toBeGreaterThan(2 * LARGE)
    expect(made).toBe(2)
  })
  test.each([
    ['/v1/dispatch/../rules', 400],
    ['/v1/dispatch/%2e%2E/rules', 400],
    ['/v1/dispatch/x/.%2e/../rules', 400],
    ['/v1/./rules', 400],
    ['/v1/rules/..', 400],
    ['/livez/../v1/rules', 400],
    ['/v1/rules#x', 400],
    ['http://localhost/v1/dispatch/../rules', 400],
    ['/v1/rules?namespace=a/../b', 200],
    ['/v1/quotas/...', 404],
    ['/v1/quotas/.x/..', 400],
  ])('a path is taken as it is written, as a proxy before may have read it: %s', async (path, status) => {
    const { server } = await listening()
    const { answer } = await raw(server.port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    const text = await answer()
    expect(text).toContain(`HTTP/1.1 ${status} `)
    if (status === 400) expect(text).toContain('"invalid_path"')
  })
  test.each([
    ['Chunked', 200],
    ['gzip, chunked', 415],
  ])('a body that comes as "%s" is read only where that is known: %i', async (coding, status) => {
    const { g, server } = await listening()
    const it = await raw(server.port, post(`Transfer-Encoding: ${coding}`, chunk(ACTION) + chunk('')))
    const answer = await it.answer()
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    if (status === 415) expect(answer).toContain('unsupported_encoding')
    expect(g.providers.out!.sent).toHaveLength(status === 200 ? 1 : 0)
  })
  test('a body without a length is read, and stopped at the limit while it still comes', async () => {
    const { g, server } = await listening()
    const whole = await raw(
      server.port,
      post('Transfer-Encoding: chunked', `${chunk(ACTION.slice(0, 9))}${chunk(ACTION.slice(9))}0\r\n\r\n`),
    )
    expect(await whole.answer()).toMatch(/^HTTP\/1\.1 200 /)
    const endless = await raw(
      server.port,
      post('Transfer-Encoding: chunked', chunk(`{"payload":"${'x'.repeat(40_000)}`)),
    )
    endless.socket.write(chunk('x'.repeat(40_000)))
    const answer = await endless.answer()
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer).toContain('"code":"body_too_large"')
    expect(answer.toLowerCase()).toContain('connection: close')
    expect(g.providers.out!.sent).toHaveLength(1)
  })
  test('a body that says it is too large is refused before it is sent', async () => {
    const { server } = await listening()
    const said = await raw(server.port, post('Content-Length: 99999999'))
    expect(await said.answer()).toMatch(/^HTTP\/1\.1 413 /)
    const asking = await raw(server.port, post('Content-Length: 99999999\r\nExpect: 100-continue'))
    expect(await asking.answer()).toMatch(/^HTTP\/1\.1 413 /)
    const small = await raw(server.port, post(`Content-Length: ${ACTION.length}\r\nExpect: 100-continue`))
    await once(small.socket, 'data')
    small.socket.write(ACTION)
    expect(await small.answer()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
  })
  test.each([
    ['says its length', (n: number) => [`Content-Length: ${n}`, 'x'.repeat(n)]],
    ['does not', (n: number) => ['Transfer-Encoding: chunked', chunk('x'.repeat(n)) + chunk('')]],
  ])(
    'a client that sends a body that is too large to its end is not cut off before it has its answer: one that %s',
    async (_, body) => {
      const { server, base } = await listening()
      const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
      onTestFinished(() => void socket.destroy())
      const [head, bytes] = body(40_000_000) as [string, string]
      // What a client does that writes all it has before it reads: `write` fails where the connection was reset.
      socket.write(post(head, bytes))
      await once(socket, 'drain')
      expect(await readText(socket)).toMatch(/^HTTP\/1\.1 413 /)
      for (let i = 0; i < 20; i++) {
        const told = await fetch(`${base}/v1/dispatch`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: 'x'.repeat(3_000_000),
        })
        expect(told.status).toBe(413)
        await told.text()
      }
    },
  )
  test('nor one that sends far too large headers', async () => {
    const { server } = await listening()
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(40_000_000)}\r\n\r\n`)
    await once(socket, 'drain')
    expect(await readText(socket)).toMatch(/^HTTP\/1\.1 431 /)
  })
  test.each([
    ['413', 'sent later', 'Content-Length: 65537', 65_537],
    ['417', 'sent with it', 'Expect: a miracle\r\nContent-Length: 9', 9],
  ])('what is sent behind a last answer (%s), %s, has no effect', async (status, when, head, length) => {
    const { g, server } = await listening()
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    const first = post(head).replace('Connection: close\r\n', '') + 'x'.repeat(length - 9)
    const rest = 'x'.repeat(9) + post(`Content-Length: ${ACTION.length}`, ACTION)
    socket.write(when === 'sent with it' ? first + rest : first)
    expect(await readText(socket)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^{]*connection: close`, 'i'))
    socket.on('error', () => undefined)
    socket.end(when === 'sent with it' ? '' : rest)
    await once(socket, 'close')
    const last = await raw(server.port, post(`Content-Length: ${ACTION.length}`, ACTION))
    expect(await last.answer()).toMatch(/^HTTP\/1\.1 200 /)
    expect(g.providers.out!.sent).toHaveLength(1)
  })
  test('a refusal that leaves its connection open leaves it open, however much of the body is still to come', async () => {
    const { g, server } = await listening()
    const head = `POST /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000000\r\n\r\n`
    const it = await raw(server.port, head)
    const [told] = (await once(it.socket, 'data')) as [Buffer]
    expect(told.toString()).toMatch(/^HTTP\/1\.1 404 [^{]*Connection: keep-alive/)
    it.socket.write('x'.repeat(70_000_000))
    it.socket.write(post(`Content-Length: ${ACTION.length}`, ACTION))
    expect(await it.answer()).toMatch(/^HTTP\/1\.1 404 [\s\S]*HTTP\/1\.1 200 [\s\S]*"outcome":"executed"/)
    expect(g.providers.out!.sent).toHaveLength(1)
  })
  test.each([
    ['/v1/dispatch', /^HTTP\/1\.1 408 /],
    ['/v1/nowhere', /^HTTP\/1\.1 404 (?![\s\S]*HTTP\/1\.1 )/],
  ])('who does not send its body in time, and does not hang up, is let go: %s', async (path, told) => {
    const g = await testGateway({})
    const clock = fakeClock()
    const patience = { headersMs: 1000, requestMs: 1000, answerMs: 60_000, lookMs: 10 }
    const server = await listen(g.app, { ...g.config.server, port: 0 }, { clock, patience })
    onTestFinished(() => server.close())
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    socket.write(post('Content-Length: 90', 'x').replace('/v1/dispatch', path).replace('Connection: close\r\n', ''))
    expect(await readText(socket)).toMatch(told)
    const cut = once(socket, 'close').catch((e: NodeJS.ErrnoException) =>
      expect(e.code).toMatch(/^(EPIPE|ECONNRESET)$/),
    )
    await clock.advance(10_000)
    const again = setInterval(() => socket.write('x'), 5)
    onTestFinished(() => clearInterval(again))
    await cut
  })
  test('who hangs up its half in the middle of a body is told so', async () => {
    const { g, server } = await listening()
    const it = await raw(server.port, post(`Content-Length: ${ACTION.length + 1}`, ACTION))
    it.socket.end()
    expect(await it.answer()).toMatch(/^HTTP\/1\.1 400 [\s\S]*"code":"incomplete_body"/)
    expect(g.providers.out!.sent).toEqual([])
  })
  test('an action behind one that a stopping gateway answers last is not done unseen', async () => {
    const hand = held()
    const { g, server } = await listening({ providers: { out: [hand.answer] } })
    const one = post(`Content-Length: ${ACTION.length}`, ACTION).replace('Connection: close\r\n', '')
    const it = await raw(server.port, one)
    while (g.providers.out!.inFlight === 0) await new Promise((r) => setImmediate(r))
    const closed = server.close()
    it.socket.write(one + one)
    while (g.providers.out!.inFlight < 2) await new Promise((r) => setImmediate(r))
    hand.finish(OK)
    await closed
    const answers = (await it.answer()).match(/"outcome":"executed"/g)
    expect(answers).toHaveLength(g.providers.out!.sent.length)
  })
  test('who never ends a body that was refused is let go', async () => {
    const g = await testGateway({ set: ['server.body_limit_bytes=65536'] })
    const clock = fakeClock()
    const server = await listen(g.app, { ...g.config.server, port: 0 }, { clock })
    onTestFinished(() => server.close())
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    socket.write(post('Content-Length: 40000000', 'x'))
    expect(await readText(socket)).toMatch(/^HTTP\/1\.1 413 /)
    socket.write('still taken')
    await clock.advance(10_000)
    const cut = once(socket, 'close').catch((e: NodeJS.ErrnoException) =>
      expect(e.code).toMatch(/^(EPIPE|ECONNRESET)$/),
    )
    const again = setInterval(() => socket.write('no more'), 5)
    onTestFinished(() => clearInterval(again))
    await cut
  })
  test.each([
    ['before its first byte', '', post(`Content-Length: ${ACTION.length}`, ACTION)],
    [
      'in the middle of its headers',
      'POST /v1/dispatch HTTP/1.1\r\nHost: localhost\r\n',
      `Content-Type: application/json\r\nContent-Length: ${ACTION.length}\r\n\r\n${ACTION}`,
    ],
    ['in the middle of its body', post(`Content-Length: ${ACTION.length}`, ACTION.slice(0, 10)), ACTION.slice(10)],
    [
      'in the middle of a body Hono reads',
      post(`Content-Encoding: identity\r\nContent-Length: ${ACTION.length}`, ACTION.slice(0, 10)),
      ACTION.slice(10),
    ],
  ])(
    'a request that was told it came too late has no effect when it comes all the same: %s',
    async (_, early, late) => {
      const g = await testGateway({})
      const patience = { headersMs: 30, requestMs: 60, answerMs: 60_000, lookMs: 10 }
      const server = await listen(g.app, { ...g.config.server, port: 0 }, { patience, direct: createDirect(g.deps) })
      onTestFinished(() => server.close())
      const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
      onTestFinished(() => void socket.destroy())
      socket.on('error', () => undefined)
      if (early !== '') socket.write(early)
      const [told] = (await once(socket, 'data')) as [Buffer]
      expect(told.toString()).toMatch(/^HTTP\/1.1 408 /)
      const closed = once(socket, 'close')
      socket.end(late)
      await closed
      expect(g.providers.out!.sent).toEqual([])
      expect((await g.audit.query(['default', 'default'], {}, { limit: 9 })).records).toEqual([])
    },
  )
  test.each([
    ['read directly', ''],
    ['read by Hono', 'Content-Encoding: identity\r\n'],
  ])('bytes behind a request that are none are refused after its answer, not in place of it: %s', async (_, more) => {
    const hand = held()
    const { g, server } = await listening({ providers: { out: [hand.answer] } })
    const head = `POST /v1/dispatch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${more}`
    const it = await raw(server.port, `${head}Content-Length: ${ACTION.length}\r\n\r\n${ACTION}no request`)
    while (g.providers.out!.inFlight === 0) await new Promise((r) => setImmediate(r))
    hand.finish(OK)
    const [first, second, ...others] = (await it.answer()).split(/(?=HTTP\/1\.1 )/)
    expect(first).toMatch(/^HTTP\/1\.1 200 [\s\S]*"outcome":"executed"/)
    expect(second).toMatch(/^HTTP\/1\.1 400 [\s\S]*"code":"invalid_request"/)
    expect(others).toEqual([])
    expect(g.providers.out!.sent).toHaveLength(1)
  })
  test.each([
    ['read directly', ''],
    ['read by Hono', 'Content-Encoding: identity\r\n'],
  ])('who has said all it will say is answered: %s', async (_, more) => {
    const hand = held()
    const { g, server } = await listening({ providers: { out: [hand.answer, OK] } })
    const asked = `POST /v1/dispatch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${more}Content-Length: ${ACTION.length}\r\n\r\n${ACTION}`
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    const told = readText(socket)
    socket.end(asked + asked)
    while (g.providers.out!.inFlight === 0) await new Promise((r) => setImmediate(r))
    // By now its end has been seen.
    await new Promise((r) => setTimeout(r, 20))
    hand.finish(OK)
    expect((await told).match(/"outcome":"executed"/g)).toHaveLength(2)
    expect(g.providers.out!.sent).toHaveLength(2)
  })
  test('a connection that ends before its body does stores nothing and harms nobody', async () => {
    const { g, server, base } = await listening()
    const cut = await raw(server.port, post('Content-Length: 500', ACTION))
    cut.socket.end()
    await cut.answer()
    expect((await fetch(`${base}/livez`)).status).toBe(200)
    expect(await g.records()).toEqual([])
    expect(g.env.logged.filter((l) => l.level === 'error')).toEqual([])
  })
  test.each([
    ['no HTTP', 'hello\r\n\r\n', 400, 'invalid_request'],
    ['no Host', 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'invalid_request'],
    ['a Host that is none', 'GET /livez HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400, 'invalid_request'],
    [
      'endless headers',
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    ['an expectation nobody knows', post('Content-Length: 2\r\nExpect: foo', '{}'), 417, 'expectation_failed'],
    ['two Hosts', post('Content-Length: 2\r\nHost: other', '{}'), 400, 'invalid_request'],
    ['two keys', post('Content-Length: 2\r\nIdempotency-Key: a\r\nidempotency-key: a', '{}'), 400, 'invalid_request'],
    ['two types', post('Content-Length: 2\r\nContent-type: text/plain', '{}'), 400, 'invalid_request'],
    ['two lengths', post('Content-Length: 2\r\nContent-Length: 3', '{}'), 400, 'invalid_request'],
    [
      'a length beside chunks',
      post('Content-Length: 2\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
      400,
      'invalid_request',
    ],
  ])('%s', async (_name, bytes, status, code) => {
    const { server } = await listening()
    const answer = await (await raw(server.port, bytes)).answer()
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(answer).toContain(`"code":"${code}"`)
  })
  test('HTTP/1.0 needs no Host', async () => {
    const { server } = await listening()
    for (const path of ['/livez', '/health']) {
      const answer = await (await raw(server.port, `GET ${path} HTTP/1.0\r\n\r\n`)).answer()
      expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    }
  })
  test.each([
    ['headers', 'POST /v1/dispatch HTTP/1.1\r\nHost: loc'],
    ['a body', post('Content-Length: 500', '{')],
  ])('%s that come drop by drop are not waited for for ever', async (_what, bytes) => {
    const g = await testGateway()
    const patience = { headersMs: 30, requestMs: 60, answerMs: 60_000, lookMs: 10 }
    const server = await listen(g.app, { ...g.config.server, port: 0 }, { patience, direct: createDirect(g.deps) })
    onTestFinished(() => server.close())
    const answer = await (await raw(server.port, bytes)).answer()
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    expect(answer).toContain('"code":"request_timeout"')
  })
  const IMPATIENT = { headersMs: 60_000, requestMs: 60_000, answerMs: 30, lookMs: 10 }
  test('a client that takes nothing of its answer is not waited for for ever, and nothing is kept for it', async () => {
    const { server, socket, serverSide } = await unread(IMPATIENT)
    onTestFinished(() => server.close())
    await once(serverSide, 'close')
    expect(await rest(socket)).toBeLessThan(LARGE)
  })
  test('who waits longer than that for an answer to begin gets it', async () => {
    const hand = held()
    const g = await testGateway({ providers: { out: [hand.answer] } })
    const options = { patience: IMPATIENT, direct: createDirect(g.deps) }
    const server = await listen(g.app, { ...g.config.server, port: 0 }, options)
    onTestFinished(() => server.close())
    const it = await raw(server.port, post(`Content-Length: ${ACTION.length}`, ACTION))
    await new Promise((r) => setTimeout(r, 5 * IMPATIENT.answerMs))
    hand.finish(OK)
    expect(await it.answer()).toMatch(/^HTTP\/1\.1 200 [\s\S]*"outcome":"executed"/)
  })
  test('an address that is taken is an error of the start', async () => {
    const { g, server } = await listening()
    await expect(listen(g.app, { ...g.config.server, port: server.port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})

describe('an idle connection whose time is up', () => {
  /** With one request behind it, and the gateway's end of it. */
  async function idleConnection() {
    const g = await testGateway()
    let serverSide: Socket | undefined
    const app = new Hono<Http>()
      .get('/', (c) => {
        serverSide = c.env.incoming?.socket
        return c.body('first')
      })
      .get('/again', (c) => c.body('second'))
    const server = await listen(app, { ...g.config.server, port: 0 })
    onTestFinished(() => server.close())
    const line = await raw(server.port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(line.socket, 'data')
    // Where node tells of it: before it reads what has arrived.
    await new Promise((r) => setTimeout(r, 0))
    return { ...line, isUp: () => void serverSide!.emit('timeout') }
  }
  test('is ended', async () => {
    const { isUp, answer } = await idleConnection()
    isUp()
    expect(await answer()).toMatch(/first$/)
  })
  test('answers a request that came while the gateway stood still', async () => {
    const { isUp, answer, socket } = await idleConnection()
    socket.write('GET /again HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    isUp()
    expect(await answer()).toMatch(/second$/)
  })
})

describe('closing', () => {
  test('an answer that is being read is read to its end; one that nobody reads is not waited for', async () => {
    const reading = await unread()
    const closed = reading.server.close()
    expect(await rest(reading.socket)).toBeGreaterThan(LARGE)
    await closed
    const left = await unread()
    await left.server.close()
    expect(await rest(left.socket)).toBeLessThan(LARGE)
  })
  test('what is in hand is answered, idle connections are ended, new ones are refused', async () => {
    const hand = held()
    const { g, server, base } = await listening({ providers: { out: [hand.answer] } })
    const agent = new Agent({ keepAlive: true, maxSockets: 2 })
    onTestFinished(() => agent.destroy())
    const idle = await raw(server.port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(idle.socket, 'data')
    const asked = request(`${base}/v1/dispatch`, {
      agent,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    asked.end(ACTION)
    const answered = once(asked, 'response')
    while (g.providers.out!.inFlight === 0) await new Promise((r) => setImmediate(r))
    const closed = server.close()
    expect(await idle.answer()).toMatch(/^HTTP\/1\.1 200 /)
    await expect(fetch(`${base}/livez`)).rejects.toThrow()
    hand.finish(OK)
    const [response] = await answered
    expect([response.statusCode, JSON.parse(await readText(response))]).toMatchObject([200, { outcome: 'executed' }])
    await closed
    await server.close()
  })
  test('a request under way on a connection that stays open is told that it is the last', async () => {
    const hand = held()
    const { g, server } = await listening({ providers: { out: [hand.answer] } })
    const line = await raw(
      server.port,
      post(`Content-Length: ${ACTION.length}`, ACTION).replace('Connection: close\r\n', ''),
    )
    while (g.providers.out!.inFlight === 0) await new Promise((r) => setImmediate(r))
    const closed = server.close()
    hand.finish(OK)
    expect(await line.answer()).toMatch(/^HTTP\/1\.1 200 /)
    await closed
  })
})
