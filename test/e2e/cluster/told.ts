import { expect, onTestFinished, test } from 'vitest'
import type { JsonObject } from '../../../src/core/json.ts'
import { recordOf } from '../../http/stream/sse.ts'
import { type Gateway, serve } from '../gateway.ts'
import { listen } from '../listener.ts'
import { place } from '../place.ts'
import { until } from '../run.ts'
import type { OpenShared } from './store.ts'

/** The promise is a second; a machine with other work may add some of its own. */
const SOON_MS = 1500

const files = {
  'gateway.toml': `[rules]
default_provider = "out"

[[providers]]
name = "out"
type = "log"
`,
  'rules/rules.yaml':
    'rules:\n  - { name: notes, condition: { field: action.action_type, eq: note }, action: { type: deny } }\n',
}

/** What one gateway is told, every other on the same store knows within a second. */
export function told(name: string, open: OpenShared): void {
  test(`two gateways on ${name}: what one is told, the other knows within a second`, { timeout: 120_000 }, async () => {
    const store = await open(onTestFinished)
    const at = () => place({ ...files, 'gateway.toml': `${store.settings(store.port)}\n${files['gateway.toml']}` })
    const [one, other] = (await Promise.all([serve(at()), serve(at())])) as [Gateway, Gateway]

    /** Says something to the one, and looks at the other until it knows. */
    async function heard(
      say: () => Promise<{ status: number }>,
      knows: () => Promise<boolean>,
      what: string,
    ): Promise<void> {
      expect(await knows(), what).toBe(false)
      const { status } = await say()
      expect(status, what).toBeLessThan(300)
      const began = performance.now()
      await until(knows, what, 10_000)
      expect(performance.now() - began, what).toBeLessThan(SOON_MS)
    }
    const outcome = async (g: Gateway): Promise<unknown> =>
      (await g.dispatch({ action_type: 'note', provider: 'out', payload: {} })).body['outcome']

    for (const gateway of [one, other]) await knowsBoth(gateway, [one, other])
    if (!store.auditEach) await streamed(one, other)
    await heard(
      () => one.ask('PUT', '/v1/rules/notes/enabled', { enabled: false, why: 'a test' }),
      async () => (await outcome(other)) === 'executed',
      'a switched rule',
    )
    await heard(
      () => one.ask('POST', '/v1/circuit-breakers/out/trip', { why: 'a test' }),
      async () => (await other.ask('GET', '/v1/circuit-breakers/out')).body['state'] === 'open',
      'a tripped breaker',
    )
    await heard(
      () => one.ask('POST', '/v1/circuit-breakers/out/reset'),
      async () => (await other.ask('GET', '/v1/circuit-breakers/out')).body['state'] === 'closed',
      'a breaker that was reset',
    )
    const definition = { steps: [{ name: 'a', provider: 'out', action_type: 'a' }] }
    await heard(
      () => one.ask('PUT', '/v1/chains/definitions/short', definition),
      async () => (await other.ask('GET', '/v1/chains/definitions/short')).status === 200,
      'a chain definition',
    )
    await heard(
      () => one.ask('PUT', '/v1/quotas/few', { max_actions: 1, window: 86_400, tenant: 't' }),
      async () => {
        const { status } = await other.ask('GET', '/v1/quotas/few?tenant=t')
        return status === 200
      },
      'a quota',
    )
    // One count for both.
    const limited = (g: Gateway) => g.dispatch({ tenant: 't', action_type: 'x', provider: 'out', payload: {} })
    expect((await limited(one)).status).toBe(200)
    expect((await limited(other)).body['outcome']).toBe('quota_exceeded')

    expect([await one.stop(), await other.stop()]).toEqual([0, 0])
  })
}

async function knowsBoth(gateway: Gateway, both: readonly Gateway[]): Promise<void> {
  const nodes = await until(async () => {
    const { body } = await gateway.ask('GET', '/v1/nodes')
    const seen = body['nodes'] as readonly JsonObject[]
    return seen.length === both.length ? seen : undefined
  }, 'both in /v1/nodes')
  const port = (n: JsonObject): number => Number(String(n['address']).split(':').at(-1))
  expect(nodes.map(port).sort()).toEqual(both.map((g) => g.port).sort())
  for (const n of nodes) {
    expect(n).toMatchObject({ version: expect.any(String), rules_version: expect.any(String) })
    // One machine has one clock.
    expect(Math.abs(Number(n['clock_offset_ms']))).toBeLessThan(1000)
  }
}

/** What both do is shown by either in the order it was done, and who goes on at the other has each of it once. */
async function streamed(one: Gateway, other: Gateway): Promise<void> {
  const query = '?kind=dispatch&action_type=streamed'
  const done: string[] = []
  const some = async (n: number): Promise<void> => {
    for (let i = 0; i < n; i++) {
      const id = `streamed-${done.length}`
      const told = await (i % 2 ? other : one).dispatch({ id, action_type: 'streamed', provider: 'out', payload: {} })
      expect(told.status).toBe(200)
      done.push(id)
    }
  }
  const first = await listen(other, query)
  await some(10)
  const shown = (l: { readonly events: Parameters<typeof recordOf>[0][] }): readonly string[] =>
    l.events.map((e) => (e.event === 'message' ? String(recordOf(e)['action_id']) : `${e.event} ${e.data}`))
  await until(
    () => first.events.length === done.length,
    () => `ten events, not ${shown(first)}`,
  )
  expect(shown(first)).toEqual(done)
  first.close()
  await first.over
  await some(5)
  const second = await listen(one, query, first.lastId())
  await some(5)
  await until(
    () => second.events.length >= 10,
    () => `ten more events, not ${shown(second)}`,
  )
  expect(shown(second)).toEqual(done.slice(10))
  second.close()
  await second.over
}
