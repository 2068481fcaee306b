import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { until } from './run.ts'

/** What must be read by nobody but the receiver. */
const SECRET = 'hunter2-7f3a'

test('one line of JSON on stderr for each dispatch: what became of it and why', async () => {
  const at = place({
    'rules/rules.yaml': `
rules:
  - { name: no-debug, condition: { field: action.payload.level, eq: debug }, action: { type: suppress } }
  - { name: later, condition: { field: action.action_type, eq: later }, action: { type: schedule, delay_seconds: 60 } }
`,
  })
  const gateway = await serve(at)
  await gateway.dispatch({ id: 'a', action_type: 'note', payload: { level: 'debug' } })
  await gateway.dispatch({ id: 'b', action_type: 'note', tenant: 'other' })
  await gateway.dispatch({ id: 'c', action_type: 'later' })
  await gateway.ask('POST', '/v1/dispatch/batch', [
    { id: 'd', action_type: 'note' },
    { action_type: '' },
    { id: 'e', action_type: 'note' },
  ])
  await gateway.dispatch({ id: 'refused', action_type: '' })
  expect(await gateway.stop()).toBe(0)
  const lines = gateway.stderr
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l) as JsonObject)
  const dispatched = lines.filter((l) => l['msg'] === 'dispatched')
  expect(
    dispatched.map((l) => [l['action_id'], l['outcome'], l['rule'], l['provider'], l['tenant'], l['kind']]),
  ).toEqual([
    ['a', 'suppressed', 'no-debug', 'out', 'default', 'dispatch'],
    ['b', 'executed', undefined, 'out', 'other', 'dispatch'],
    ['c', 'scheduled', 'later', 'out', 'default', 'dispatch'],
    ['d', 'executed', undefined, 'out', 'default', 'dispatch'],
    ['e', 'executed', undefined, 'out', 'default', 'dispatch'],
  ])
  for (const line of dispatched) {
    expect(line).toMatchObject({
      level: 30,
      run_id: expect.any(String),
      duration_ms: expect.any(Number),
      time: expect.any(Number),
    })
    expect(line).not.toHaveProperty('payload')
  }
})

