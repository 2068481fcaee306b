import { expect, onTestFinished, test } from 'vitest'
import { startLocalAws } from '../../scripts/local-aws/server.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { drained, serve } from './gateway.ts'
import { place } from './place.ts'
import { receiver } from './receiver.ts'
import { until } from './run.ts'

/** On a store that keeps no entry above 380 KB: what is larger is refused before anything is done, and what was taken goes its way. */

const KB = 1024
/** A store of its own, as `[state]`. */
async function dynamodb(): Promise<string> {
  const aws = await startLocalAws({ port: 0 })
  onTestFinished(() => aws.close())
  return `[state]\nbackend = "dynamodb"\nurl = "${aws.url}"\nregion = "us-east-1"`
}
const text = (kb: number): string => 'x'.repeat(kb * KB)

test('what DynamoDB cannot keep: refused at the door, and what is taken is delivered whatever it grows to', async () => {
  const state = await dynamodb()
  // Escaped in JSON, half of it is backslashes.
  const long = '"'.repeat(200 * KB)
  const hook = await receiver(({ path }) =>
    path === '/long' ? Promise.resolve({ status: 200, body: JSON.stringify({ long }) }) : undefined,
  )
  const at = place({
    'gateway.toml': `
${state}
[[providers]]
name = "hook"
type = "webhook"
url = "${hook.url}/"
[[providers]]
name = "long"
type = "webhook"
url = "${hook.url}/long"
[rules]
default_provider = "hook"
[[chains.definitions]]
name = "long-step"
[[chains.definitions.steps]]
name = "asks"
provider = "long"
action_type = "ask"
payload_template = {}
`,
    'rules/rules.yaml': `
rules:
  - { name: gather, condition: { field: action.action_type, eq: gather }, action: { type: group, group_by: [action.action_type], group_wait_seconds: 3600, max_group_bytes: 1000000 } }
  - { name: chain, condition: { field: action.action_type, eq: chain }, action: { type: chain, chain: long-step } }
  - { name: hold, condition: { field: action.action_type, eq: hold }, action: { type: schedule, delay_seconds: 1 } }
`,
  })
  const gateway = await serve(at)
  const said = [
    /"body_limit_bytes":389120.*limits are lowered/,
    /rules\.yaml:3:\d+: warning: max_group_bytes is lowered to 129706/,
  ]
  await until(
    () => said.every((line) => line.test(gateway.stderr)),
    () => `a line for each limit, in ${gateway.stderr}`,
  )

  const whole = await gateway.dispatch({ id: 'whole', action_type: 'a', payload: { text: text(390) } })
  expect([whole.status, whole.body['code']]).toEqual([413, 'body_too_large'])
  // It is stored twice: as it came, and as what is sent.
  const action = (id: string, kb: number) => ({ id, action_type: 'a', payload: { text: text(kb) } })
  const twice = await gateway.dispatch(action('twice', 250), { 'idempotency-key': 'k' })
  expect([twice.status, twice.body['code'], twice.headers.get('retry-after')]).toEqual([
    413,
    'too_large_to_store',
    null,
  ])
  const batch = await gateway.ask('POST', '/v1/dispatch/batch', [
    action('b0', 150),
    action('b1', 250),
    action('b2', 150),
  ])
  const results = batch.body['results'] as readonly JsonObject[]
  expect(results.map((r) => [r['status'], r['code'] ?? r['outcome']])).toEqual([
    [200, 'executed'],
    [413, 'too_large_to_store'],
    [200, 'executed'],
  ])
  for (const id of ['whole', 'twice', 'b1']) expect((await gateway.ask('GET', `/v1/actions/${id}`)).status).toBe(404)
  // Nothing of it holds the key.
  const again = await gateway.dispatch(action('small', 1), { 'idempotency-key': 'k' })
  expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([200, null])

  // Nor is anything held that could not be kept once it goes.
  const hold = (kb: number) => gateway.dispatch({ ...action(`hold ${kb}`, kb), action_type: 'hold' })
  const [tooLarge, held] = [await hold(150), await hold(120)]
  expect([tooLarge.status, tooLarge.body['code'], held.status]).toEqual([413, 'too_large_to_store', 202])
  const recurring = {
    name: 'r',
    action_type: 'a',
    provider: 'hook',
    cron_expression: '0 0 1 1 *',
    payload: { text: text(150) },
  }
  expect((await gateway.ask('POST', '/v1/recurring', recurring)).body['code']).toBe('too_large_to_store')

  // An answer is kept as far as there is room: to be given again, and for the audit.
  const asked = () =>
    gateway.dispatch({ id: 'asks', action_type: 'a', provider: 'long' }, { 'idempotency-key': 'long' })
  const [told, replayed] = [await asked(), await asked()]
  expect([told.status, replayed.headers.get('idempotent-replayed')]).toEqual([200, 'true'])
  const { body } = told.body['response'] as JsonObject
  expect(body).toEqual({ text: expect.stringMatching(/^\{"long":"\\"\\"/), truncated: true })
  expect(replayed.body['response']).toEqual(told.body['response'])
  await gateway.dispatch({ id: 'chain', action_type: 'chain' })

  // A group is sealed before it is larger than can be kept beside the request that sends it.
  for (let i = 0; i < 12; i++)
    expect((await gateway.dispatch({ id: `g${i}`, action_type: 'gather', payload: { text: text(30) } })).status).toBe(
      202,
    )
  const { group_id } = ((await gateway.ask('GET', '/v1/groups')).body['groups'] as readonly JsonObject[])[0]!
  await gateway.ask('POST', `/v1/groups/${group_id}/flush`)
  await drained(gateway, 30_000)
  const flushes = hook.bodies('/').flatMap((b) => (b['payload'] as JsonObject)['events'] ?? [])
  const gathered = flushes.flat() as readonly JsonObject[]
  expect(gathered.map((e) => e['action_id']).sort()).toEqual(Array.from({ length: 12 }, (_, i) => `g${i}`).sort())
  const chains = (await gateway.ask('GET', '/v1/chains')).body['chains'] as readonly JsonObject[]
  expect(chains.map((c) => c['status'])).toEqual(['completed'])
  expect((await gateway.ask('GET', '/v1/dlq')).body['dead_letters']).toEqual([])
  expect(hook.wrong).toEqual([])
  expect(await gateway.stop()).toBe(0)
})

test('executions with more sub-chains than one commit takes begin them, hear of them and end them in as many commits as DynamoDB needs', async () => {
  const state = await dynamodb()
  const at = place({
    'gateway.toml': `
${state}
[[providers]]
name = "out"
type = "log"
[rules]
default_provider = "out"
${['many', 'held']
  .map(
    (name) => `
[[chains.definitions]]
name = "${name}"
[[chains.definitions.steps]]
name = "each"
for_each = { items = "{{origin.payload.items}}", max_concurrency = 100, step = { sub_chain = "one-of-${name}" } }
`,
  )
  .join('')}
[[chains.definitions]]
name = "one-of-many"
steps = [{ name = "sets", set = { done = true } }]
[[chains.definitions]]
name = "one-of-held"
steps = [{ name = "waits", wait_for_signal = { signal = "never" } }]
`,
    'rules/rules.yaml': `
rules:
  - { name: many, condition: { field: action.action_type, eq: many }, action: { type: chain, chain: many } }
  - { name: held, condition: { field: action.action_type, eq: held }, action: { type: chain, chain: held } }
`,
  })
  const gateway = await serve(at)
  const payload = { items: Array.from({ length: 60 }, (_, i) => i) }
  const begun = async (action_type: string) => (await gateway.dispatch({ action_type, payload })).body['chain_id']
  const [many, held] = [await begun('many'), await begun('held')]
  const status = async (id: unknown) => (await gateway.ask('GET', `/v1/chains/${id}`)).body['status']
  const count = async (name: string, is: string) =>
    ((await gateway.ask('GET', `/v1/chains?chain_name=${name}&status=${is}&limit=1000`)).body['chains'] as unknown[])
      .length
  await until(async () => (await count('one-of-held', 'waiting')) === 60, 'all of them wait', 30_000)
  expect((await gateway.ask('POST', `/v1/chains/${held}/cancel`)).status).toBeLessThan(300)
  await until(async () => (await count('one-of-held', 'cancelled')) === 60, 'all of them are cancelled', 30_000)
  await until(async () => (await status(many)) === 'completed', 'all of them have ended', 30_000)
  expect([await status(held), await count('one-of-many', 'completed')]).toEqual(['cancelled', 60])
  await drained(gateway, 25_000)
  expect(gateway.stderr).not.toMatch(/DynamoDB takes 100/)
  expect(await gateway.stop()).toBe(0)
})
