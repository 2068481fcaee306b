import { hostname } from 'node:os'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import { showFinding } from '../core/errors.ts'
import { systemRandom, uuidv7Source } from '../core/ids.ts'
import type { Routes } from '../delivery/route.ts'
import type { HttpDeps } from '../http/deps.ts'
import { createDirect } from '../http/direct.ts'
import { createApp, type Listening, listen } from '../http/server.ts'
import { createStats } from '../http/stats.ts'
import { createStreams } from '../http/stream/streams.ts'
import { backgroundLoops } from '../loops/index.ts'
import { type Loops, startLoops } from '../loops/loop.ts'
import { RulesNotLoaded } from '../rules/rules.ts'
import { type Assembled, assemble, ChainsNotLoaded } from './assemble.ts'
import type { Serve } from './commands/command.ts'
import { openingProblem } from './commands/migrate.ts'
import { packageVersion } from './commands/version.ts'
import { needsRestart } from './config/changes.ts'
import type { Config } from './config/config.ts'
import { logOutcomes } from './dispatch-log.ts'
import { withRoomForHolds } from './held-room.ts'
import { hostPort, listeningProblem } from './listening.ts'
import { openLog } from './log.ts'
import { providerEnv } from './provider-log.ts'
import { recording } from './recording.ts'
import { watchConfig } from './reload.ts'
import { roomOf } from './room.ts'
import { breakerTable, closeRoutes, openProvider, openRoutes } from './routes.ts'
import { openStores, type Stores } from './stores.ts'

/** The signals a service manager and a terminal stop a process with. */
const SIGNALS = ['SIGTERM', 'SIGINT'] as const
/** Under npm one Ctrl-C comes twice: from the terminal, and from npm, which passes on its own. */
const SAME_KEY_MS = 400

