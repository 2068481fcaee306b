import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { createDirect } from '../../src/http/direct.ts'
import { listen } from '../../src/http/server.ts'
import { testGateway } from '../fakes/gateway.ts'
import { OK } from '../fakes/provider.ts'

interface Request {
  readonly path?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}
const RULES = `
rules:
  - { name: few, condition: { field: action.action_type, eq: few }, action: { type: throttle, max_count: 1, window_seconds: 60 } }
`
const one = (more: object = {}): string => JSON.stringify({ id: 'a', action_type: 'x', provider: 'out', ...more })
const batch = (...items: readonly string[]): string => `[${items.join(',')}]`

/** The whole answers of one gateway, in order, and how many requests went directly. */
async function answers(
  requests: readonly Request[],
  way: 'directly' | 'by Hono',
): Promise<[answers: unknown[], n: number]> {
  const providers = { out: [OK] }
  const g = await testGateway({ providers, rules: RULES, set: ['server.body_limit_bytes=1000'] })
  const direct = createDirect(g.deps)
  let n = 0
  const server = await listen(
    g.app,
    { ...g.config.server, port: 0 },
    way === 'by Hono'
      ? {}
      : {
          direct: (incoming, outgoing) => {
            const took = direct(incoming, outgoing)
            if (took) n++
            return took
          },
        },
  )
  onTestFinished(() => server.close())
  const got: unknown[] = []
  for (const { path = '/v1/dispatch', method = 'POST', headers = {}, body } of requests) {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const asking = request({ port: server.port, host: '127.0.0.1', path, method }, async (answer) => {
      const { date: _, ...told } = answer.headers
      resolve([answer.statusCode, told, await text(answer)])
    })
    asking.on('error', reject)
    const length = String(Buffer.byteLength(body))
    const usual = { host: 'localhost:8080', 'content-type': 'application/json', 'content-length': length }
    for (const [k, v] of Object.entries({ ...usual, ...headers })) asking.setHeader(k, v)
    asking.end(body)
    got.push(await promise)
  }
  return [got, n]
}

const DIRECTLY: readonly Request[] = [
  { body: one() },
  { body: one({ action_type: 'few' }) },
  { body: one({ action_type: 'few' }) },
  { body: one({ action_type: 7, unknown: 1 }) },
  { body: '{"action_type":' },
  { body: '' },
  { body: one({ provider: 'nowhere' }) },
  { body: one(), headers: { 'idempotency-key': 'k' } },
  { body: one(), headers: { 'idempotency-key': 'k' } },
  { body: one({ id: 'b' }), headers: { 'idempotency-key': 'k' } },
  { body: one(), headers: { 'idempotency-key': '' } },
  { body: one(), headers: { prefer: 'respond-async' } },
  { body: one(), headers: { host: 'evil.example' } },
  { body: one(), headers: { origin: 'http://evil.example' } },
  { body: one(), headers: { connection: 'close' } },
  { path: '/v1/dispatch/batch', body: batch(one(), one({ action_type: '' }), one({ action_type: 'few' })) },
  { path: '/v1/dispatch/batch', body: one() },
]
const BY_HONO: readonly Request[] = [
  { body: one(), path: '/v1/dispatch?trace=true' },
  { body: one(), path: '/v1/dispatch?nonsense=1' },
  { body: one(), method: 'PUT' },
  { body: one(), headers: { 'content-type': 'application/json; charset=utf-8' } },
  { body: one(), headers: { 'content-type': 'text/plain' } },
  { body: one(), headers: { 'content-encoding': 'gzip' } },
  { body: one(), headers: { host: '[::1]' } },
  { body: one(), headers: { host: 'a b' } },
  { body: one({ payload: { text: 'x'.repeat(1000) } }) },
]

test('what goes directly is answered as by Hono, to the last header', async () => {
  const [straight, n] = await answers(DIRECTLY, 'directly')
  expect(n).toBe(DIRECTLY.length)
  const [hono] = await answers(DIRECTLY, 'by Hono')
  expect(straight).toEqual(hono)
  const statuses = straight.map((a) => (a as [number])[0])
  expect(statuses).toEqual([200, 200, 429, 400, 400, 400, 422, 200, 200, 422, 400, 202, 403, 403, 200, 200, 400])
})

test('anything unusual about a request is left to Hono', async () => {
  const [told, n] = await answers(BY_HONO, 'directly')
  expect(n).toBe(0)
  expect(told).toEqual((await answers(BY_HONO, 'by Hono'))[0])
})
