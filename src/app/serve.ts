import { hostname } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import type { Clock } from '../core/clock.ts'
import type { Env } from '../core/env.ts'
import { StateUnavailable } from '../core/errors.ts'
import { uuidv7Source } from '../core/ids.ts'
import type { HttpDeps } from '../http/deps.ts'
import { createDirect } from '../http/direct.ts'
import { createApp, type Listening, listen } from '../http/server.ts'
import { createStats } from '../http/stats.ts'
import { createStreams } from '../http/stream/streams.ts'
import { backgroundLoops } from '../loops/index.ts'
import { startLoops } from '../loops/loop.ts'
import { RulesNotLoaded } from '../rules/rules.ts'
import { AFTER_START_MS, collectGarbage } from './after-start.ts'
import { type Assembled, assemble, ChainsNotLoaded } from './assemble.ts'
import type { Serve } from './commands/command.ts'
import { openingProblem } from './commands/migrate.ts'
import { packageVersion } from './commands/version.ts'
import type { Config } from './config/config.ts'
import { logOutcomes } from './dispatch-log.ts'
import { withRoomForHolds } from './held-room.ts'
import { createInForce } from './in-force.ts'
import { hostPort, listeningProblem } from './listening.ts'
import { onParentGone } from './parent.ts'
import { providerEnv } from './provider-log.ts'
import { recording } from './recording.ts'
import { watchConfig } from './reload.ts'
import { roomOf } from './room.ts'
import { openProvider, openRoutes } from './routes.ts'
import type { Stores } from './stores.ts'

/** The signals a service manager and a terminal, also one that closes, stop a process with. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
/** Under npm one Ctrl-C comes twice: from the terminal, and from npm, which passes on its own. So does a hang-up, by way of the shell. */
const TWICE_MS = 400
/** At the end, records are carried to an audit elsewhere for so long: other gateways make more of them all the time, and carry them too. */
const CARRY_MS = 2000

