import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type Gateway, serve } from './gateway.ts'
import { type AtEnd, place } from './place.ts'
import { head, raw, statuses } from './raw.ts'

/** What is refused is refused in words that name the field, stores nothing, and leaves the gateway as well as it was. */

const undo: (() => void | Promise<void>)[] = []
const atEnd: AtEnd = (one) => void undo.unshift(one)
let gateway: Gateway

const LIMIT = 2_097_152

beforeAll(async () => {
  const files = {
    'gateway.toml': `
[[providers]]
name = "out"
type = "log"
[rules]
default_provider = "out"
`,
    // Whatever gets in is held, so that it would be seen.
    'rules/rules.yaml': `
rules:
  - { name: pass, condition: { field: action.action_type, eq: pass }, action: { type: allow } }
  - { name: hold, action: { type: schedule, delay_seconds: 3600 } }
`,
  }
  gateway = await serve(place(files, atEnd), undefined, { atEnd })
})
afterAll(async () => {
  for (const one of undo) await one()
})

/** Everything the gateway would show of an action it has taken. */
async function stored(): Promise<unknown> {
  const [audit, admin, waiting, stats] = await Promise.all([
    gateway.ask('GET', '/v1/audit'),
    gateway.ask('GET', '/v1/audit?namespace=&tenant='),
    gateway.waiting(),
    gateway.ask('GET', '/v1/stats'),
  ])
  return { audit: audit.body['records'], admin: admin.body['records'], waiting, outcomes: stats.body['outcomes'] }
}
const NOTHING = { audit: [], admin: [], waiting: {}, outcomes: {} }

const nested = (depth: number): string =>
  `{"action_type":"x","payload":${'{"a":'.repeat(depth - 1)}1${'}'.repeat(depth - 1)}}`
type Bad = readonly [name: string, body: string | Buffer, status: number, code: string, pointers: readonly string[]]
const action = (more: object): string => JSON.stringify({ action_type: 'x', ...more })

