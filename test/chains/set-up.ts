import type { Chains } from '../../src/chains/chains.ts'
import { type ChainsConfig, createChains } from '../../src/chains/engine.ts'
import type { BranchTests } from '../../src/chains/model/definition.ts'
import type { Dispatcher } from '../../src/chains/model/step-kind.ts'
import type { Action, Scope } from '../../src/core/action.ts'
import { follow, type Json, type JsonObject } from '../../src/core/json.ts'
import { lineageSigner } from '../../src/core/lineage.ts'
import { compileRedact } from '../../src/core/redact.ts'
import type { Control, StateStore } from '../../src/core/state.ts'
import { createBreakers } from '../../src/delivery/breakers.ts'
import { listDeadLetters } from '../../src/delivery/dead-letters.ts'
import { createDeliver } from '../../src/delivery/deliver.ts'
import type { Route, Routes } from '../../src/delivery/route.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { OK, type Scripted, type ScriptedProvider, scriptedProvider } from '../fakes/provider.ts'
import { type MemoryState, memoryState } from '../fakes/store.ts'
import { type Watch, watched } from './watch.ts'

export const scope: Scope = ['iot', 'hq']
let actions = 0
export const actionOf = (payload: JsonObject = {}, id = `a${++actions}`): Action => ({
  id,
  namespace: scope[0],
  tenant: scope[1],
  action_type: 'reading',
  payload,
  metadata: { zone: 'north' },
  created_at: '2026-01-05T12:00:00.000Z',
})

/** A stand-in for the operators and expressions of rules: an expression is one path, `origin.payload.x`, and gives what is there. */
export const tests: BranchTests = {
  operators: ['eq', 'ne', 'gt', 'is_empty'],
  compile(operator, value) {
    if (operator === 'eq') return (f) => f === (value ?? null)
    if (operator === 'ne') return (f) => f !== (value ?? null)
    if (operator === 'is_empty') return (f) => f === null || f === ''
    return typeof value === 'number' ? (f) => typeof f === 'number' && f > value : 'gt takes a number'
  },
  expression(source, roots) {
    const [root = '', ...path] = source.split('.')
    if (!roots.includes(root)) return { refused: `"cel" knows no ${root}` }
    return {
      gives: 'dyn',
      reads: [[root, ...path]],
      evaluate(at) {
        const value = follow(at[root], path)
        return value === undefined ? { error: `${source} is not there` } : { value }
      },
    }
  },
}

/** The guide's chains, as its TOML reads: `default_next` has fallen into the branch. */
export const guide: readonly Json[] = [
  {
    name: 'telemetry-processing',
    timeout_seconds: 300,
    steps: [
      {
        name: 'normalize',
        provider: 'telemetry-normalizer',
        action_type: 'invoke',
        payload_template: {
          device_id: '{{origin.payload.device_id}}',
          sensor_type: '{{origin.payload.sensor_type}}',
          value: '{{origin.payload.value}}',
          unit: '{{origin.payload.unit}}',
        },
        branches: [{ field: 'body.logged', operator: 'eq', value: true, target: 'detect-anomaly' }],
      },
      {
        name: 'detect-anomaly',
        provider: 'anomaly-detector',
        action_type: 'invoke',
        payload_template: { device_id: '{{origin.payload.device_id}}', value: '{{origin.payload.value}}' },
        branches: [
          { field: 'success', operator: 'eq', value: true, target: 'publish-event', default_next: 'archive-metrics' },
        ],
      },
      { name: 'publish-event', sub_chain: 'critical-alert' },
      {
        name: 'archive-metrics',
        provider: 'metrics-queue',
        action_type: 'send_message',
        payload_template: { device_id: '{{origin.payload.device_id}}', processed: 'true' },
      },
    ],
  },
  {
    name: 'critical-alert',
    timeout_seconds: 120,
    steps: [
      {
        name: 'fan-out-alert',
        provider: 'alert-fanout',
        action_type: 'publish',
        payload_template: { device_id: '{{origin.payload.device_id}}', severity: 'critical', seen: '{{prev.body}}' },
      },
      {
        name: 'publish-to-bus',
        provider: 'event-bus',
        action_type: 'put_event',
        payload_template: { source: 'iot', detail_type: 'CriticalAlert', detail: '{{origin.payload}}' },
      },
    ],
  },
]
export const guideProviders = ['telemetry-normalizer', 'anomaly-detector', 'alert-fanout', 'event-bus', 'metrics-queue']
export const reading = { device_id: 'd1', sensor_type: 'temperature', value: 21, unit: 'C' }

