import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Assembled, assemble } from '../../src/app/assemble.ts'
import { loadConfig } from '../../src/app/config/load.ts'
import { breakerTable } from '../../src/app/routes.ts'
import type { Scope } from '../../src/core/action.ts'
import type { AuditRecord, AuditStore } from '../../src/core/audit.ts'
import { showFinding } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/json.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import type { Provider } from '../../src/core/provider.ts'
import type { StateStore } from '../../src/core/state.ts'
import type { Route } from '../../src/delivery/route.ts'
import type { DispatchRequest } from '../../src/dispatch/gateway.ts'
import { idempotencyId } from '../../src/dispatch/idempotency.ts'
import type { Ran } from '../../src/dispatch/parts.ts'
import { readAction } from '../../src/dispatch/read-action.ts'
import { backgroundLoops } from '../../src/loops/index.ts'
import { type Loops, startLoops } from '../../src/loops/loop.ts'
import { type TestEnv, testEnv } from './env.ts'
import { scriptedProvider } from './provider.ts'
import { type MemoryState, memoryState } from './store.ts'

/** The whole gateway below HTTP, as app/ puts it together, on a simulated clock, a store in memory and scripted providers. */
export interface House extends Assembled {
  readonly env: TestEnv
  readonly memory: MemoryState
  readonly state: StateStore
  readonly audit: AuditStore
  readonly observed: readonly { readonly outcome: Outcome; readonly about: Ran }[]
  /** A JSON action, as the door reads it. `key`: an Idempotency-Key. */
  dispatch(action: object, request?: Partial<DispatchRequest> & { readonly key?: string }): Promise<Outcome>
  records(scope?: Scope): Promise<readonly AuditRecord[]>
  /** Everything that is stored of a kind. */
  stored(kind: string, scope?: Scope): Promise<readonly Json[]>
  writeRules(yaml: string): void
  stop(): Promise<void>
}

export interface HouseOptions {
  readonly rules?: string
  /** Any provider; one named `log` without effect is always there. */
  readonly providers?: readonly Provider[]
  /** More of gateway.toml. */
  readonly toml?: string
  readonly chains?: string
  readonly env?: TestEnv
  readonly seed?: number
  /** The same data as another house's. */
  readonly memory?: MemoryState
  /** Wraps the store: a crash, a lost reply. */
  readonly wrap?: (state: StateStore) => StateStore
  readonly loops?: boolean
  readonly route?: Partial<Route>
}

export const SCOPE: Scope = ['default', 'default']

export async function testHouse(options: HouseOptions = {}): Promise<House> {
  const env = options.env ?? testEnv(options.seed === undefined ? {} : { seed: options.seed })
  const dir = mkdtempSync(join(tmpdir(), 'signalbox-house-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const rulesDir = join(dir, 'rules')
  mkdirSync(rulesDir)
  const writeRules = (yaml: string): void => writeFileSync(join(rulesDir, 'rules.yaml'), yaml)
  writeRules(options.rules ?? 'rules: []\n')
  const providers = [
    scriptedProvider('log', undefined, { type: 'log', hasEffect: false }),
    ...(options.providers ?? []),
  ]
  writeFileSync(join(dir, 'gateway.toml'), toml(options, providers))
  const { config, findings } = loadConfig({ file: 'gateway.toml', cwd: dir, env: {} })
  if (!config) throw new Error(findings.map(showFinding).join('\n'))

  const memory = options.memory ?? (await memoryState(env))
  const state = options.wrap ? options.wrap(memory.state) : memory.state
  const observed: { outcome: Outcome; about: Ran }[] = []
  const stopping = new AbortController()
  const fallbackOf = (name: string) => config.circuitBreaker.providers.get(name)?.fallbackProvider
  const routes = new Map(
    providers.map((provider): [string, Route] => {
      const fallback = fallbackOf(provider.name)
      return [
        provider.name,
        {
          provider,
          timeoutMs: 10_000,
          maxRetries: 0,
          maxConcurrent: 64,
          ...(fallback !== undefined && { fallback }),
          ...options.route,
        },
      ]
    }),
  )
  let loops: Loops | undefined
  const parts = await assemble({
    config: () => config,
    env,
    state,
    audit: memory.audit,
    carryAudit: async () => 0,
    routes,
    processEnv: {},
    about: { version: '0.0.0-test', hostname: 'here', address: () => undefined, clockOffsetMs: () => 0 },
    stats: {
      outcome: (outcome, about) => void observed.push({ outcome, about }),
      attempt: () => {},
      overLimit: () => {},
    },
    stopping: stopping.signal,
    nudge: (name) => loops?.nudge(name),
  })
  parts.breakers.update(breakerTable(config))
  if (options.loops ?? true)
    loops = startLoops(
      backgroundLoops({
        env,
        state,
        owner: parts.node,
        config: config.background,
        handlers: parts.handlers,
        nudge: (name) => loops?.nudge(name),
      }),
      env,
    )
  return {
    ...parts,
    env,
    memory,
    state,
    audit: memory.audit,
    observed,
    writeRules,
    async dispatch(action, request = {}) {
      const read = readAction(JSON.parse(JSON.stringify(action)) as Json, { newId: env.newId, now: env.clock.now() })
      const { key, ...rest } = request
      const caller = rest.caller ?? 'anonymous'
      const idempotency =
        key === undefined ? {} : { idempotency: { id: idempotencyId(caller, key), hash: JSON.stringify(action) } }
      return (await parts.gateway.dispatch(read, { caller, ...idempotency, ...rest })).outcome
    },
    async records(scope = SCOPE) {
      return (await memory.audit.query(scope, {}, { limit: 1000 })).records.toReversed()
    },
    async stored(kind, scope = SCOPE) {
      return (await memory.state.list(kind, scope, { limit: 1000 })).entries.map((e) => JSON.parse(e.value) as Json)
    },
    async stop() {
      stopping.abort()
      const ended = Promise.all([loops?.stop(), parts.chains.stop(), parts.gateway.idle()])
      await env.clock.advance(0)
      await ended
      parts.breakers.close()
    },
  }
}

function toml(options: HouseOptions, providers: readonly Provider[]): string {
  const tables = providers.map((p) => `[[providers]]\nname = "${p.name}"\ntype = "log"\n`)
  return `${options.toml ?? ''}\n${tables.join('\n')}\n${options.chains ?? ''}\n`
}
