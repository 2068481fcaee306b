import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { recordOf } from '../http/stream/sse.ts'
import { type Gateway, serve } from './gateway.ts'
import { listen } from './listener.ts'
import { place } from './place.ts'
import { until } from './run.ts'

/** Dispatches from several callers until told to stop; answers what was acknowledged. */
function load(gateway: Gateway, name: string): { stop(): Promise<readonly string[]> } {
  const acknowledged: string[] = []
  let on = true
  const callers = Array.from({ length: 8 }, async (_, caller) => {
    for (let i = 0; on; i++) {
      const id = `${name}-${caller}-${i}`
      try {
        const told = await gateway.dispatch({ id, action_type: 'note', tenant: caller % 2 ? 'default' : 'other' })
        if (told.status === 200) acknowledged.push(id)
      } catch {
        return // the gateway is gone
      }
    }
  })
  return {
    async stop() {
      on = false
      await Promise.all(callers)
      return acknowledged
    },
  }
}

/** Every action of the audit, of both tenants. */
async function audited(gateway: Gateway): Promise<string[]> {
  const ids: string[] = []
  for (const tenant of ['default', 'other'])
    for (let cursor = ''; ; ) {
      const { body } = await gateway.ask('GET', `/v1/audit?limit=1000&tenant=${tenant}${cursor}`)
      ids.push(...(body.records as readonly JsonObject[]).map((r) => String(r.action_id)))
      if (body.next_cursor === null) break
      cursor = `&cursor=${body.next_cursor}`
    }
  return ids
}

test('killed under load again and again: who comes back with the last id has every record once', async () => {
  const at = place()
  const shown: string[] = []
  const acknowledged: string[] = []
  let lastId = ''
  for (let round = 0; round < 3; round++) {
    const gateway = await serve(at)
    const client = await listen(gateway, '?all_scopes=true&kind=dispatch', lastId)
    const calls = load(gateway, `round-${round}`)
    const wanted = 100 + 70 * round
    await until(() => client.events.length >= wanted, `${wanted} events, of ${client.events.length}`, 30_000)
    gateway.signal('SIGKILL')
    await gateway.ended
    acknowledged.push(...(await calls.stop()))
    await client.over
    shown.push(...client.events.map((e) => recordOf(e).action_id))
    lastId = client.lastId()
  }
  const gateway = await serve(at)
  const client = await listen(gateway, '?all_scopes=true&kind=dispatch', lastId)
  const calls = load(gateway, 'last')
  await until(() => client.events.length >= 50, 'the stream goes on', 30_000)
  acknowledged.push(...(await calls.stop()))
  const there = await audited(gateway)
  await until(
    () => shown.length + client.events.length >= there.length,
    () => `${there.length} records, of ${shown.length + client.events.length}`,
    30_000,
  )
  expect(client.events.every((e) => e.event === 'message')).toBe(true)
  shown.push(...client.events.map((e) => recordOf(e).action_id))
  expect(new Set(shown).size).toBe(shown.length)
  expect(shown.toSorted()).toEqual(there.toSorted())
  const seen = new Set(shown)
  expect(acknowledged.filter((id) => !seen.has(id))).toEqual([])

  const { nodes } = (await gateway.ask('GET', '/v1/nodes')).body as { nodes: readonly JsonObject[] }
  expect(nodes.filter((n) => n.address === `127.0.0.1:${gateway.port}`)).toMatchObject([
    { version: expect.any(String), rules_version: expect.any(String), clock_offset_ms: 0 },
  ])

  // An open stream holds no stop up.
  expect(await gateway.stop()).toBe(0)
  await client.over
  expect(client.events.at(-1)).toMatchObject({ event: 'closing' })
}, 180_000)

test('a chain is shown as it goes on: its start, each step, its end, in the order of the commits', async () => {
  const gateway = await serve(
    place({
      'gateway.toml':
        '[[providers]]\nname = "out"\ntype = "log"\n\n[[chains.definitions]]\nname = "two"\nsteps = [{ name = "a", provider = "out", action_type = "x" }, { name = "b", provider = "out", action_type = "x" }]\n',
      'rules/rules.yaml': 'rules: [{ name: chained, action: { type: chain, chain: two } }]\n',
    }),
  )
  const client = await listen(gateway, '')
  const told = await gateway.dispatch({ id: 'one', action_type: 'note', provider: 'out' })
  expect(told.status).toBe(202)
  await until(
    () => client.events.length >= 4,
    () => `4 events: ${client.events.map((e) => e.data).join()}`,
    20_000,
  )
  expect(client.events.map((e) => [recordOf(e).kind, recordOf(e).outcome])).toEqual([
    ['dispatch', 'chain_started'],
    ['chain_step', 'step_completed'],
    ['chain_step', 'step_completed'],
    ['chain', 'completed'],
  ])
  expect(await gateway.stop()).toBe(0)
})