export type Given = Partial<Omit<Route, 'provider'>> & {
  readonly provider?: ScriptedProvider
  readonly script?: readonly Scripted[]
}
export interface World {
  readonly env: TestEnv
  /** What was committed, looked at as it was. */
  readonly watch: Watch
  readonly memory: MemoryState
  /** Another process on the same data: its own claims, the same providers. */
  node(
    store?: StateStore,
    more?: { routes?: Routes; config?: Partial<ChainsConfig>; dispatch?: Dispatcher; control?: Control },
  ): Promise<Chains & { reload(routes: Routes): void }>
  readonly providers: Readonly<Record<string, ScriptedProvider>>
  readonly routes: Map<string, Route>
}

const noDispatch: Dispatcher = {
  dispatch: () => Promise.reject(new Error('this world has no rules')),
}

export async function world(
  definitions: readonly Json[],
  given: Readonly<Record<string, Given>>,
  opts: {
    config?: Partial<ChainsConfig>
    redacted?: readonly string[]
    thresholds?: Record<string, number>
    env?: TestEnv
  } = {},
): Promise<World> {
  const env = opts.env ?? testEnv()
  const opened = await memoryState(env)
  const watch = watched(opened.state)
  const memory: MemoryState = { ...opened, state: watch.store }
  const providers: Record<string, ScriptedProvider> = {}
  const routes = new Map<string, Route>()
  for (const [name, { provider, script, ...route }] of Object.entries(given)) {
    providers[name] = provider ?? scriptedProvider(name, script ?? [OK])
    routes.set(name, { timeoutMs: 30_000, maxRetries: 0, maxConcurrent: 64, ...route, provider: providers[name] })
  }
  const redact = compileRedact({ enabled: true, fields: opts.redacted ?? [], placeholder: '[REDACTED]' })
  return {
    env,
    watch,
    memory,
    providers,
    routes,
    async node(store = memory.state, more = {}) {
      const settings = Object.entries(opts.thresholds ?? {}).map(
        ([name, failureThreshold]) => [name, { failureThreshold, successThreshold: 1, recoveryMs: 60_000 }] as const,
      )
      // Breakers and definitions are read from the data itself: only executions meet the store under test.
      const breakers = createBreakers({
        control: await memory.state.control('breakers'),
        env,
        breakers: new Map(settings),
        row: () => undefined,
      })
      const routesHere = more.routes ?? routes
      const deliver = createDeliver({
        providers: routesHere,
        breakers,
        env,
        signer: lineageSigner('a secret of the tests'),
      })
      const chains = createChains({
        forward: () => [],
        dispatch: () => more.dispatch ?? noDispatch,
        state: store,
        env,
        deliver,
        control: more.control ?? (await memory.state.control('chains')),
        switches: await memory.state.control('chain_switches'),
        tests,
        providers: () => routes.keys(),
        startedBy: () => undefined,
        audit: () => ({ enabled: true, storePayload: true, redact }),
        config: () => ({
          defaultTimeoutSeconds: 300,
          maxConcurrentAdvances: 64,
          stepDeadlineSeconds: 60,
          ...opts.config,
          ...more.config,
        }),
      })
      const errors = chains.setDefinitions(definitions).filter((i) => i.severity === 'error')
      if (errors.length > 0) throw new Error(JSON.stringify(errors))
      return { ...chains, reload: (routes) => void deliver.update(routes) }
    },
  }
}

