import { expect, test } from 'vitest'
import { ProviderError } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { testGateway } from '../fakes/gateway.ts'
import { held, OK, unavailable } from '../fakes/provider.ts'
import { items } from './read.ts'

const SECRET = 'hunter2'
const RULES = `
rules:
  - { name: group, condition: { field: action.action_type, eq: humidity }, action: { type: group, group_by: [payload.password] } }
  - { name: later, condition: { field: action.action_type, eq: energy }, action: { type: schedule, delay_seconds: 60 } }
  - { name: steps, condition: { field: action.action_type, eq: reading }, action: { type: chain, chain: c } }
  - { name: ends, condition: { field: action.action_type, eq: told }, action: { type: chain, chain: d } }
  - { name: careful, condition: { all: [{ field: action.action_type, eq: traced }, { field: action.payload.password, eq: other }] }, action: { type: deny } }
`
const TOML = `
[executor]
max_retries = 0
[audit.redact]
fields = ["password", "nested.key"]
[[chains.definitions]]
name = "c"
steps = [{ name = "one", provider = "slow", action_type = "x", payload_template = { copy = "{{origin.payload}}", password = "${SECRET}" } }]
[[chains.definitions]]
name = "d"
steps = [{ name = "one", provider = "echo", action_type = "x" }, { name = "two", provider = "echo", action_type = "x" }]
`
const refusing = new ProviderError('http_400', 'it said no', {
  response: { status: 400, body: { password: SECRET, said: 'no' } },
})
const payload = { password: SECRET, nested: { key: SECRET, other: 'plain' }, list: [{ password: SECRET }] }

test('PITFALLS 52: no warning and no error that is about a value quotes it', async () => {
  const chain = (name: string, step: string) =>
    `[[chains.definitions]]\nname = "${name}"\nsteps = [{ name = "s", ${step} }]\n`
  const cels = [
    'bool(action.payload.password)',
    'duration(action.payload.password) == duration("1s")',
    'timestamp(action.created_at).getHours(action.payload.password) == 1',
    'action.payload.text[action.payload.password] == 1',
    'bytes(action.payload.password).json() == {}',
    'action.payload.number * action.payload.number > 1',
  ]
  const g = await testGateway({
    rules: `
rules:
  - { name: to, priority: 1, action: { type: modify, set: { action.provider: "{{payload.password}}", action.action_type: "{{payload.many}}" } } }
${cels.map((c, i) => `  - { name: cel-${i}, priority: 2, condition: { cel: ${JSON.stringify(c)} }, action: { type: suppress } }`).join('\n')}
  - { name: w, priority: 3, condition: { field: action.action_type, eq: w }, action: { type: chain, chain: w } }
  - { name: u, priority: 3, condition: { field: action.action_type, eq: u }, action: { type: chain, chain: u } }
  - { name: e, priority: 3, condition: { field: action.action_type, eq: e }, action: { type: chain, chain: e } }
`,
    toml: `[audit.redact]\nfields = ["password", "number", "many"]\n${chain('w', 'wait = { seconds = "{{origin.payload.password}}" }')}${chain('u', 'wait = { until = "{{origin.payload.password}}" }')}${chain('e', 'set = { x = { cel = "bool(origin.payload.password)" } }')}`,
  })
  const seen: string[] = []
  const of = (action_type: string) => ({
    action_type,
    provider: 'out',
    payload: { password: SECRET, text: 'x', number: 4_000_000_000_123, many: SECRET.repeat(30) },
  })
  const live = await g.dispatch(of('x'))
  expect(live.body.warnings).toEqual([
    'rule "to": what "action.provider" came to is no provider; left as it was',
    'rule "to": action_type must be 1 to 128 characters, none of them control; left as it was',
  ])
  const traced = await g.ask('POST', '/v1/rules/evaluate', of('x'))
  expect(traced.text.match(/cel is in error/g)).toHaveLength(cels.length)
  seen.push(live.text, traced.text)
  for (const type of ['w', 'u', 'e']) {
    const { body } = await g.dispatch(of(type))
    expect(body).toMatchObject({ outcome: 'chain_started' })
    await g.env.clock.advance(1000)
    const run = await g.ask('GET', `/v1/chains/${String(body.chain_id)}`)
    // The step's own input stands there under its own name, which can be named to be hidden.
    const [step] = items(run, 'steps')
    expect(run.body).toMatchObject({ status: 'failed' })
    seen.push(JSON.stringify([run.body.error, step!.output]))
  }
  for (const { details } of await g.records()) seen.push(JSON.stringify({ ...(details as object), input: null }))
  for (const text of seen) {
    expect(text).not.toContain(SECRET)
    expect(text).not.toContain('4000000000123')
    expect(text).not.toContain(String(4_000_000_000_123n ** 2n))
  }
})

