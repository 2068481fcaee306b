import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type Gateway, serve, type Told } from './gateway.ts'
import { type Place, place } from './place.ts'
import { type Effect, type Receiver, receiver } from './receiver.ts'
import { until } from './run.ts'

/** PITFALLS 60, over the wire: a webhook that dispatches back because of what it got. */

const RULES = `rules:
  - { name: ping-to-hook, condition: { field: action.action_type, eq: ping }, action: { type: reroute, target_provider: hook } }
  - { name: start, condition: { field: action.action_type, eq: begin }, action: { type: chain, chain: calls } }
`
const config = (url: string, more = ''): string => `${more}
[executor]
max_retries = 0
timeout_seconds = 5
[[providers]]
name = "hook"
type = "webhook"
url = "${url}/hook"
[[providers]]
name = "log"
type = "log"
[rules]
default_provider = "log"
[[chains.definitions]]
name = "calls"
steps = [{ name = "call", provider = "hook", action_type = "call" }]
`

/** A gateway and a receiver that dispatches to it, as `respond` says, before it answers. */
async function world(respond: (effect: Effect, gateway: Gateway) => Promise<Told | undefined>) {
  let gateway: Gateway | undefined
  const told: Told[] = []
  const hook = await receiver(async (effect) => {
    const answer = await respond(effect, gateway!)
    if (answer) told.push(answer)
    return { status: 200 }
  })
  const at = place({ 'gateway.toml': config(hook.url), 'rules/rules.yaml': RULES })
  gateway = await serve(at)
  return { hook, told, at, gateway }
}
const handedOn = ({ headers }: Effect) => ({ 'signalbox-lineage': String(headers['signalbox-lineage']) })
const recordsOf = async (gateway: Gateway, id: string): Promise<readonly JsonObject[]> =>
  (await gateway.ask('GET', `/v1/audit/${id}`)).body['records'] as unknown as readonly JsonObject[]

test('a receiver that hands the lineage on is called once: its own dispatch is 508, and the audit has the way round', async () => {
  const { hook, told, gateway } = await world((effect, g) =>
    g.dispatch({ id: 'again', action_type: 'ping' }, handedOn(effect)),
  )
  const first = await gateway.dispatch({ action_type: 'ping' })
  expect([first.status, hook.requests]).toEqual([200, 1])
  const cycle = ['rule:ping-to-hook', 'rule:ping-to-hook']
  expect(told.map((t) => [t.status, t.headers.get('signalbox-outcome'), t.body['cycle']])).toEqual([
    [508, 'loop_detected', cycle],
  ])
  expect(await recordsOf(gateway, 'again')).toMatchObject([{ outcome: 'loop_detected', details: { cycle } }])
  expect(await gateway.stop()).toBe(0)
  const lines = gateway.stderr.split('\n').filter((l) => l.includes('loop_detected'))
  expect(lines.map((l) => JSON.parse(l) as JsonObject)).toMatchObject([{ level: 40, action_id: 'again', cycle }])
})

test('through a chain and through the metadata as well', async () => {
  const { hook, told, gateway } = await world((effect, g) =>
    g.dispatch({
      id: 'again',
      action_type: 'begin',
      metadata: { zone: 'north', signalbox_lineage: handedOn(effect)['signalbox-lineage'] },
    }),
  )
  expect((await gateway.dispatch({ action_type: 'begin' })).status).toBe(202)
  await until(
    () => told.length > 0,
    () => 'the receiver has dispatched',
  )
  const cycle = ['rule:start', 'chain:calls', 'rule:start']
  expect(told.map((t) => [t.status, t.body['cycle']])).toEqual([[508, cycle]])
  expect(await recordsOf(gateway, 'again')).toMatchObject([{ metadata: { zone: 'north' }, details: { cycle } }])
  expect(hook.requests).toBe(1)
  expect(await gateway.stop()).toBe(0)
})

test('a receiver that leaves the lineage out defeats it: this one stops by itself', async () => {
  const MOST = 12
  let n = 0
  const { hook, gateway } = await world(async (_effect, g) =>
    ++n < MOST ? g.dispatch({ action_type: 'ping' }) : undefined,
  )
  expect((await gateway.dispatch({ action_type: 'ping' })).status).toBe(200)
  expect(hook.requests).toBe(MOST)
  expect(await gateway.stop()).toBe(0)
})

test('a lineage outlives a restart, and a key that is changed for a new one', async () => {
  const hook: Receiver = await receiver()
  const at: Place = place({
    'gateway.toml': config(hook.url),
    'rules/rules.yaml': RULES,
    old: 'the first of two keys\n',
  })
  const ping = (gateway: Gateway, headers = {}) => gateway.dispatch({ action_type: 'ping' }, headers)
  const last = () => handedOn([...hook.effects.values()].at(-1)!)
  const restarted = async (before: Gateway, more = ''): Promise<Gateway> => {
    expect(await before.stop()).toBe(0)
    at.write('gateway.toml', config(hook.url, more))
    return serve(at)
  }
  let gateway = await serve(at)
  await ping(gateway)
  gateway = await restarted(gateway)
  expect((await ping(gateway, last())).status).toBe(508)

  gateway = await restarted(gateway, '[lineage]\nsecret_file = "./old"\n')
  const unknown = await ping(gateway, last())
  expect([unknown.status, unknown.body['warnings']]).toEqual([200, [expect.stringContaining('Signalbox-Lineage')]])
  gateway = await restarted(
    gateway,
    '[lineage]\nsecret = "the second of two keys"\nprevious_secrets = ["the first of two keys"]\n',
  )
  expect((await ping(gateway, last())).status).toBe(508)
  expect(await gateway.stop()).toBe(0)
  for (const text of [gateway.stdout, gateway.stderr]) expect(text).not.toContain('of two keys')
})
