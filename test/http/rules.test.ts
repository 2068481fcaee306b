import { describe, expect, test } from 'vitest'
import { testGateway } from '../fakes/gateway.ts'
import { admin, items } from './read.ts'

describe('rules', () => {
  const RULES = `
rules:
  - { name: second, priority: 2, description: of two, action: { type: allow } }
  - { name: first, priority: 1, condition: { field: action.payload.a, eq: 1 }, action: { type: suppress } }
`
  test('are listed in their order, with hits', async () => {
    const g = await testGateway({ rules: RULES })
    await g.dispatch({ action_type: 'x', provider: 'out', payload: { a: 1 } })
    const t = await g.ask('GET', '/v1/rules')
    expect(t.body).toMatchObject({
      rules: [
        {
          name: 'first',
          priority: 1,
          enabled: true,
          type: 'suppress',
          line: 4,
          hits: 1,
          last_hit: '2026-01-05T12:00:00.000Z',
        },
        { name: 'second', priority: 2, description: 'of two', hits: 0 },
      ],
      version: expect.any(String),
      loaded_at: '2026-01-05T12:00:00.000Z',
      next_cursor: null,
    })
    expect(t.body.error).toBeUndefined()
    expect((await g.ask('GET', '/v1/rules/first')).body).toEqual(items(t, 'rules')[0])
    expect((await g.ask('GET', '/v1/rules/frist')).body).toMatchObject({
      status: 404,
      detail: expect.stringContaining('"first"'),
    })
  })
  test('PITFALLS 5: are switched by name, audited with who and why, and a reload keeps the switch', async () => {
    const g = await testGateway({ rules: RULES })
    const off = await g.ask('PUT', '/v1/rules/first/enabled', { enabled: false, why: 'too quiet' })
    expect(off.body).toMatchObject({
      name: 'first',
      enabled: false,
      disabled_by: 'anonymous',
      disable_details: { why: 'too quiet' },
    })
    await g.ask('POST', '/v1/rules/reload')
    const action = { action_type: 'x', provider: 'out', payload: { a: 1 } }
    expect((await g.dispatch(action)).body).toMatchObject({ outcome: 'executed' })
    expect(await admin(g)).toEqual([['rule disabled', { rule: 'first', enabled: false, why: 'too quiet' }]])
    await g.ask('PUT', '/v1/rules/first/enabled', { enabled: true })
    expect((await g.dispatch(action)).body).toMatchObject({ outcome: 'suppressed' })
    const wrong = await g.ask('PUT', '/v1/rules/first/enabled', { enabled: 'no', wy: 1 })
    expect(wrong.body).toMatchObject({
      status: 400,
      code: 'invalid_switch',
      errors: [{ pointer: '/enabled' }, { pointer: '/wy' }],
    })
    expect((await g.ask('PUT', '/v1/rules/third/enabled', { enabled: false })).status).toBe(404)
  })
  test('are switched in one scope, by body or by query, and seen as they stand there', async () => {
    const g = await testGateway({ rules: RULES })
    const off = await g.ask('PUT', '/v1/rules/first/enabled', { enabled: false, tenant: 'a', why: 'loud' })
    expect(off.body).toMatchObject({ enabled: false, disabled_by: 'anonymous', disable_details: { why: 'loud' } })
    // Who asks for one scope is told of no other.
    expect(off.body.scopes).toBeUndefined()
    expect((await g.ask('GET', '/v1/rules/first?tenant=b')).body.scopes).toBeUndefined()
    expect((await g.ask('GET', '/v1/rules/first')).body).toMatchObject({
      enabled: true,
      scopes: [{ namespace: 'default', tenant: 'a', enabled: false, disable_details: { why: 'loud' } }],
    })
    await g.ask('PUT', '/v1/rules/first/enabled?namespace=n', { enabled: false })
    expect(await admin(g)).toEqual([
      ['rule disabled', { rule: 'first', enabled: false, namespace: 'default', tenant: 'a', why: 'loud' }],
      ['rule disabled', { rule: 'first', enabled: false, namespace: 'n', tenant: 'default' }],
    ])
    const on = async (query: string) => {
      const [first] = items(await g.ask('GET', `/v1/rules${query}`), 'rules')
      expect((await g.ask('GET', `/v1/rules/first${query}`)).body).toEqual(first)
      return first!.enabled
    }
    expect([await on(''), await on('?tenant=a'), await on('?namespace=n'), await on('?tenant=b')]).toEqual([
      true,
      false,
      false,
      true,
    ])
    const sent = async (scope: object) =>
      (await g.dispatch({ action_type: 'x', provider: 'out', payload: { a: 1 }, ...scope })).body.outcome
    expect([await sent({}), await sent({ tenant: 'a' }), await sent({ namespace: 'n' })]).toEqual([
      'suppressed',
      'executed',
      'executed',
    ])
    for (const [body, pointer] of [
      [{ enabled: false, tenant: '' }, '/tenant'],
      [{ enabled: false, namespace: 5 }, '/namespace'],
      [{ enabled: true, cancel_held: true }, '/cancel_held'],
    ] as const)
      expect((await g.ask('PUT', '/v1/rules/first/enabled', body)).body).toMatchObject({
        code: 'invalid_switch',
        errors: [{ pointer }],
      })
    expect((await g.ask('PUT', '/v1/rules/first/enabled?tenant=', { enabled: false })).body).toMatchObject({
      code: 'invalid_query',
    })
    expect((await g.ask('GET', '/v1/rules/first?tenant=')).status).toBe(400)
  })
  test('show a limit of their own', async () => {
    const limit = { count: 5, window: 'PT1M' }
    const g = await testGateway({
      rules: 'rules:\n  - { name: a, max_executions: { count: 5, window: PT1M }, action: { type: allow } }\n',
    })
    expect((await g.ask('GET', '/v1/rules/a')).body).toMatchObject({ max_executions: limit })
  })
  test('PITFALLS 1: a bad edit leaves the rules of before in force, and shows in the list and in health', async () => {
    const g = await testGateway({ rules: RULES })
    g.writeRules('rules:\n  - { name: first, prioritee: 1, action: { type: suppress } }\n')
    const t = await g.ask('POST', '/v1/rules/reload')
    expect([t.status, t.body]).toEqual([
      422,
      expect.objectContaining({
        code: 'rules_invalid',
        findings: [
          expect.objectContaining({ severity: 'error', line: 2, message: expect.stringContaining('"priority"') }),
        ],
      }),
    ])
    const list = await g.ask('GET', '/v1/rules')
    expect(items(list, 'rules')).toHaveLength(2)
    expect(list.body.error).toMatch(/rules\.yaml:2:\d+: error: .*"priority"/)
    const health = await g.ask('GET', '/health')
    expect([health.status, health.body]).toMatchObject([200, { status: 'degraded', rules: { error: list.body.error } }])
    const metrics = (await g.ask('GET', '/metrics')).text
    expect(metrics).toMatch(/^signalbox_config_ok\{what="rules"\} 0$/m)
    expect(metrics).toMatch(/^signalbox_config_ok\{what="config"\} 1$/m)
    expect(metrics).toMatch(/^signalbox_rules 2$/m)
  })
  test('that are all gone take effect, and are a warning until there are some again', async () => {
    const g = await testGateway({ rules: RULES })
    expect((await g.ask('GET', '/health')).body).toMatchObject({ status: 'ok' })
    g.writeRules('')
    await g.rules.reload()
    await g.rules.reload()
    const warnings = [
      expect.stringMatching(/rules\.yaml:1:1: warning: there is nothing in the file/),
      expect.stringMatching(/: warning: no rule is left of 2/),
    ]
    const { body } = await g.ask('GET', '/health')
    expect(body).toMatchObject({ status: 'warning', rules: { warnings } })
    expect((await g.ask('GET', '/v1/rules')).body).toMatchObject({ rules: [], warnings })
    expect(g.env.logged.filter((l) => l.level === 'warn')).toHaveLength(4)
    const metrics = (await g.ask('GET', '/metrics')).text
    expect(metrics).toMatch(/^signalbox_config_ok\{what="rules"\} 1$/m)
    expect(metrics).toMatch(/^signalbox_rules 0$/m)
    g.writeRules(RULES)
    await g.rules.reload()
    expect((await g.ask('GET', '/health')).body).toMatchObject({ status: 'ok' })
  })
  test('are checked as text, YAML or JSON, and nothing is loaded', async () => {
    const g = await testGateway({ rules: RULES })
    const yaml = 'rules: [{ name: third, action: { type: alow } }]'
    const asYaml = await g.ask('POST', '/v1/rules/check', yaml, { 'content-type': 'application/yaml' })
    expect(asYaml.body).toMatchObject({
      ok: false,
      findings: [{ severity: 'error', line: 1, message: expect.stringContaining('"allow"') }],
    })
    expect((await g.ask('POST', '/v1/rules/check', { yaml })).body).toEqual(asYaml.body)
    expect((await g.ask('POST', '/v1/rules/check', { yaml: RULES })).body).toEqual({ ok: true, findings: [] })
    expect((await g.ask('POST', '/v1/rules/check', yaml, { 'content-type': 'image/png' })).status).toBe(415)
    expect((await g.ask('GET', '/v1/rules/third')).status).toBe(404)
  })
  test('a text to be checked never meets the environment: a reference may stand for anything, its default is put in', async () => {
    const g = await testGateway({ rules: RULES })
    const check = async (action: string, more = '') =>
      (await g.ask('POST', '/v1/rules/check', { yaml: `rules: [{ name: third, ${more}action: ${action} }]` })).body
    const path = process.env.PATH!
    expect(path).toBeTruthy()
    const texts = [
      ['{ type: "${PATH}" }'],
      ['{ type: reroute, target_provider: "${PATH}" }'],
      ['{ type: modify, set: { action.provider: "${PATH}" } }'],
      ['{ type: modify, changes: { a: "to ${PATH} and {{${PATH}}}" } }'],
      ['{ type: schedule, cron: "${PATH}", timezone: "${PATH}" }'],
      ['{ type: throttle, max_count: "${PATH}", window_seconds: 1 }'],
      ['{ type: throttle, max_count: "${NOBODY_HAS_SET_THIS}", window_seconds: 1 }'],
      ['{ type: suppress }', 'priority: "${PATH}", '],
      ['{ type: suppress }', 'timezone: "${PATH}", '],
      ['{ type: suppress }', 'condition: { cel: "${PATH}" }, '],
      ['{ type: suppress }', 'condition: { field: "${PATH}", eq: 1 }, '],
      ['{ type: suppress }', 'condition: { field: action.payload.a, matches: "(${PATH}" }, '],
      ['{ type: suppress }', 'condition: { field: action.payload.a, in: [1, "${PATH}"], between: "${PATH}" }, '],
      ['{ type: reroute, target_provider: *a }', 'description: &a "${PATH}", '],
    ] as const
    for (const [action, more] of texts)
      expect([action, more, await check(action, more)]).toEqual([action, more, { ok: true, findings: [] }])
    // What stands beside a reference is looked at all the same.
    const both = await check('{ type: reroute, target_provider: "${PATH}", fallback_provider: "${PATH:-uot}" }')
    expect(both).toMatchObject({
      ok: false,
      findings: [{ message: 'there is no provider "uot"; did you mean "out"?' }],
    })
    const named = await check('{ type: alow }', 'condition: { field: env.PATH, eq: 1 }, ')
    expect(named).toMatchObject({
      ok: false,
      findings: [{ message: expect.stringContaining('not in [rules].env') }, {}],
    })
    expect(JSON.stringify([both, named])).not.toContain(path)
  })
  test('evaluate takes the action bare or named, and points into what was sent', async () => {
    const g = await testGateway({ rules: RULES })
    const action = { action_type: 'x', provider: 'out', payload: { a: 1 } }
    expect((await g.ask('POST', '/v1/rules/evaluate', action)).body).toMatchObject({
      outcome: 'dry_run',
      verdict: 'suppressed',
    })
    expect((await g.ask('POST', '/v1/rules/evaluate', { action })).body).toMatchObject({ verdict: 'suppressed' })
    expect((await g.ask('POST', '/v1/rules/evaluate', { action: {} })).body).toMatchObject({
      errors: [{ pointer: '/action/action_type' }],
    })
  })
})