test('PITFALLS 52: no answer, list, view, problem, log line or metric shows a redacted value; delivery has it whole', async () => {
  const g = await testGateway({
    rules: RULES,
    toml: TOML,
    providers: {
      out: [{ status: 200, body: { password: SECRET, said: 'yes' } }, refusing, OK],
      slow: [held().answer],
      echo: [{ status: 200, body: { password: SECRET, said: 'yes' } }, refusing],
    },
  })
  const seen: string[] = []
  const look = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const t = await g.ask(method, path, body, headers)
    seen.push(`${method} ${path} ${t.status} ${t.text} ${JSON.stringify([...t.headers])}`)
    return t
  }
  const dispatch = (id: string, action_type: string, query = '', headers = {}) =>
    look(
      'POST',
      `/v1/dispatch${query}`,
      { id, action_type, provider: 'out', payload, metadata: { password: SECRET } },
      headers,
    )

  const live = await dispatch('live', 'x', '', { 'idempotency-key': 'k' })
  expect(live.body).toMatchObject({ response: { body: { password: '[REDACTED]', said: 'yes' } } })
  expect(await dispatch('live', 'x', '', { 'idempotency-key': 'k' })).toMatchObject({ body: live.body })
  const { body: failed } = await dispatch('failed', 'x')
  expect(failed).toMatchObject({ outcome: 'failed', response: { body: { password: '[REDACTED]', said: 'no' } } })
  const { body: hold } = await dispatch('hold', 'energy')
  const { body: group } = await dispatch('group', 'humidity')
  const { body: chain } = await dispatch('chain', 'reading')
  const { body: done } = await dispatch('told', 'told')
  await g.env.clock.settle()
  await dispatch('dry', 'traced', '?dry_run=true&trace=true')
  await dispatch('traced', 'traced', '?trace=true')
  await look('POST', '/v1/rules/evaluate', { action_type: 'traced', provider: 'out', payload })
  const beat = { provider: 'out', action_type: 'beat', cron_expression: '0 * * * *', payload }
  await look('PUT', '/v1/recurring/beat', beat)
  for (const path of [
    '/v1/actions/live',
    '/v1/actions/failed',
    '/v1/actions/hold',
    '/v1/audit',
    '/v1/audit/live',
    '/v1/scheduled',
    `/v1/scheduled/${hold.hold_id}`,
    '/v1/groups',
    `/v1/groups/${group.group_id}`,
    '/v1/chains',
    `/v1/chains/${chain.chain_id}`,
    `/v1/chains/${done.chain_id}`,
    `/v1/chains/${done.chain_id}/history`,
    '/v1/audit/told',
    '/v1/chains/definitions',
    '/v1/chains/definitions/c',
    `/v1/chains/definitions/c/versions/${(await look('GET', '/v1/chains/definitions/c')).body.version}`,
    '/v1/dlq',
    `/v1/dlq/${failed.dead_letter_id}`,
    '/v1/recurring',
    '/v1/recurring/beat',
    '/v1/stats',
    '/metrics',
    '/health',
    '/v1/providers/health',
    '/v1/audit?namespace=&tenant=',
  ])
    expect((await look('GET', path)).status, path).toBe(200)
  // A group by a hidden value has it in its key.
  await look('POST', `/v1/groups/${group.group_id}/flush`)
  await look('GET', `/v1/groups/${group.group_id}`)
  // Problems about bodies that hold it.
  await look('POST', '/v1/dispatch', `{"action_type":"x","payload":{"password":"${SECRET}",}}`)
  await look('POST', '/v1/dispatch', `{"action_type":"x","payload":{"password":"${SECRET}`)
  await look('POST', '/v1/dispatch', { action_type: 'x', payload, provider: 'none' })
  await look('POST', '/v1/dispatch', { action_type: 'x', payload, id: 5, metadata: { password: 7 } })
  await look('POST', '/v1/dispatch', { ...payload, action_type: 'x' })
  await look('PUT', '/v1/recurring/beat', { ...beat, cron_expression: 'never', provider: 'none' })
  expect((await look('POST', '/v1/audit/live/replay')).body).toMatchObject({ status: 409, code: 'payload_redacted' })
  const again = await look('POST', `/v1/dlq/${failed.dead_letter_id}/redrive`)
  expect(again.body).toMatchObject({ outcome: 'executed' })

  expect(seen.filter((s) => s.includes(SECRET))).toEqual([])
  const steps = (await g.records()).filter((r) => r.kind === 'chain_step')
  expect(steps.map((r) => r.outcome).sort()).toEqual(['failed', 'step_completed'])
  expect(steps.every((r) => (r.metadata as JsonObject)['password'] === '[REDACTED]')).toBe(true)
  expect(g.env.logged.filter((l) => JSON.stringify(l).includes(SECRET))).toEqual([])
  const sent = [...g.providers.out!.sent, ...g.providers.slow!.sent].map((s) => JSON.stringify(s.request))
  expect(sent.length).toBeGreaterThanOrEqual(4)
  expect(sent.every((s) => s.includes(SECRET) && !s.includes('REDACTED'))).toBe(true)
})

