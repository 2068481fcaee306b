import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { NODE_EXPIRY_MS, openNodes } from '../../src/nodes/nodes.ts'
import { testEnv } from '../fakes/env.ts'
import { type TestGateway, testGateway } from '../fakes/gateway.ts'
import { memoryState } from '../fakes/store.ts'

async function cluster() {
  const env = testEnv()
  const { state } = await memoryState(env)
  const open = (node: string, offset = 0) =>
    openNodes({
      state,
      env,
      node,
      about: {
        version: '1.2.3',
        hostname: `host of ${node}`,
        address: () => '127.0.0.1:1',
        clockOffsetMs: () => offset,
      },
      rulesVersion: () => `rules of ${node}`,
    })
  return { env, open }
}

test('each says who it is, and is seen by all', async () => {
  const { env, open } = await cluster()
  const [a, b] = [open('a', -3.6), open('b')]
  const started = new Date(env.clock.now()).toISOString()
  await a.announce()
  await env.clock.advance(5000)
  await b.announce()
  const seen = new Date(env.clock.now()).toISOString()
  const common = { version: '1.2.3', address: '127.0.0.1:1', started_at: started }
  const views = [
    {
      ...common,
      id: 'a',
      hostname: 'host of a',
      rules_version: 'rules of a',
      clock_offset_ms: -4,
      last_seen_at: started,
    },
    { ...common, id: 'b', hostname: 'host of b', rules_version: 'rules of b', clock_offset_ms: 0, last_seen_at: seen },
  ]
  for (const n of [a, b]) expect(await n.list({ limit: 10 })).toEqual({ nodes: views })
  await a.announce()
  expect((await b.list({ limit: 10 })).nodes[0]).toEqual({ ...views[0], last_seen_at: seen })
  const first = await a.list({ limit: 1 })
  expect(first.nodes).toHaveLength(1)
  expect((await a.list({ limit: 1, after: first.next! })).nodes.map((n) => n.id)).toEqual(['b'])
})
test('one that stops in order is gone at once; one that died when it has been silent for too long', async () => {
  const { env, open } = await cluster()
  const [a, b, c] = [open('a'), open('b'), open('c')]
  for (const n of [a, b, c]) await n.announce()
  await b.leave()
  const alive = async () => (await a.list({ limit: 10 })).nodes.map((n) => n.id)
  expect(await alive()).toEqual(['a', 'c'])
  await env.clock.advance(NODE_EXPIRY_MS - 1)
  await a.announce()
  expect(await alive()).toEqual(['a', 'c'])
  await env.clock.advance(1)
  expect(await alive()).toEqual(['a'])
  // It was only slow: it is there again as soon as it says so.
  await c.announce()
  expect(await alive()).toEqual(['a', 'c'])
})
test('GET /v1/nodes: a gateway with its loops stays in it, under the name that owns its claims', async () => {
  const g: TestGateway = await testGateway({ loops: true })
  const list = async () => (await g.ask('GET', '/v1/nodes')).body as { nodes: JsonObject[] }
  for (let i = 0; i < 8; i++) {
    await g.advance(10_000)
    expect((await list()).nodes).toMatchObject([{ id: g.node, version: '0.0.0-test', clock_offset_ms: 0 }])
  }
  const before = (await list()).nodes[0]!.rules_version
  expect(before).toBe((await g.ask('GET', '/v1/rules')).body.version)
  g.writeRules('rules: [{ name: a, action: { type: allow } }]')
  await g.rules.reload()
  await g.advance(10_000)
  expect((await list()).nodes[0]!.rules_version).toBe((await g.ask('GET', '/v1/rules')).body.version)
  expect((await g.ask('GET', '/v1/nodes?tenant=x')).status).toBe(400)
  await g.close()
})