const bad: readonly Bad[] = [
  ['nothing', '', 400, 'invalid_json', ['']],
  ['half an object', '{"action_type": "x", ', 400, 'invalid_json', ['']],
  ['a trailing comma', '{"action_type": "x",}', 400, 'invalid_json', ['']],
  ['two values', '{"action_type":"x"} {}', 400, 'invalid_json', ['']],
  ['NaN', '{"action_type":"x","payload":{"a":NaN}}', 400, 'invalid_json', ['']],
  ['a raw control character', '{"action_type":"a\u0001"}', 400, 'invalid_json', ['']],
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), 400, 'invalid_utf8', []],
  [
    'an overlong encoding',
    Buffer.concat([Buffer.from('{"action_type":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
    400,
    'invalid_utf8',
    [],
  ],
  ['65 levels', nested(65), 400, 'too_deep', []],
  ['a million brackets', '['.repeat(1_000_000), 400, 'too_deep', []],
  ['an array', '[]', 400, 'invalid_action', ['']],
  ['a number', '1', 400, 'invalid_action', ['']],
  ['null', 'null', 400, 'invalid_action', ['']],
  ['no action_type', '{}', 400, 'invalid_action', ['/action_type']],
  [
    'wrong types everywhere, all of them named',
    JSON.stringify({
      action_type: 1,
      namespace: [],
      tenant: {},
      provider: true,
      payload: [],
      metadata: 'm',
      id: 5,
      dedup_key: 0,
      starts_at: 'soon',
    }),
    400,
    'invalid_action',
    ['/action_type', '/payload', '/provider', '/dedup_key', '/starts_at', '/id', '/namespace', '/tenant', '/metadata'],
  ],
  ['unknown fields', action({ actoin: 1, 'a/b~c': 2 }), 400, 'invalid_action', ['/actoin', '/a~1b~0c']],
  ['__proto__ as a field', '{"action_type":"x","__proto__":{"tenant":"other"}}', 400, 'invalid_action', ['/__proto__']],
  ['constructor as a field', '{"action_type":"x","constructor":{}}', 400, 'invalid_action', ['/constructor']],
  [
    'metadata that is not flat',
    action({ metadata: { a: { b: 'c' }, n: 1 } }),
    400,
    'invalid_action',
    ['/metadata/a', '/metadata/n'],
  ],
  [
    'control characters',
    JSON.stringify({ action_type: 'a\nb', tenant: 'a\u0000', namespace: '\u009f', id: 'a\tb' }),
    400,
    'invalid_action',
    ['/action_type', '/id', '/namespace', '/tenant'],
  ],
  ['half a character', '{"action_type":"\\ud800"}', 400, 'invalid_action', ['/action_type']],
  [
    'empty names',
    action({ tenant: '', namespace: '', id: '' }),
    400,
    'invalid_action',
    ['/id', '/namespace', '/tenant'],
  ],
  [
    'names that are too long',
    action({ tenant: 't'.repeat(129), id: 'i'.repeat(257), dedup_key: 'ü'.repeat(257) }),
    400,
    'invalid_action',
    ['/dedup_key', '/id', '/tenant'],
  ],
  ['an unknown provider', action({ provider: 'oot' }), 422, 'provider_unknown', ['/provider']],
  ['three mebibytes', action({ payload: { text: 'x'.repeat(3 * 2 ** 20) } }), 413, 'body_too_large', []],
]

describe('a body that is refused', () => {
  test.each(bad)('%s', async (_, body, status, code, pointers) => {
    const told = await fetch(`${gateway.base}/v1/dispatch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    const problem = (await told.json()) as JsonObject
    expect([told.status, problem['code']]).toEqual([status, code])
    expect(told.headers.get('content-type')).toBe('application/problem+json')
    expect(told.headers.has('signalbox-outcome')).toBe(false)
    expect(problem).toMatchObject({
      type: `urn:signalbox:problem:${code}`,
      status,
      title: expect.any(String),
      detail: expect.any(String),
    })
    const named = ((problem['errors'] ?? []) as readonly JsonObject[]).map((e) => e['pointer'])
    expect([...named].sort()).toEqual([...pointers].sort())
    expect(JSON.stringify(problem)).not.toMatch(/at \w+ \(|node_modules|\.ts:\d/)
  })

  test.each<[string, Record<string, string>, number, string, RegExp]>([
    ['no content type', {}, 415, 'unsupported_media_type', /curl -X POST 'http.*-H 'content-type: application\/json'/],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type', /curl/],
    ['text, as a page may send it anywhere', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type', /curl/],
    [
      'another encoding',
      { 'content-type': 'application/json; charset=utf-16' },
      415,
      'unsupported_media_type',
      /UTF-8/,
    ],
    [
      'compressed',
      { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      415,
      'unsupported_encoding',
      /compressed/,
    ],
    [
      'another host',
      { 'content-type': 'application/json', host: 'evil.example' },
      403,
      'host_refused',
      /allowed_hosts/,
    ],
    [
      'a page of another site',
      { 'content-type': 'application/json', origin: 'https://evil.example' },
      403,
      'origin_refused',
      /other sites/,
    ],
    [
      'a page without a site',
      { 'content-type': 'application/json', origin: 'null' },
      403,
      'origin_refused',
      /other sites/,
    ],
    [
      'a key that is too long',
      { 'content-type': 'application/json', 'idempotency-key': 'k'.repeat(256) },
      400,
      'invalid_idempotency_key',
      /255/,
    ],
  ])('%s', async (_, headers, status, code, detail) => {
    const lines = Object.entries({ host: '127.0.0.1', ...headers }).map(([k, v]) => `${k}: ${v}`)
    const body = action({})
    const heard = await raw(gateway.port, [
      `POST /v1/dispatch HTTP/1.1\r\n${lines.join('\r\n')}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    ])
    expect(statuses(heard)).toEqual([status])
    const problem = JSON.parse(heard.slice(heard.indexOf('{'))) as JsonObject
    expect(problem['code']).toBe(code)
    expect(problem['detail']).toMatch(detail)
  })

  test('queries and paths that are wrong', async () => {
    const asked: readonly [string, string, number, string][] = [
      ['POST', '/v1/dispatch?dryrun=true', 400, 'invalid_query'],
      ['POST', '/v1/dispatch?dry_run=yes', 400, 'invalid_query'],
      ['GET', '/v1/audit?limit=0', 400, 'invalid_query'],
      ['GET', '/v1/audit?cursor=%ff', 400, 'invalid_query'],
      ['GET', '/v1/actions/%ff', 400, 'invalid_path'],
      ['GET', '/v1/dispatch', 405, 'method_not_allowed'],
      ['POST', '/v1/dispach', 404, 'unknown_route'],
    ]
    for (const [method, path, status, code] of asked) {
      const told = await gateway.ask(method, path, method === 'POST' ? { action_type: 'x' } : undefined)
      expect([path, told.status, told.body['code']]).toEqual([path, status, code])
    }
  })

  test('sockets that misbehave', async () => {
    const body = action({})
    const { port } = gateway
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, 0x20), Buffer.from('\r\n')])
    const cases: readonly [string, Promise<string>, readonly number[]][] = [
      [
        'a chunked body without end',
        raw(port, [head(['transfer-encoding: chunked']), ...Array<Buffer>(48).fill(chunk)]),
        [413],
      ],
      ['a length that is too large', raw(port, [head([`content-length: ${LIMIT + 1}`])]), [413]],
      ['the same, asking first', raw(port, [head([`content-length: ${LIMIT + 1}`, 'expect: 100-continue'])]), [413]],
      ['a body that ends early', raw(port, [head([`content-length: ${body.length + 5}`]), body], { end: true }), []],
      ['a length that is no number', raw(port, [head(['content-length: many']), body]), [400]],
      ['two lengths', raw(port, [head(['content-length: 1', 'content-length: 2']), body]), [400]],
      [
        'a length and chunks',
        raw(port, [head(['content-length: 5', 'transfer-encoding: chunked']), '0\r\n\r\n']),
        [400],
      ],
      ['a chunk size that is no number', raw(port, [head(['transfer-encoding: chunked']), 'zz\r\n']), [400]],
      ['no HTTP at all', raw(port, ['\u0016\u0003\u0001 hello\r\n\r\n']), [400]],
      [
        'headers without end',
        raw(port, [head().slice(0, -2), ...Array<string>(20).fill(`x: ${'y'.repeat(1000)}\r\n`)]),
        [431],
      ],
      ['a header that never ends', raw(port, [head().slice(0, -2), 'x-slow: '], { ms: 500 }), []],
    ]
    for (const [name, heard, expected] of cases) {
      const seen = statuses(await heard)
      // Whoever hangs up first may not hear the last words.
      if (name === 'a body that ends early') expect([name, seen.every((s) => s === 400)]).toEqual([name, true])
      else expect([name, seen]).toEqual([name, expected])
    }
  })
})