test('PITFALLS 52: copies and deliveries that wait are shown redacted, and sent whole', async () => {
  const g = await testGateway({
    rules: '\nrules: [{ name: c, action: { type: copy, target_provider: other } }]\n',
    providers: { out: [unavailable(), OK], other: [OK] },
    toml: '[executor]\nmax_retries = 0\n[audit.redact]\nfields = ["password", "nested.key"]\n',
  })
  const action = { id: 'a', action_type: 'x', provider: 'out', payload, metadata: { password: SECRET } }
  expect((await g.dispatch(action, { prefer: 'respond-async' })).status).toBe(202)
  await g.advance(100)
  for (const kind of ['copy', 'delivery']) {
    const list = await g.ask('GET', `/v1/scheduled?kind=${kind}`)
    const [one] = items(list, 'scheduled')
    const shown = { password: '[REDACTED]', nested: { key: '[REDACTED]', other: 'plain' } }
    expect(one).toMatchObject({ action: { payload: shown, metadata: { password: '[REDACTED]' } } })
    const got = await g.ask('GET', `/v1/scheduled/${String(one?.['hold_id'])}?kind=${kind}`)
    expect(list.text + got.text).not.toContain(SECRET)
  }
  const where = await g.ask('GET', '/v1/actions/a')
  expect(where.body['places']).toHaveLength(2)
  expect(where.text).not.toContain(SECRET)
  expect(g.providers['out']!.sent).toMatchObject([{ request: { payload } }])
  await g.close()
})

test('what was read redacted is not written back over the secret', async () => {
  const g = await testGateway({ toml: TOML, providers: { out: [OK], slow: [OK], echo: [OK] } })
  const beat = { provider: 'out', action_type: 'beat', cron_expression: '0 * * * *', payload }
  await g.ask('PUT', '/v1/recurring/beat', beat)
  const { payload: shown } = (await g.ask('GET', '/v1/recurring/beat')).body
  const back = await g.ask('PUT', '/v1/recurring/beat', { ...beat, payload: shown })
  expect(back.body).toMatchObject({ status: 422, code: 'placeholder_in_body' })
  const steps = [{ name: 'one', provider: 'out', action_type: 'x', payload_template: { password: '[REDACTED]' } }]
  expect((await g.ask('PUT', '/v1/chains/definitions/d', { steps })).body).toMatchObject({
    code: 'placeholder_in_body',
  })
})

