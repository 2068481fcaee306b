import { describe, expect, test } from 'vitest'
import { type TestGateway, type Told, testGateway } from '../fakes/gateway.ts'
import { held, OK } from '../fakes/provider.ts'
import { problem } from './read.ts'

const JSON_TYPE = { 'content-type': 'application/json' }

const dispatchText = (g: TestGateway, text: string, headers: Record<string, string> = JSON_TYPE): Promise<Told> =>
  g.ask('POST', '/v1/dispatch', text, headers)
const errorsAt = (pointer: string, message: unknown = expect.any(String)) => ({ errors: [{ pointer, message }] })

describe('a body that cannot be read names its fault, and nothing is stored', () => {
  const bodies: readonly [name: string, body: string | Uint8Array, code: string, more: object][] = [
    [
      'no JSON',
      '{"action_type":\n  }',
      'invalid_json',
      { line: 2, column: 3, ...errorsAt('', 'line 2, column 3: expected a value') },
    ],
    ['nothing', '', 'invalid_json', { line: 1, column: 1 }],
    ['an exponent too large', '{"payload":{"a":[1,{"b/c":1e400}]}}', 'invalid_number', errorsAt('/payload/a/1/b~1c')],
    ['below the other end', '{"payload":{"a":-1.5E+309}}', 'invalid_number', errorsAt('/payload/a')],
    ['a number of 310 digits', `{"payload":{"a":${'9'.repeat(310)}}}`, 'invalid_number', errorsAt('/payload/a')],
    [
      'of 250 digits and an exponent',
      `{"payload":{"a":${'9'.repeat(250)}e99}}`,
      'invalid_number',
      errorsAt('/payload/a'),
    ],
    ['too deep', `{"payload":${'['.repeat(64)}${']'.repeat(64)}}`, 'too_deep', {}],
    ['no UTF-8', Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'invalid_utf8', {}],
    ['no object', '[]', 'invalid_action', errorsAt('', 'expected an object')],
    [
      'wrong fields, all at once',
      '{"action_typ":"x","tenant":"a\\u0000b","payload":[],"id":"","created_at":"now","metadata":{"a":1}}',
      'invalid_action',
      {
        errors: [
          { pointer: '/action_typ', message: expect.stringContaining('unknown field') },
          { pointer: '/action_type', message: 'is required' },
          { pointer: '/payload', message: 'expected an object' },
          { pointer: '/id', message: 'must not be empty' },
          { pointer: '/tenant', message: 'holds a control character' },
          { pointer: '/metadata/a', message: 'expected a string' },
          { pointer: '/created_at', message: expect.stringContaining('RFC 3339') },
        ],
      },
    ],
    [
      'a lone surrogate in a name',
      '{"action_type":"\\ud800"}',
      'invalid_action',
      errorsAt('/action_type', 'is not well-formed Unicode'),
    ],
    [
      'an own __proto__ as a field',
      '{"action_type":"x","__proto__":{"tenant":"t"}}',
      'invalid_action',
      errorsAt('/__proto__', 'unknown field'),
    ],
  ]
  test.each(bodies)('%s', async (_name, body, code, more) => {
    const g = await testGateway()
    const response = await g.app.request('/v1/dispatch', { method: 'POST', headers: JSON_TYPE, body })
    const text = await response.text()
    problem({ status: response.status, headers: response.headers, text, body: JSON.parse(text) }, 400, code, more)
    expect(await g.records()).toEqual([])
    expect(await g.state.depths()).toEqual([])
  })
  test('nesting of 64 is read, and __proto__ and doubled keys in a payload are plain data', async () => {
    const g = await testGateway()
    const deep = `${'['.repeat(62)}${']'.repeat(62)}`
    const t = await dispatchText(
      g,
      `{"action_type":"x","provider":"out","payload":{"deep":${deep},"__proto__":{"polluted":1},"constructor":2,"a":1,"a":2}}`,
    )
    expect(t.body).toMatchObject({ outcome: 'executed' })
    const sent = g.providers.out!.sent[0]!.request as { payload: object }
    expect(JSON.stringify(sent.payload)).toBe(`{"deep":${deep},"__proto__":{"polluted":1},"constructor":2,"a":2}`)
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
  test('a BOM is no fault', async () => {
    expect((await dispatchText(await testGateway(), '\ufeff{"action_type":"x","provider":"out"}')).status).toBe(200)
  })
  test('too large is 413, said or counted', async () => {
    const g = await testGateway({ set: ['server.body_limit_bytes=1024'] })
    const body = JSON.stringify({ action_type: 'x', provider: 'out', payload: { text: 'x'.repeat(1024) } })
    problem(await dispatchText(g, body), 413, 'body_too_large')
    problem(await dispatchText(g, body, { ...JSON_TYPE, 'content-length': String(body.length) }), 413, 'body_too_large')
    expect(await g.records()).toEqual([])
  })
})

describe('what is sent as something else than JSON', () => {
  test.each([['text/plain'], ['application/x-www-form-urlencoded'], ['application/json; charset=latin1']])(
    '%s is 415 with the curl that works',
    async (type) => {
      const t = await dispatchText(await testGateway(), '{}', { 'content-type': type })
      problem(t, 415, 'unsupported_media_type', {
        detail: expect.stringContaining(
          "curl -X POST 'http://localhost/v1/dispatch' -H 'content-type: application/json'",
        ),
      })
    },
  )
  test.each([
    ['application/json;charset=UTF-8'],
    ['application/json; charset="utf-8"'],
    ['application/cloudevents+json'],
    ['Application/JSON'],
  ])('%s is read', async (type) => {
    const t = await dispatchText(await testGateway(), '{"action_type":"x","provider":"out"}', {
      'content-type': type,
    })
    expect(t.status).toBe(200)
  })
  test('a compressed body is not read', async () => {
    problem(
      await dispatchText(await testGateway(), '{}', { ...JSON_TYPE, 'content-encoding': 'gzip' }),
      415,
      'unsupported_encoding',
    )
  })
  test('a body where none is taken is refused rather than ignored', async () => {
    const g = await testGateway()
    problem(await g.ask('POST', '/v1/rules/reload', { directory: '/etc' }), 400, 'unexpected_body')
    expect((await g.ask('POST', '/v1/rules/reload', {})).status).toBe(200)
  })
})

describe('a length of time', () => {
  const action = { action_type: 'x', provider: 'out' }
  test.each<[string, string, object, string, string]>([
    ['PUT', '/v1/quotas/q', { max_actions: 1, window: 31_536_001 }, 'invalid_quota', '/window'],
    ['PUT', '/v1/quotas/q', { max_actions: 10, window: 9_007_199_254_740 }, 'invalid_quota', '/window'],
    ['PUT', '/v1/retention', { audit_ttl_seconds: 3_153_600_001 }, 'invalid_retention', '/audit_ttl_seconds'],
    ['PUT', '/v1/retention', { state_ttl_seconds: 9_007_199_254_740 }, 'invalid_retention', '/state_ttl_seconds'],
    [
      'PUT',
      '/v1/recurring/r',
      { ...action, cron_expr: '* * * * *', end_date: '9999-12-31T23:59:59-01:00' },
      'invalid_recurring',
      '/end_date',
    ],
  ])('%s %s %o is refused: nothing comes after the year 9999', async (method, path, body, code, pointer) => {
    const g = await testGateway()
    problem(await g.ask(method, path, body), 400, code, errorsAt(pointer))
  })
  test.each<[string, object, string]>([
    ['/v1/quotas', { max_actions: 1, window: 60 }, 'invalid_quota'],
    ['/v1/recurring', { ...action, cron_expr: '* * * * *' }, 'invalid_recurring'],
  ])('POST %s: a name that no address can end in is refused: it could never be deleted', async (path, body, code) => {
    const g = await testGateway()
    for (const name of ['.', '..']) problem(await g.ask('POST', path, { ...body, name }), 400, code, errorsAt('/name'))
    expect((await g.ask('POST', path, { ...body, name: '...' })).status).toBe(201)
    expect((await g.ask('DELETE', `${path}/...`)).status).toBe(204)
  })
  test('as long as it may be is counted, answered and kept', async () => {
    const g = await testGateway()
    expect((await g.ask('PUT', '/v1/quotas/q', { max_actions: 1, window: 31_536_000 })).status).toBe(201)
    expect((await g.dispatch(action)).status).toBe(200)
    expect((await g.dispatch(action)).body).toMatchObject({
      outcome: 'quota_exceeded',
      resets_at: '2026-12-18T00:00:00.000Z',
    })
    expect((await g.ask('GET', '/v1/quotas/q/usage')).body).toMatchObject({ used: 1 })
    expect((await g.ask('PUT', '/v1/retention', { audit_ttl_seconds: 3_153_600_000 })).status).toBeLessThan(300)
  })
})

describe('what the gateway cannot take', () => {
  test('a provider nobody configured, with the nearest name', async () => {
    const g = await testGateway()
    problem(
      await g.dispatch({ action_type: 'x', provider: 'oot' }),
      422,
      'provider_unknown',
      errorsAt('/provider', 'no provider has this name; did you mean "out"?'),
    )
    problem(await g.dispatch({ action_type: 'x' }), 422, 'provider_required', errorsAt('/provider'))
    expect(await g.records()).toEqual([])
  })
  test('an Idempotency-Key that is too long, or stands for another body', async () => {
    const g = await testGateway()
    const action = { action_type: 'x', provider: 'out' }
    problem(await g.dispatch(action, { 'idempotency-key': 'k'.repeat(256) }), 400, 'invalid_idempotency_key')
    problem(await g.dispatch(action, { 'idempotency-key': '' }), 400, 'invalid_idempotency_key')
    expect((await g.dispatch(action, { 'idempotency-key': 'k'.repeat(255) })).status).toBe(200)
    problem(
      await g.dispatch({ ...action, id: 'other' }, { 'idempotency-key': 'k'.repeat(255) }),
      422,
      'idempotency_mismatch',
    )
  })
  test('a key whose first request is under way: 409 with Retry-After; then the answer, marked as replayed', async () => {
    const hand = held()
    const g = await testGateway({ providers: { out: [hand.answer] } })
    const action = { action_type: 'x', provider: 'out' }
    const first = g.dispatch(action, { 'idempotency-key': 'k' })
    await g.env.clock.settle()
    const second = await g.dispatch(action, { 'idempotency-key': 'k' })
    problem(second, 409, 'idempotency_in_progress', { retry_after_ms: 1000 })
    expect(second.headers.get('retry-after')).toBe('1')
    hand.finish(OK)
    const told = await first
    const third = await g.dispatch(action, { 'idempotency-key': 'k' })
    expect(third.body).toEqual(told.body)
    expect([told, third].map((t) => t.headers.get('idempotent-replayed'))).toEqual([null, 'true'])
  })
})

describe('addresses', () => {
  test('a route that is not there names the nearest', async () => {
    const g = await testGateway()
    problem(await g.ask('POST', '/v1/dispach', {}), 404, 'unknown_route', {
      detail: 'there is no /v1/dispach; did you mean "/v1/dispatch"? GET / lists what there is.',
    })
    problem(await g.ask('GET', '/v1/dispatch/'), 404, 'unknown_route')
  })
  test('a method it does not take is 405 with those it does', async () => {
    const g = await testGateway()
    const t = await g.ask('GET', '/v1/dispatch')
    problem(t, 405, 'method_not_allowed')
    expect(t.headers.get('allow')).toBe('POST')
    expect((await g.ask('DELETE', '/v1/quotas')).headers.get('allow')).toBe('GET, HEAD, POST')
    expect((await g.ask('POST', '/v1/rules/some%2Fname')).headers.get('allow')).toBe('GET, HEAD')
    expect((await g.ask('OPTIONS', '/v1/dispatch')).status).toBe(405)
  })
  test('HEAD answers as GET without the body', async () => {
    const g = await testGateway()
    expect(await g.ask('HEAD', '/health')).toMatchObject({ status: 200, text: '' })
  })
  test.each([
    [
      '/v1/audit?tennant=a',
      '?tennant',
      expect.stringMatching(/^unknown parameter; expected one of .*; did you mean "tenant"\?$/),
    ],
    ['/v1/rules?name=a', '?name', 'unknown parameter; expected one of limit, cursor, namespace, tenant'],
    ['/v1/audit?tenant=a&tenant=b', '?tenant', 'stands there twice'],
    ['/v1/audit?tenant=%zz', '?tenant', expect.stringContaining('%25')],
    ['/v1/audit?tenant=%00', '?tenant', 'holds a control character'],
    ['/v1/audit?tenant=', '?tenant', 'must not be empty'],
    ['/v1/groups?namespace=', '?namespace', 'must not be empty'],
    ['/v1/audit?limit=0', '?limit', 'expected a whole number from 1 to 1000'],
    ['/v1/audit?limit=1001', '?limit', 'expected a whole number from 1 to 1000'],
    ['/v1/audit?limit=ten', '?limit', 'expected a whole number from 1 to 1000'],
    ['/v1/audit?from=yesterday', '?from', expect.stringContaining('RFC 3339')],
    ['/v1/audit?to=99999999999999999999', '?to', expect.stringContaining('RFC 3339')],
    ['/v1/audit?from=2026-02-30T00:00:00Z', '?from', expect.stringContaining('RFC 3339')],
    ['/v1/audit?from=2026-01-05', '?from', expect.stringMatching(/: 2026-01-05T00:00:00Z$/)],
    ['/v1/audit?from=2026-01-05T12:00:00', '?from', expect.stringMatching(/; a zone is missing: Z or an offset$/)],
    [
      '/v1/audit?from=1767614400',
      '?from',
      expect.stringMatching(/; seconds are 1767614400000, or 2026-01-05T12:00:00/),
    ],
    ['/v1/chains?to=20260105', '?to', expect.stringContaining('RFC 3339')],
    ['/v1/chains/summary?from=2026', '?from', expect.stringContaining('RFC 3339')],
    ['/v1/chains?status=runing', '?status', expect.stringContaining('did you mean "running"')],
    ['/v1/audit?outcome=excuted', '?outcome', expect.stringContaining('did you mean "executed"')],
    ['/v1/audit?kind=dispatchh', '?kind', expect.stringContaining('did you mean "dispatch"')],
    ['/v1/stream?outcome=zzz', '?outcome', expect.stringContaining('expected one of executed, ')],
    ['/v1/rules?namespace=', '?namespace', 'must not be empty'],
    ['/health?verbose=1', '?verbose', 'unknown parameter; this route takes none'],
  ])('%s names the parameter', async (path, pointer, message) => {
    problem(await (await testGateway()).ask('GET', path), 400, 'invalid_query', { errors: [{ pointer, message }] })
  })
  test('a flag is true or false: a misspelt dry run never runs', async () => {
    const g = await testGateway()
    for (const query of ['?dry_run', '?dry_run=yes', '?dryrun=true', '?trace=1'])
      problem(await g.dispatch({ action_type: 'x', provider: 'out' }, {}, query), 400, 'invalid_query')
    expect(g.providers.out!.sent).toHaveLength(0)
  })
  test('a cursor of another list, or of none, is no place in this one', async () => {
    const g = await testGateway({
      rules: 'rules: [{ name: a, action: { type: allow } }, { name: b, action: { type: allow } }]',
    })
    const first = await g.ask('GET', '/v1/rules?limit=1')
    const cursor = String(first.body.next_cursor)
    expect((await g.ask('GET', `/v1/rules?cursor=${cursor}`)).body).toMatchObject({
      rules: [{ name: 'b' }],
      next_cursor: null,
    })
    problem(await g.ask('GET', `/v1/providers?cursor=${cursor}`), 400, 'invalid_cursor')
    problem(await g.ask('GET', '/v1/rules?cursor=bm9uc2Vuc2U'), 400, 'invalid_cursor')
    problem(await g.ask('GET', '/v1/rules?cursor=!'), 400, 'invalid_cursor')
    g.writeRules('rules: [{ name: b, action: { type: allow } }]')
    await g.ask('POST', '/v1/rules/reload')
    problem(await g.ask('GET', `/v1/rules?cursor=${cursor}`), 400, 'invalid_cursor')
  })
  test('a path that is not percent-encoded UTF-8', async () => {
    const g = await testGateway()
    problem(await g.ask('PUT', '/v1/quotas/%ff', { max_actions: 1, window: 'daily' }), 400, 'invalid_path')
    problem(await g.ask('GET', '/v1/quotas/50%'), 400, 'invalid_path')
  })
})
