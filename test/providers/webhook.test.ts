import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Provider } from '../../src/core/provider.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { type CaptureServer, captureServer, type Reply } from './capture.ts'
import { anAction, configErrors, never, openProvider, TOKEN } from './open.ts'

let server: CaptureServer
let env: TestEnv
const opened: Provider[] = []
beforeEach(async () => {
  env = testEnv()
  server = await captureServer(() => ({ status: 200, body: '{"ok":true}' }))
})
afterEach(async () => {
  for (const p of opened.splice(0)) await p.close()
  await server.stop()
})
function open(over: JsonObject = {}): Provider {
  const p = openProvider('webhook', { url: `${server.url}/in?x=1`, ...over }, env)
  opened.push(p)
  return p
}
const send = (p: Provider, action: Partial<Action> = {}) =>
  p.send(p.render(anAction(action), { token: TOKEN }), { token: TOKEN, signal: never() })
const last = () => server.requests.at(-1)!
const sentJson = () => JSON.parse(last().body.toString()) as unknown

describe('request', () => {
  test('the whole action as JSON, with the token as Idempotency-Key', async () => {
    const receipt = await send(open())
    expect(receipt).toEqual({ status: 200, body: { ok: true } })
    expect(last()).toMatchObject({ method: 'POST', path: '/in?x=1' })
    expect(last().headers).toMatchObject({ 'idempotency-key': TOKEN, 'content-type': 'application/json' })
    expect(last().headers).not.toHaveProperty('webhook-id')
    expect(sentJson()).toEqual(anAction())
  })
  test('payload_mode = payload', async () => {
    await send(open({ payload_mode: 'payload' }))
    expect(sentJson()).toEqual(anAction().payload)
  })
  test('method and headers of the configuration; its names in any case', async () => {
    await send(
      open({ method: 'PUT', headers: { Authorization: 'Bearer t', 'Content-Type': 'application/vnd.x+json' } }),
    )
    expect(last().method).toBe('PUT')
    expect(last().headers).toMatchObject({ authorization: 'Bearer t', 'content-type': 'application/vnd.x+json' })
  })
  test('GET has no body', async () => {
    await send(open({ method: 'GET' }))
    expect(last()).toMatchObject({ method: 'GET', body: Buffer.alloc(0) })
    expect(last().headers).toMatchObject({ 'idempotency-key': TOKEN })
  })
  test('a body template keeps types; PITFALLS 40: text from data is not expanded again', async () => {
    const body = {
      text: 'from {{action.tenant}}: {{payload.note}}',
      value: '{{payload.value}}',
      zone: '{{metadata.zone}}',
      gone: '{{payload.nothing}}',
    }
    await send(open({ body }))
    const { note } = anAction().payload
    expect(sentJson()).toEqual({ text: `from hq: ${note}`, value: 91.5, zone: 'north', gone: null })
  })
  test('a body template of text goes out as it is', async () => {
    await send(open({ body: 'device={{payload.device_id}}', headers: { 'content-type': 'text/plain' } }))
    expect(last().body.toString()).toBe('device=d-1')
    expect(last().headers['content-type']).toBe('text/plain')
  })
  test('neither the URL nor a header is in what is stored', () => {
    const p = open({ headers: { authorization: 'Bearer secret' }, signing_secret: 'whsec_c2VjcmV0' })
    const stored = JSON.stringify(p.render(anAction(), { token: TOKEN }))
    expect(stored).not.toContain('secret')
    expect(stored).not.toContain(server.url)
  })
  test('Standard Webhooks: id and body stay, the timestamp is the attempt’s', async () => {
    const p = open({ signing_secret: `whsec_${Buffer.from('a shared secret').toString('base64')}` })
    const request = p.render(anAction(), { token: TOKEN })
    const stamps = []
    for (let i = 0; i < 2; i++) {
      await p.send(request, { token: TOKEN, signal: never() })
      const { headers, body } = last()
      const stamp = String(headers['webhook-timestamp'])
      stamps.push(Number(stamp) * 1000)
      expect(headers['webhook-id']).toBe(TOKEN)
      const expected = createHmac('sha256', 'a shared secret').update(`${TOKEN}.${stamp}.${body}`).digest('base64')
      expect(headers['webhook-signature']).toBe(`v1,${expected}`)
      await env.clock.advance(5000)
    }
    expect(stamps[1]! - stamps[0]!).toBe(5000)
    expect(server.requests[1]!.body.equals(server.requests[0]!.body)).toBe(true)
  })
  test('PITFALLS 78: a window is claimed only where the operator sets one', () => {
    const windowOf = (p: Provider) => p.dedupWindowMs(p.render(anAction(), { token: TOKEN }))
    expect(windowOf(open())).toBe(0)
    expect(windowOf(open({ dedup_window_seconds: 3600 }))).toBe(3_600_000)
  })
})

