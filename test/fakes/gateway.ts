import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hono } from 'hono'
import { onTestFinished } from 'vitest'
import { type Assembled, assemble } from '../../src/app/assemble.ts'
import type { Config } from '../../src/app/config/config.ts'
import { type LoadedConfig, loadConfig } from '../../src/app/config/load.ts'
import { createInForce, type InForce } from '../../src/app/in-force.ts'
import { recording } from '../../src/app/recording.ts'
import { openRoutes } from '../../src/app/routes.ts'
import { showFinding } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { StateStore } from '../../src/core/state.ts'
import type { HttpDeps } from '../../src/http/deps.ts'
import type { Http } from '../../src/http/route.ts'
import { createApp } from '../../src/http/server.ts'
import { createStats } from '../../src/http/stats.ts'
import { createStreams, STREAM_LIMITS, type StreamLimits } from '../../src/http/stream/streams.ts'
import { backgroundLoops } from '../../src/loops/index.ts'
import { startLoops } from '../../src/loops/loop.ts'
import { type TestEnv, testEnv } from './env.ts'
import { OK, type Scripted, type ScriptedProvider, scriptedProvider } from './provider.ts'
import { type MemoryState, memoryState } from './store.ts'

export interface GatewayGiven {
  /** The text of one rule file. */
  readonly rules?: string
  /** By name: what its attempts come to, or a provider of the test's own. Left out: one, `out`, that takes everything. */
  readonly providers?: { readonly [name: string]: readonly Scripted[] | ScriptedProvider }
  /** More of the configuration: TOML of any sections but `[[providers]]`. */
  readonly toml?: string
  /** `section.key=value`, as `--set`. */
  readonly set?: readonly string[]
  readonly seed?: number
  readonly env?: TestEnv
  /** The data of another gateway, as `memory.restart()` leaves it. */
  readonly memory?: MemoryState
  /** What to put between the gateway and its store. */
  readonly store?: (base: StateStore) => StateStore
  /** Other limits of the event streams. */
  readonly streams?: Partial<StreamLimits>
  /** The background loops run, and `advance` makes them tick. */
  readonly loops?: boolean
}

export interface TestGateway extends Assembled {
  readonly env: TestEnv
  readonly config: Config
  readonly memory: MemoryState
  readonly state: StateStore
  readonly audit: MemoryState['audit']
  readonly providers: { readonly [name: string]: ScriptedProvider }
  readonly app: Hono<Http>
  readonly deps: HttpDeps
  readonly stopping: AbortController
  /** Puts another text in the rule file; `rules.reload()` then loads it. */
  writeRules(text: string): void
  /** Puts other sections, and other providers if named, in the configuration file; `rules.reload()` then loads it. */
  writeConfig(toml: string, providers?: readonly string[]): void
  readonly inForce: InForce
  /** Sends a request; a body that is no string goes as JSON. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Told>
  dispatch(action: JsonObject, headers?: Record<string, string>, query?: string): Promise<Told>
  /** Moves time on, until what became due has been done. */
  advance(ms: number): Promise<void>
  /** Every audit record of a scope, oldest first. */
  records(namespace?: string, tenant?: string): Promise<readonly JsonObject[]>
  close(): Promise<void>
}
export interface Told {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body, where it is JSON. */
  readonly body: JsonObject
}