test('a hundred clients that never finish keep nobody else waiting', async () => {
  const slow = Array.from({ length: 100 }, () =>
    raw(gateway.port, [head().slice(0, -2), 'x: ', 'y', 'y', 'y'], { ms: 800, pauseMs: 150 }),
  )
  for (let i = 0; i < 5; i++) {
    const began = performance.now()
    expect((await gateway.ask('GET', '/readyz')).status).toBe(200)
    expect(performance.now() - began).toBeLessThan(5000)
  }
  expect((await Promise.all(slow)).flatMap(statuses)).toEqual([])
})

test('nothing of all that was stored, and the gateway is well', async () => {
  expect(await stored()).toEqual(NOTHING)
  expect((await gateway.ask('GET', '/health')).body).toMatchObject({ status: 'ok', dead_letters: 0 })
  expect(gateway.stderr).not.toMatch(/"level":50|not foreseen/)
})

describe('what only looks wrong is taken', () => {
  const pass = (id: string): string => JSON.stringify({ id, action_type: 'pass' })

  test('old, pipelined and slow requests', async () => {
    const { port } = gateway
    const one = pass('old')
    expect(await raw(port, [head([`content-length: ${one.length}`], '1.0'), one])).toMatch(
      /^HTTP\/1\.1 200[\s\S]*"outcome":"executed"/,
    )

    const three = ['p1', 'p2', 'p3'].map(
      (id, i) => head([`content-length: ${pass(id).length}`, ...(i === 2 ? ['connection: close'] : [])]) + pass(id),
    )
    const heard = await raw(port, [three.join('')])
    expect(statuses(heard)).toEqual([200, 200, 200])
    expect([...heard.matchAll(/"action_id":"(p\d)"/g)].map((m) => m[1])).toEqual(['p1', 'p2', 'p3'])

    const drops = [...pass('slow')].map((c) => `1\r\n${c}\r\n`)
    expect(
      statuses(
        await raw(port, [head(['transfer-encoding: chunked', 'connection: close']), ...drops, '0\r\n\r\n'], {
          pauseMs: 5,
        }),
      ),
    ).toEqual([200])
  })

  test('a client that hangs up its half at once is taken whole or not at all', async () => {
    const text = pass('half')
    const heard = await raw(gateway.port, [head([`content-length: ${text.length}`]) + text], { end: true })
    // Servers on Node take the end of the one half for the end of both, so it may not hear what became of it.
    const { body } = await gateway.ask('GET', '/v1/audit/half')
    const outcomes = ((body['records'] ?? []) as readonly JsonObject[]).map((r) => r['outcome'])
    expect([[], ['executed']]).toContainEqual(outcomes)
    if (statuses(heard).includes(200)) expect(outcomes).toEqual(['executed'])
  })

  test('64 levels, keys of every object, a mark of byte order, a payload near the limit', async () => {
    const odd =
      '{"action_type":"pass","id":"odd","payload":{"__proto__":{"polluted":true},"constructor":1,"toString":2,"":3}}'
    expect((await gateway.ask('POST', '/v1/dispatch', odd)).status).toBe(200)
    const { body } = await gateway.ask('GET', '/v1/audit/odd')
    const [record] = body['records'] as readonly JsonObject[]
    expect(JSON.stringify(record!['payload'])).toBe('{"__proto__":{"polluted":true},"constructor":1,"toString":2,"":3}')
    expect((await gateway.ask('POST', '/v1/dispatch', nested(64).replace('"x"', '"pass"'))).status).toBe(200)
    expect((await gateway.ask('POST', '/v1/dispatch', `\ufeff${pass('bom')}`)).status).toBe(200)
    const big = JSON.stringify({ action_type: 'pass', payload: { text: 'x'.repeat(LIMIT - 100) } })
    expect((await gateway.ask('POST', '/v1/dispatch', big)).status).toBe(200)
  })

  test('PITFALLS 16: tenants that differ only by a colon, a percent sign, a slash or a wildcard share nothing', async () => {
    const scopes = [
      ['a', 'b:c'],
      ['a:b', 'c'],
      ['a', 'b%3Ac'],
      ['a', 'b/c'],
      ['a/b', 'c'],
      ['a', 'b_c'],
      ['a', 'b%'],
      ['a', '%'],
      ['a', '*'],
      ['a', 'b c'],
      ['a', 'b+c'],
    ] as const
    for (const [i, [namespace, tenant]] of scopes.entries()) {
      const told = await gateway.dispatch({
        id: `same`,
        namespace,
        tenant,
        action_type: i % 2 === 0 ? 'hold' : 'pass',
        payload: { i },
      })
      expect(told.status).toBe(i % 2 === 0 ? 202 : 200)
    }
    for (const [i, [namespace, tenant]] of scopes.entries()) {
      const of = `?${new URLSearchParams({ namespace, tenant })}`
      const { body } = await gateway.ask('GET', `/v1/audit${of}`)
      expect(
        (body['records'] as readonly JsonObject[]).map((r) => [
          r['namespace'],
          r['tenant'],
          (r['payload'] as JsonObject)['i'],
        ]),
      ).toEqual([[namespace, tenant, i]])
      const held = await gateway.ask('GET', `/v1/scheduled${of}`)
      expect(held.body['scheduled']).toHaveLength(i % 2 === 0 ? 1 : 0)
      expect((await gateway.ask('GET', `/v1/actions/same${of}`)).body['records']).toHaveLength(1)
    }
    expect((await gateway.ask('GET', '/v1/actions/same')).status).toBe(404)
  })
})