test('what an execution is found by is hidden where its origin is, in every view and event of it', async () => {
  const g = await testGateway({
    rules: `
rules:
  - { name: sale, condition: { field: action.action_type, eq: sale }, action: { type: chain, chain: sale } }
  - { name: whole, condition: { field: action.action_type, eq: whole }, action: { type: chain, chain: whole } }
`,
    toml: `
[audit.redact]
fields = ["card", "ssn", "payload.buyer.name"]
[[chains.definitions]]
name = "sale"
lock_by = "payload.card"
attributes = { who = "{{origin.payload.ssn}}", order = "{{origin.payload.order}}", line = "{{origin.payload.order}} of {{origin.payload.buyer}}" }
steps = [{ name = "ask", wait_for_signal = { signal = "go" } }, { name = "sub", sub_chain = "below" }]
[[chains.definitions]]
name = "below"
lock_by = "payload.card"
attributes = { mine = "{{origin.payload.ssn}}" }
steps = [{ name = "stay", wait_for_signal = { signal = "go" } }]
[[chains.definitions]]
name = "whole"
lock_by = "payload.card.number"
steps = [{ name = "ask", wait_for_signal = { signal = "go" } }]
`,
    providers: { out: [OK] },
  })
  const send = (id: string, action_type: string, body: object) =>
    g.ask('POST', '/v1/dispatch', { id, action_type, provider: 'out', payload: body })
  const buyer = { name: SECRET, city: 'Ulm' }
  const { body: sale } = await send('s', 'sale', { card: SECRET, ssn: SECRET, order: 'o1', buyer })
  const { body: whole } = await send('w', 'whole', { card: { number: SECRET } })
  const seen: string[] = []
  const look = async (path: string) => {
    const { body, text } = await g.ask('GET', path)
    seen.push(`${path} ${text}`)
    return body
  }
  await g.advance(0)
  const id = sale.chain_id as string
  const shown = {
    entity: '[REDACTED]',
    attributes: { who: '[REDACTED]', order: 'o1', line: 'o1 of {"name":"[REDACTED]","city":"Ulm"}' },
  }
  expect(await look(`/v1/chains/${id}`)).toMatchObject(shown)
  expect(await look(`/v1/chains?entity=${SECRET}&chain_name=sale`)).toMatchObject({ chains: [shown] })
  expect(await look(`/v1/chains?attribute=who:${SECRET}`)).toMatchObject({ chains: [shown] })
  expect(await look('/v1/actions/s')).toMatchObject({ places: [{ chain_id: id }] })
  expect(await look(`/v1/chains/${whole.chain_id}`)).toMatchObject({ entity: '[REDACTED]' })
  await g.ask('POST', `/v1/chains/${id}/signal`, { signal: 'go', payload: null })
  await g.advance(0)
  const [below] = (await look('/v1/chains?chain_name=below'))['chains'] as readonly JsonObject[]
  expect(below).toMatchObject({ attributes: { mine: '[REDACTED]' } })
  expect(below).not.toHaveProperty('entity')
  await look(`/v1/chains/${below!['chain_id']}/history`)
  await g.ask('POST', `/v1/chains/${id}/cancel`)
  await g.advance(0)
  await g.ask('POST', `/v1/chains/${id}/reset`, { step: 'ask' })
  await g.advance(0)
  expect(JSON.stringify(await look(`/v1/chains/${id}/history`))).toContain('"type":"reopened"')
  await look('/v1/audit')
  expect(seen.filter((s) => s.replace(/^\S+/, '').includes(SECRET))).toEqual([])
  await g.close()
})