test('PITFALLS 52: a redacted field is delivered whole and readable nowhere: not in the log, audit, errors, holds, chains, dead letters, answers', async () => {
  // Says what it was sent, as many endpoints do, also when it refuses it.
  const hook = await receiver(async ({ path, body }) => ({ status: path === '/no' ? 400 : 200, body }))
  const provider = (name: string): string =>
    `[[providers]]\nname = "${name}"\ntype = "webhook"\nurl = "${hook.url}/${name}"\n`
  const at = place({
    'gateway.toml': `
[audit]
redact = { fields = ["password", "payload.card.number"] }
[rules]
default_provider = "yes"
[[providers]]
name = "console"
type = "log"
${provider('yes')}
${provider('no')}
[[chains.definitions]]
name = "pass-on"
[[chains.definitions.steps]]
name = "first"
provider = "yes"
action_type = "first"
[[chains.definitions.steps]]
name = "second"
provider = "no"
action_type = "second"
payload_template = { password = "{{prev.body.payload.password}}" }
`,
    'rules/rules.yaml': `
rules:
  - { name: once, condition: { field: action.payload.once, exists: true }, action: { type: deduplicate, ttl_seconds: 60, key: [payload.once] } }
  - { name: copy, condition: { field: action.action_type, eq: copied }, action: { type: copy, target_provider: no } }
  - { name: later, condition: { field: action.action_type, eq: later }, action: { type: schedule, delay_seconds: 60 } }
  - { name: gather, condition: { field: action.action_type, eq: gathered }, action: { type: group, group_by: [payload.room], group_wait_seconds: 60 } }
  - { name: pass-on, condition: { field: action.action_type, eq: chained }, action: { type: chain, chain: pass-on } }
`,
  })
  const gateway = await serve(at)
  const payload = {
    password: SECRET,
    card: { number: `4111 ${SECRET}` },
    list: [{ password: SECRET }],
    room: 'r',
    kept: 'kept',
  }
  const read: string[] = []
  const keep = async (told: Promise<{ readonly text: string; readonly status: number }>): Promise<number> => {
    const { text, status } = await told
    read.push(text)
    return status
  }
  const send = (id: string, more: object = {}, query = '', headers: Record<string, string> = {}): Promise<number> =>
    keep(gateway.ask('POST', `/v1/dispatch${query}`, { id, action_type: 'note', payload, ...more }, headers))
  const look = async (path: string): Promise<void> => {
    expect([path, await keep(gateway.ask('GET', path))]).toEqual([path, 200])
  }

  expect(await send('sent', {}, '?trace=true')).toBe(200)
  expect(await send('logged', { provider: 'console' })).toBe(200)
  expect(await send('keyed', {}, '', { 'idempotency-key': 'k' })).toBe(200)
  expect(await send('keyed', {}, '', { 'idempotency-key': 'k' })).toBe(200)
  expect(await send('failed', { provider: 'no' })).toBe(502)
  expect(await send('copied', { action_type: 'copied' })).toBe(200)
  expect(await send('later', { action_type: 'later' })).toBe(202)
  expect(await send('gathered', { action_type: 'gathered' })).toBe(202)
  expect(await send('chained', { action_type: 'chained' })).toBe(202)
  expect(await send('dry', {}, '?dry_run=true&trace=true')).toBe(200)
  expect(await keep(gateway.ask('POST', '/v1/rules/evaluate', { action_type: 'note', payload }))).toBe(200)
  expect(await keep(gateway.ask('POST', '/v1/dispatch/batch', [{ action_type: 'note', payload }]))).toBe(200)
  // What is refused is not repeated to whoever reads the answer.
  expect(await send('wrong', { payload: { password: SECRET }, metadata: { password: [SECRET] } })).toBe(400)
  expect(
    await keep(gateway.ask('POST', '/v1/dispatch', `{"action_type":"note","payload":{"password":"${SECRET}"`)),
  ).toBe(400)
  expect(await keep(gateway.ask('POST', '/v1/audit/sent/replay'))).toBe(409)
  let letters: readonly JsonObject[] = []
  await until(
    async () => {
      letters = (await gateway.ask('GET', '/v1/dlq')).body['dead_letters'] as readonly JsonObject[]
      return letters.length >= 3
    },
    () => `the dead letters of the dispatch, the copy and the step; ${JSON.stringify(letters)} ${gateway.stderr}`,
  )

  const lists = [
    'audit',
    'dlq',
    'scheduled',
    'groups',
    'chains',
    'rules',
    'providers/health',
    'stats',
    'quotas',
    'recurring',
    'events',
  ]
  for (const path of lists) await look(`/v1/${path}`)
  for (const id of ['sent', 'keyed', 'failed', 'copied', 'later', 'gathered', 'chained']) {
    await look(`/v1/actions/${id}`)
    await look(`/v1/audit/${id}`)
  }
  const ids = async (path: string, list: string, id: string): Promise<readonly string[]> =>
    ((await gateway.ask('GET', path)).body[list] as readonly JsonObject[]).map((item) => String(item[id]))
  for (const id of await ids('/v1/dlq', 'dead_letters', 'id')) await look(`/v1/dlq/${id}`)
  for (const id of await ids('/v1/groups', 'groups', 'group_id')) await look(`/v1/groups/${id}`)
  for (const id of await ids('/v1/scheduled', 'scheduled', 'hold_id')) await look(`/v1/scheduled/${id}`)
  for (const id of await ids('/v1/chains', 'chains', 'chain_id')) await look(`/v1/chains/${id}`)
  for (const path of ['/health', '/metrics', '/']) await look(path)
  expect(await gateway.stop()).toBe(0)

  expect(read.filter((text) => text.includes(SECRET))).toEqual([])
  expect(gateway.stderr.split('\n').filter((l) => l.includes(SECRET))).toEqual([])
  expect(gateway.stdout).not.toContain(SECRET)
  // The rest of the payload is shown, and what was hidden is marked.
  expect(read.join('\n')).toContain('"kept":"kept"')
  expect(read.join('\n')).toContain('[REDACTED]')
  expect(gateway.stderr).toMatch(/"action_id":"logged".*"password":"\[REDACTED\]"/)
  // The receiver had it all.
  const whole = hook.bodies('/yes').find((b) => b['id'] === 'sent')
  expect(whole?.['payload']).toEqual(payload)
})