export const serve: Serve = async (first, begun, again, loaded, warned) => {
  const { log, closeLog, random } = begun
  const stopping = new AbortController()

  let stores: Stores
  try {
    stores = await begun.stores
  } catch (e) {
    process.stderr.write(`signalbox: ${openingProblem(first, e)}\n`)
    return 1
  }
  const { audit, clock } = stores
  const env: Env = { clock, random, newId: uuidv7Source(clock.now, random), log }
  const stats = createStats(env)
  const streams = createStreams(audit, env)
  const room = roomOf(first)
  const { carryAudit, ...recorded } = recording(stores, streams)
  const state = withRoomForHolds(recorded.state, room.held)
  let parts: Assembled
  let address: string | undefined
  const ofProviders = providerEnv(env, () => parts.redact())
  const inForce = createInForce({
    first,
    warned,
    loaded,
    env,
    again,
    open: (config) => openRoutes(config, ofProviders, openProvider),
    begin: (config) =>
      startLoops(
        backgroundLoops({ env, state, owner: parts.node, config, handlers: parts.handlers, nudge: inForce.nudge }),
        env,
      ),
    parts: () => parts,
  })
  stores.whenMuchToCarry(() => inForce.nudge('audit-outbox'))
  try {
    parts = await assemble({
      config: () => inForce.config,
      env,
      state,
      audit,
      carryAudit,
      routes: inForce.routes,
      beside: inForce.beside,
      processEnv: process.env,
      about: {
        version: packageVersion(),
        hostname: hostname(),
        address: () => address,
        clockOffsetMs: stores.clockOffsetMs,
      },
      stats: { attempt: (seen) => stats.attempt(seen), ...logOutcomes(log, stats) },
      stopping: stopping.signal,
      nudge: inForce.nudge,
    })
  } catch (e) {
    await stores.close()
    const wrong = e instanceof RulesNotLoaded || e instanceof ChainsNotLoaded
    if (!wrong && !(e instanceof StateUnavailable)) throw e
    process.stderr.write(wrong ? `${e.message}\n` : `signalbox: ${openingProblem(first, e)}\n`)
    return 1
  }

  const { bodyLimitBytes: configured } = first.server
  if (configured > room.body)
    log.info(
      { body_limit_bytes: room.body, group_and_hold_bytes: room.held, response_and_step_bytes: room.data },
      'limits are lowered to what the store keeps in one entry',
    )
  const deps: HttpDeps = {
    ...parts,
    env,
    version: packageVersion(),
    server: { ...first.server, bodyLimitBytes: Math.min(configured, room.body), batchLimitBytes: configured },
    defaultProvider: () => inForce.config.rules.defaultProvider,
    state,
    audit,
    stats,
    streams,
    ready() {
      const reason = stopping.signal.aborted ? 'shutting down' : stores.trouble()
      return reason === undefined ? { ok: true } : { ok: false, reason }
    },
    configured: inForce,
  }
  let server: Listening
  try {
    server = await listen(createApp(deps), first.server, { direct: createDirect(deps) })
  } catch (e) {
    parts.rules.stop()
    parts.breakers.close()
    await inForce.close()
    await stores.close()
    process.stderr.write(`signalbox: ${listeningProblem(first.server, e)}\n`)
    return 1
  }
  address = hostPort(first.server.host, server.port)
  // Only now: a process that finds its address taken has begun nothing.
  parts.rules.start()
  inForce.startLoops()
  // What a process that was killed had in hand is due at once: its claims ended with it.
  for (const name of ['intents', 'chain-wakeups', 'presence']) inForce.nudge(name)
  const watching = watchConfig(first.file, () => inForce.seen, env, parts.rules.reload)

  // A dispatch lives until its commit returns, often across a collection. V8 takes that for a long life and from then on makes such
  // objects old at birth, where each keeps a request alive until the next full collection (a tenth of all processor time). Only now,
  // when all is loaded: with another flag than it was built with, V8 takes no built-in module's compiled code, in any thread.
  setFlagsFromString('--no-allocation-site-pretenuring')
  const collecting = clock.timer(AFTER_START_MS, collectGarbage)

  // Whoever reads that it listens may stop it at once.
  const told = stopSignal(clock)
  printStart(inForce.config, parts, stores.where, server.port)
  await told
  log.info({}, 'stopping')
  stopping.abort()
  collecting.cancel()
  const forced = clock.timer(first.server.shutdownTimeoutSeconds * 1000, () => {
    log.error({}, 'work in hand did not end in time; its claims will run out')
    void closeLog().then(() => process.exit(1))
    // Nor may a log that nobody reads hold the process up.
    clock.timer(1000, () => process.exit(1))
  })
  parts.rules.stop()
  // Nothing more is claimed while the requests in hand are waited for. An edit in hand first: what it puts in the place of routes and
  // loops is what has to be stopped.
  const claimed = watching.stop().then(() => Promise.all([inForce.stopLoops(), parts.chains.stop()]))
  await Promise.all([claimed, streams.close(), server.close()])
  // What those requests have begun.
  await Promise.all([parts.chains.stop(), parts.gateway.idle()])
  const enough = new AbortController()
  const carrying = clock.timer(CARRY_MS, () => enough.abort())
  const left = (why: object): void =>
    log.warn(why, 'records wait in the state store until a gateway carries them to the audit')
  await carryAudit(parts.node, enough.signal, true).catch((err: unknown) => left({ err }))
  if (enough.signal.aborted) left({ after_ms: CARRY_MS })
  carrying.cancel()
  parts.breakers.close()
  await inForce.close()
  // Where the store is away the entry expires by itself.
  await parts.nodes.leave().catch((err: unknown) => log.warn({ err }, 'this node stays in the list until it expires'))
  await stores.close()
  forced.cancel()
  log.info({}, 'stopped')
  const written = new AbortController()
  await Promise.race([closeLog(), clock.sleep(1000, written.signal)])
  written.abort() // else the sleep keeps the process until it is over
  return 0
}

/** The first signal asks for an orderly end, and so does the loss of the parent; a second signal ends the process at once. */
const stopSignal = (clock: Clock): Promise<void> =>
  new Promise((resolve) => {
    let first: number | undefined
    const on = (signal: NodeJS.Signals): void => {
      if (first === undefined) {
        first = clock.now()
        resolve()
      } else if (signal === 'SIGTERM' || clock.now() - first >= TWICE_MS) process.exit(1)
    }
    // In the place of what ends the process while it starts.
    for (const signal of SIGNALS) process.removeAllListeners(signal).on(signal, on)
    onParentGone(clock, resolve)
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