describe('answer', () => {
  const answering = (reply: Reply) => {
    server.answer = () => reply
    return open()
  }
  test.each([
    ['[1]', [1]],
    ['null', null],
    ['', { text: '' }],
    ['hello', { text: 'hello' }],
    ['{"__proto__":{"a":1}}', JSON.parse('{"__proto__":{"a":1}}')],
  ])('%s', async (text, body) => {
    expect((await send(answering({ status: 201, body: text }))).body).toEqual(body)
  })
  test('JSON that is too deep stays text', async () => {
    const deep = '['.repeat(10_000) + ']'.repeat(10_000)
    expect((await send(answering({ status: 200, body: deep }))).body).toEqual({ text: deep })
  })
  test('more than 1 MiB is cut and marked', async () => {
    const { body } = await send(answering({ status: 200, body: `"${'x'.repeat(3_000_000)}"` }))
    expect(body).toMatchObject({ truncated: true })
    expect((body as { text: string }).text).toHaveLength(1_048_576)
  })
  test.each([
    [500, { code: 'server_error', retryable: true, unknown: true }],
    [502, { code: 'server_error', retryable: true, unknown: true }],
    [504, { code: 'server_error', retryable: true, unknown: true }],
    [503, { code: 'unavailable', retryable: true, unknown: false }],
    [507, { code: 'unavailable', retryable: true, unknown: false }],
    [408, { code: 'unavailable', retryable: true, unknown: false }],
    [425, { code: 'unavailable', retryable: true, unknown: false }],
    [429, { code: 'rate_limited', retryable: true, unknown: false }],
    [400, { code: 'rejected', retryable: false, unknown: false }],
    [401, { code: 'access_denied', retryable: false, unknown: false }],
    [404, { code: 'not_found', retryable: false, unknown: false }],
  ])('PITFALLS 30: %i is a failure, with what was said', async (status, expected) => {
    const p = answering({ status, body: '{"why":"no"}' })
    const response = { status, body: { why: 'no' } }
    await expect(send(p)).rejects.toMatchObject({ ...expected, timeout: false, response })
  })
  test('PITFALLS 59: a redirect is not followed, and is no success', async () => {
    const p = answering({ status: 302, headers: { location: `${server.url}/elsewhere` } })
    await expect(send(p)).rejects.toMatchObject({ code: 'rejected', retryable: false })
    expect(server.requests).toHaveLength(1)
  })
  test('Retry-After in seconds and as a date', async () => {
    const said = (value: string) => answering({ status: 503, headers: { 'retry-after': value } })
    await expect(send(said('12'))).rejects.toMatchObject({ retryAfterMs: 12_000 })
    const at = new Date(env.clock.now() + 90_000).toUTCString()
    await expect(send(said(at))).rejects.toMatchObject({ retryAfterMs: 90_000 })
    await expect(send(said('soon'))).rejects.toMatchObject({ retryAfterMs: undefined })
  })
  test('a body that breaks off is unknown', async () => {
    server.answer = () => ({ status: 200, headers: { 'content-length': '500' }, body: 'short', cut: true })
    await expect(send(open())).rejects.toMatchObject({ code: 'connection_reset', retryable: true, unknown: true })
  })
  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a chunk without a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['headers without end', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(40_000)}\r\n\r\n`],
  ])('what is no HTTP may have been acted on, and is worth another attempt: %s', async (_, answer) => {
    const speaking = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(answer))
    })
    await once(speaking.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => void speaking.close())
    const { port } = speaking.address() as AddressInfo
    const p = open({ url: `http://127.0.0.1:${port}/` })
    await expect(send(p)).rejects.toMatchObject({ code: 'bad_response', retryable: true, unknown: true })
  })
})