/** As the gateway does: the start's ops in one commit, then on its way. */
export async function start(
  w: Pick<World, 'env'>,
  chains: Chains,
  store: StateStore,
  chain: string,
  action: Action = actionOf(reading),
  runId: string = w.env.newId(),
  rule = 'r1',
): Promise<string> {
  const started = chains.startOps({
    chain,
    scope,
    action,
    runId,
    now: w.env.clock.now(),
    rule,
  })
  if (!started) throw new Error(`no chain ${chain}`)
  const done = await store.commit(scope, started.ops)
  if (!done.ok) throw new Error('the start was refused')
  void chains.begin(scope, started.chainId, { ...started.claim, number: done.results[0]!.claimNumber! })
  return started.chainId
}

/** One field of a view. */
export const at = (view: JsonObject | undefined, name: string): Json | undefined => view?.[name]
/** Steps of a view by name, the latest entry of each. */
export const stepsOf = (view: JsonObject | undefined): Record<string, JsonObject> =>
  Object.fromEntries(((view?.['steps'] ?? []) as readonly JsonObject[]).map((s) => [s['name'] as string, s]))

/** Every audit record of the scope, oldest first. */
export async function audit(w: World, filter: { chainId?: string; kind?: string } = {}) {
  const page = await w.memory.audit.query(scope, filter, { limit: 1000 })
  return [...page.records].reverse()
}

export const step = (name: string, provider = 'p', more: JsonObject = {}) => ({
  name,
  provider,
  action_type: 'x',
  ...more,
})
/** Steps at once. */
export const both = (name: string, branches: readonly JsonObject[], more: JsonObject = {}, own: JsonObject = {}) => ({
  name,
  parallel: { branches, ...more },
  ...own,
})
export const each = (name: string, items: Json, one: JsonObject, more: JsonObject = {}, own: JsonObject = {}) => ({
  name,
  for_each: { items, step: one, ...more },
  ...own,
})
export const choice = (name: string, condition: JsonObject, yes: string, no: string): JsonObject =>
  Object.fromEntries(Object.entries({ name, condition, else: no }).concat([['then', yes]]))
/** A provider's answer after a while. */
export const slow =
  (env: TestEnv, ms: number, answer: Scripted = OK): Scripted =>
  async (sent) => {
    await env.clock.sleep(ms)
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? answer(sent) : answer
  }
/** Lets everything run that can without time passing. */
export async function quiet(w: Pick<World, 'env' | 'watch'>): Promise<void> {
  for (let before = -1; before !== w.watch.commits; ) {
    before = w.watch.commits
    await w.env.clock.settle()
  }
}
/** One execution as it stands when all has run that can without time passing. */
export async function ran(
  w: World,
  chain = 'line',
  payload: JsonObject = {},
  definitions?: readonly Json[],
): Promise<JsonObject> {
  const chains = await w.node()
  if (definitions) chains.setDefinitions(definitions)
  const id = await start(w, chains, w.memory.state, chain, actionOf(payload))
  await quiet(w)
  return (await chains.get(scope, id))!
}
/** Payloads of what was sent, in order. */
export const payloads = (p: ScriptedProvider | undefined) =>
  (p?.sent ?? []).map((s) => (s.request as { readonly payload: JsonObject }).payload)

export const line = (...steps: JsonObject[]) => ({ name: 'line', timeout_seconds: 100, steps })
export const pullFor = async (
  w: { env: { clock: { advance(ms: number): Promise<void> } } },
  chains: { pull(): Promise<number> },
  seconds: number,
) => {
  for (let s = 0; s < seconds; s += 10) {
    await w.env.clock.advance(10_000)
    await chains.pull()
  }
  await w.env.clock.advance(0)
}
export const letters = async (w: { memory: { state: Parameters<typeof listDeadLetters>[0] } }) =>
  (await listDeadLetters(w.memory.state, scope, { limit: 100 })).letters