/** The whole gateway, as app/ puts it together, over the real engine in memory, scripted providers and a clock the test moves. Made inside a test. */
export async function testGateway(given: GatewayGiven = {}): Promise<TestGateway> {
  const env = given.env ?? testEnv({ seed: given.seed ?? 1 })
  const memory = given.memory ?? (await memoryState(env))
  const streams = createStreams(memory.audit, env, { ...STREAM_LIMITS, ...given.streams })
  const base = given.store?.(memory.state) ?? memory.state
  const { state } = recording({ state: base, carryAudit: async () => 0 }, streams)
  const directory = mkdtempSync(join(tmpdir(), 'signalbox-test-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const writeRules = (text: string): void => writeFileSync(join(directory, 'rules.yaml'), text)
  writeRules(given.rules ?? 'rules: []\n')
  const providers: { [name: string]: ScriptedProvider } = {}
  for (const [name, script] of Object.entries(given.providers ?? { out: [OK] }))
    providers[name] = Array.isArray(script) ? scriptedProvider(name, script) : (script as ScriptedProvider)
  let file = { toml: given.toml ?? '', names: Object.keys(providers) }
  const again = (): LoadedConfig => configOf(given, file, directory)
  const { config: first, findings } = again()
  if (!first) throw new Error(findings.map(showFinding).join('\n'))
  const stopping = new AbortController()
  const stats = createStats(env, { process: false })
  let parts: Assembled
  const inForce = createInForce({
    first,
    warned: findings,
    loaded: '',
    env,
    again,
    open: (c) =>
      openRoutes(c, env, ({ name }) => {
        providers[name] ??= scriptedProvider(name)
        return providers[name]
      }),
    begin: (config) =>
      startLoops(
        backgroundLoops({ env, state, owner: parts.node, config, handlers: parts.handlers, nudge: inForce.nudge }),
        env,
      ),
    parts: () => parts,
  })
  parts = await assemble({
    config: () => inForce.config,
    env,
    state,
    audit: memory.audit,
    carryAudit: async () => 0,
    routes: inForce.routes,
    beside: inForce.beside,
    processEnv: {},
    about: { version: '0.0.0-test', hostname: 'here', address: () => undefined, clockOffsetMs: () => 0 },
    stats,
    stopping: stopping.signal,
    nudge: inForce.nudge,
  })
  if (given.loops) inForce.startLoops()
  const deps: HttpDeps = {
    ...parts,
    env,
    version: '0.0.0-test',
    server: { ...first.server, batchLimitBytes: first.server.bodyLimitBytes },
    defaultProvider: () => inForce.config.rules.defaultProvider,
    state,
    audit: memory.audit,
    stats,
    streams,
    ready: () => (stopping.signal.aborted ? { ok: false, reason: 'shutting down' } : { ok: true }),
    configured: inForce,
  }
  const app = createApp(deps)
  const ask: TestGateway['ask'] = async (method, path, body, headers = {}) => {
    const answered = app.request(path, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const response = await answered
    // A stream has no end: that it was begun is all there is to tell.
    const endless = response.headers.get('content-type') === 'text/event-stream'
    const text = endless ? '' : await response.text()
    if (endless) await response.body?.cancel()
    const isJson = text !== '' && (response.headers.get('content-type')?.includes('json') ?? false)
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson ? (JSON.parse(text) as JsonObject) : {},
    }
  }
  return {
    ...parts,
    env,
    get config() {
      return inForce.config
    },
    inForce,
    memory,
    state,
    audit: memory.audit,
    providers,
    app,
    deps,
    stopping,
    writeRules,
    writeConfig(toml, names = file.names) {
      file = { toml, names: [...names] }
    },
    ask,
    dispatch: (action, headers, query = '') => ask('POST', `/v1/dispatch${query}`, action, headers),
    advance: (ms) => env.clock.advance(ms),
    async records(namespace = 'default', tenant = 'default') {
      const { records } = await memory.audit.query([namespace, tenant], {}, { limit: 1000 })
      return JSON.parse(JSON.stringify(records.toReversed())) as JsonObject[]
    },
    async close() {
      stopping.abort()
      parts.rules.stop()
      const stopped = Promise.all([inForce.stopLoops(), parts.chains.stop()])
      await env.clock.advance(60_000)
      await stopped
      parts.breakers.close()
    },
  }
}

function configOf(
  given: GatewayGiven,
  { toml, names }: { readonly toml: string; readonly names: readonly string[] },
  directory: string,
): LoadedConfig {
  const sections = names.map((n) => `[[providers]]\nname = ${JSON.stringify(n)}\ntype = "log"\n`).join('\n')
  return loadConfig({
    cwd: directory,
    env: {},
    set: [`rules.directory=${directory}`, ...(given.set ?? [])],
    readFile(path) {
      if (path.endsWith('gateway.toml')) return `${toml}\n${sections}`
      throw Object.assign(new Error('absent'), { code: 'ENOENT' })
    },
  })
}
