import type { Action } from '../../src/core/action.ts'
import type { Json } from '../../src/core/json.ts'
import { lineageSigner } from '../../src/core/lineage.ts'
import { createBreakers } from '../../src/delivery/breakers.ts'
import { createDeliver } from '../../src/delivery/deliver.ts'
import type { Delivery, DeliveryEnd } from '../../src/delivery/delivery.ts'
import type { AttemptSeen } from '../../src/delivery/leg.ts'
import type { Route } from '../../src/delivery/route.ts'
import { testEnv } from '../fakes/env.ts'
import { OK, type Scripted, type ScriptedProvider, scriptedProvider } from '../fakes/provider.ts'
import { sharedControl } from './control.ts'

export const action: Action = {
  id: 'a1',
  namespace: 'iot',
  tenant: 'hq',
  action_type: 'reading',
  payload: { value: 1 },
  metadata: {},
  created_at: '2026-01-05T12:00:00.000Z',
}
export type Given = Partial<Omit<Route, 'provider'>> & { provider?: ScriptedProvider; script?: readonly Scripted[] }

/** A gateway's way out with these providers; the delivery under test goes to `p` unless told otherwise. */
export function setUp(given: Record<string, Given>, thresholds: Record<string, number> = {}) {
  const env = testEnv()
  const providers: Record<string, ScriptedProvider> = {}
  const routes = new Map<string, Route>()
  for (const [name, { provider, script, ...route }] of Object.entries(given)) {
    providers[name] = provider ?? scriptedProvider(name, script ?? [OK])
    const defaults = { timeoutMs: 1000, maxRetries: 3, maxConcurrent: 64 }
    routes.set(name, { ...defaults, ...route, provider: providers[name] })
  }
  const settings = Object.entries(thresholds).map(
    ([name, failureThreshold]) => [name, { failureThreshold, successThreshold: 1, recoveryMs: 60_000 }] as const,
  )
  const breakers = createBreakers({
    control: sharedControl(env.clock).node(),
    env,
    breakers: new Map(settings),
    row: () => undefined,
  })
  const attempts: AttemptSeen[] = []
  const delivery = createDeliver({
    providers: routes,
    breakers,
    env,
    signer: lineageSigner('a secret of the tests'),
    onAttempt: (a) => attempts.push(a),
  })
  const lost = new AbortController()
  const stopping = new AbortController()
  const stored: { provider: string; request: Json; unknownElsewhere: boolean }[] = []
  const start = (over: Partial<Delivery> = {}, store?: () => Promise<boolean>) =>
    delivery.deliver(
      {
        action,
        provider: 'p',
        token: 'token-1',
        request: { stored: 'bytes' },
        deadline: env.clock.now() + 60_000,
        ...over,
      },
      {
        lost: lost.signal,
        stopping: stopping.signal,
        store: async (to) => {
          stored.push(to)
          return store ? store() : true
        },
      },
    )
  /** Starts it and lets as much time go by as it needs. */
  const run = async (over: Partial<Delivery> = {}): Promise<DeliveryEnd> => {
    const end = start(over)
    await env.clock.advance(120_000)
    return end
  }
  const p = providers.p!
  return {
    env,
    clock: env.clock,
    providers,
    p,
    routes,
    breakers,
    delivery,
    attempts,
    lost,
    stopping,
    stored,
    start,
    run,
  }
}