export const serve: Serve = async (first, again, loaded) => {
  const local = systemClock()
  const { log, close: closeLog } = openLog(local)
  const random = systemRandom()
  let config: Config = first
  let configError: string | undefined
  const stopping = new AbortController()

  let stores: Stores
  try {
    stores = await openStores(config, { clock: local, random, log })
  } catch (e) {
    process.stderr.write(`signalbox: ${openingProblem(config, e)}\n`)
    return 1
  }
  const { audit, clock } = stores
  const env: Env = { clock, random, newId: uuidv7Source(clock.now, random), log }
  const stats = createStats(env)
  const streams = createStreams(audit, env)
  const room = roomOf(config)
  const { carryAudit, ...recorded } = recording(stores, streams)
  const state = withRoomForHolds(recorded.state, room.held)
  let loops: Loops | undefined
  let parts: Assembled
  let address: string | undefined
  const open = (c: Config): Routes =>
    openRoutes(
      c,
      providerEnv(env, () => parts.redact()),
      openProvider,
    )
  let routes = open(config)
  try {
    parts = await assemble({
      config: () => config,
      env,
      state,
      audit,
      carryAudit,
      routes,
      processEnv: process.env,
      about: {
        version: packageVersion(),
        hostname: hostname(),
        address: () => address,
        clockOffsetMs: stores.clockOffsetMs,
      },
      stats: { attempt: (seen) => stats.attempt(seen), ...logOutcomes(log, stats) },
      stopping: stopping.signal,
      nudge: (name) => loops?.nudge(name),
    })
  } catch (e) {
    await stores.close()
    if (!(e instanceof RulesNotLoaded || e instanceof ChainsNotLoaded)) throw e
    process.stderr.write(`${e.message}\n`)
    return 1
  }
  const begin = (): Loops =>
    startLoops(
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

  const { bodyLimitBytes: configured } = config.server
  if (configured > room.body)
    log.info(
      { body_limit_bytes: room.body, group_and_hold_bytes: room.held, response_and_step_bytes: room.data },
      'limits are lowered to what the store keeps in one entry',
    )
  const deps: HttpDeps = {
    ...parts,
    env,
    version: packageVersion(),
    server: { ...config.server, bodyLimitBytes: Math.min(configured, room.body), batchLimitBytes: configured },
    defaultProvider: () => config.rules.defaultProvider,
    state,
    audit,
    stats,
    streams,
    ready() {
      const reason = stopping.signal.aborted ? 'shutting down' : stores.trouble()
      return reason === undefined ? { ok: true } : { ok: false, reason }
    },
    configError: () => configError,
  }
  let server: Listening
  try {
    server = await listen(createApp(deps), config.server, { direct: createDirect(deps) })
  } catch (e) {
    parts.rules.stop()
    parts.breakers.close()
    await closeRoutes(routes)
    await stores.close()
    process.stderr.write(`signalbox: ${listeningProblem(config.server, e)}\n`)
    return 1
  }
  address = hostPort(config.server.host, server.port)
  // Only now: a process that finds its address taken has begun nothing.
  parts.rules.start()
  loops = begin()
  // What a process that was killed had in hand is due at once: its claims ended with it.
  for (const name of ['intents', 'chain-wakeups', 'presence']) loops.nudge(name)
  const watching = watchConfig(config.file, loaded, env, async () => {
    const loaded = again()
    const errors = loaded.findings.filter((f) => f.severity === 'error')
    if (!loaded.config) {
      configError = errors.map(showFinding).join('; ')
      log.error({ findings: errors.map(showFinding) }, 'configuration not loaded; the one of before stays in force')
      return
    }
    const { chains, providers } = loaded.config
    const wrongChains = parts.chains
      .checkDefinitions(
        chains.definitions,
        providers.map((p) => p.name),
      )
      .filter((i) => i.severity === 'error')
    if (wrongChains.length > 0) {
      configError = new ChainsNotLoaded(wrongChains).message
      log.error({ findings: configError }, 'configuration not loaded; the one of before stays in force')
      return
    }
    configError = undefined
    const fixed = needsRestart(config, loaded.config)
    if (fixed.length > 0) log.warn({ sections: fixed }, 'an edit of these sections needs a restart')
    await takeOver(loaded.config)
  })

  /** Puts the parts of a new configuration in force that need no restart. */
  async function takeOver(next: Config): Promise<void> {
    const before = { config, routes }
    const taken: Config = {
      ...config,
      providers: next.providers,
      circuitBreaker: next.circuitBreaker,
      chains: next.chains,
      background: next.background,
      hotRules: next.hotRules,
      audit: { ...config.audit, redact: next.audit.redact },
    }
    const opened = open(taken)
    config = taken
    parts.chains.setDefinitions(config.chains.definitions)
    // Rules name providers and chains: an edit that takes one away from under them is refused whole, like a bad rule file.
    const rules = await parts.rules.reload()
    if (!rules.ok) {
      config = before.config
      parts.chains.setDefinitions(config.chains.definitions)
      configError = rules.findings.map(showFinding).join('; ')
      log.error({ findings: configError }, 'configuration not loaded: rules do not go with it; the one of before stays')
      await Promise.all([parts.rules.reload(), closeRoutes(opened)])
      return
    }
    routes = opened
    parts.breakers.update(breakerTable(config))
    const drained = parts.deliver.update(routes)
    const old = loops
    loops = begin()
    await old?.stop()
    await drained
    await closeRoutes(before.routes)
    log.info({ providers: config.providers.length }, 'configuration loaded')
  }

  // Whoever reads that it listens may stop it at once.
  const told = stopSignal(clock)
  printStart(config, parts, stores.where, server.port)
  await told
  log.info({}, 'stopping')
  stopping.abort()
  const forced = clock.timer(config.server.shutdownTimeoutSeconds * 1000, () => {
    log.error({}, 'work in hand did not end in time; its claims will run out')
    void closeLog().then(() => process.exit(1))
    // Nor may a log that nobody reads hold the process up.
    clock.timer(1000, () => process.exit(1))
  })
  parts.rules.stop()
  // An edit in hand first: what it puts in the place of routes and loops is what has to be stopped.
  await Promise.all([watching.stop(), streams.close(), server.close()])
  await Promise.all([loops.stop(), parts.chains.stop(), parts.gateway.idle()])
  parts.breakers.close()
  await closeRoutes(routes)
  // Where the store is away the entry expires by itself.
  await parts.nodes.leave().catch((err: unknown) => log.warn({ err }, 'this node stays in the list until it expires'))
  await stores.close()
  forced.cancel()
  log.info({}, 'stopped')
  const enough = new AbortController()
  await Promise.race([closeLog(), clock.sleep(1000, enough.signal)])
  enough.abort() // else the sleep keeps the process until it is over
  return 0
}

/** The first signal asks for an orderly end; a second ends the process at once. */
const stopSignal = (clock: Clock): Promise<void> =>
  new Promise((resolve) => {
    let first: number | undefined
    const on = (signal: NodeJS.Signals): void => {
      if (first === undefined) {
        first = clock.now()
        resolve()
      } else if (signal !== 'SIGINT' || clock.now() - first >= SAME_KEY_MS) process.exit(1)
    }
    for (const signal of SIGNALS) process.on(signal, on)
  })

function printStart(config: Config, parts: Assembled, where: string, port: number): void {
  const { host } = config.server
  const base = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  const out = (line: string): void => void process.stdout.write(`${line}\n`)
  const rules = parts.rules.list()
  const names = rules.map((r) => r.name).join(', ')
  out(`${rules.length} rules loaded from ${config.rules.directory}${names === '' ? '' : `: ${names}`}`)
  out(where)
  out('Try it:')
  out(`  curl -sS ${base}/v1/dispatch -H 'content-type: application/json' \\`)
  out(
    `    -d '{"action_type":"greeting","provider":"${config.providers[0]?.name ?? 'log'}","payload":{"text":"hello"}}'`,
  )
  out(`Listening on ${host}:${port}`)
}