describe('PITFALLS 59: where it may connect', () => {
  test.each([
    'http://169.254.169.254/latest/meta-data',
    'http://2852039166/',
    'http://[::ffff:169.254.169.254]/',
    'http://[fd00:ec2::254]/',
    'http://[fe80::1]/',
    'http://100.100.100.200/',
  ])('%s is refused without a packet', async (url) => {
    const p = open({ url })
    await expect(send(p)).rejects.toMatchObject({ code: 'address_refused', retryable: false, unknown: false })
    await expect(p.check(never())).rejects.toMatchObject({ code: 'address_refused' })
  })
  test('private networks are allowed unless blocked, by name as by address', async () => {
    for (const host of ['127.0.0.1', 'localhost']) {
      const p = open({ url: `http://${host}:${server.port}/`, block_private_networks: true })
      await expect(send(p)).rejects.toMatchObject({ code: 'address_refused' })
    }
    expect(server.requests).toEqual([])
    await send(open({ url: `http://localhost:${server.port}/` }))
    expect(server.requests).toHaveLength(1)
  })
})

test('PITFALLS 37: two webhooks keep to their own targets', async () => {
  const other = await captureServer(() => ({ status: 200, body: '{"other":true}' }))
  const [a, b] = [open(), open({ url: other.url })]
  expect((await send(b)).body).toEqual({ other: true })
  expect((await send(a)).body).toEqual({ ok: true })
  expect([server.requests.length, other.requests.length]).toEqual([1, 1])
  await b.close()
  await other.stop()
})

test('check connects and sends nothing', async () => {
  await open().check(never())
  expect(server.requests).toEqual([])
})

test('a connection that breaks while TLS is agreed on is definite: nothing was sent', async () => {
  const breaking = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.resetAndDestroy())
  })
  await once(breaking.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void breaking.close())
  const { port } = breaking.address() as AddressInfo
  const p = open({ url: `https://127.0.0.1:${port}/` })
  await expect(send(p)).rejects.toMatchObject({ code: 'connection_failed', retryable: true, unknown: false })
})

test('a TLS failure is definite: nothing was sent', async () => {
  const p = open({ url: `https://127.0.0.1:${server.port}/` })
  await expect(send(p)).rejects.toMatchObject({ code: 'tls_failed', retryable: true, unknown: false })
})

test.each([
  [{ url: 'ftp://example.com' }, 'url'],
  [{ url: 'http://{{payload.host}}/' }, 'url'],
  [{ url: 'http://u:p@example.com/' }, 'url'],
  [{ headers: { 'Idempotency-Key': 'x' } }, 'headers'],
  [{ headers: { 'X-A': 'a\r\nB: c' } }, 'headers'],
  [{ body: { a: '{{env.SECRET}}' } }, 'body'],
  [{ signing_secret: 'not base64!' }, 'signing_secret'],
  [{ payload_mode: 'raw' }, 'payload_mode'],
  [{ retries: 3 }, ''],
])('configuration: %j is refused', (over, path) => {
  const errors = configErrors('webhook', { url: 'http://example.com/', ...over })
  expect(errors.length).toBeGreaterThan(0)
  for (const e of errors) expect(e.startsWith(path)).toBe(true)
})
