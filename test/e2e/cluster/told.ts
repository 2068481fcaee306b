import { expect, onTestFinished, test } from 'vitest'
import { PROMISED_MS } from '../../fakes/soon.ts'
import { type Gateway, serve } from '../gateway.ts'
import { place } from '../place.ts'
import { until } from '../run.ts'
import { addressOf, allSeen, nodesOf, streamed } from './shown.ts'
import type { OpenShared } from './store.ts'

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

    await allSeen([one, other], PROMISED_MS)

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
      await until(knows, what)
      expect(performance.now() - began, what).toBeLessThan(PROMISED_MS)
    }
    const outcome = async (g: Gateway): Promise<unknown> =>
      (await g.dispatch({ action_type: 'note', provider: 'out', payload: {} })).body['outcome']

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

    await streamed(one, other, store)

    // One that stops in order is gone at once; one that dies is believed for 30 seconds.
    expect(await one.stop()).toBe(0)
    expect((await nodesOf(other)).map((n) => n['address'])).toEqual([addressOf(other)])
    expect(await other.stop()).toBe(0)
  })
}
