// A gateway whose database file may not grow beyond so many pages, in the folder it is started in: node small-disk.ts <pages>
import { assemble } from '../../src/app/assemble.ts'
import { loadConfig } from '../../src/app/config/load.ts'
import { openProvider, openRoutes } from '../../src/app/routes.ts'
import { auditBackends } from '../../src/audit/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { Env } from '../../src/core/env.ts'
import { systemRandom, uuidv7Source } from '../../src/core/ids.ts'
import { createApp, listen } from '../../src/http/server.ts'
import { createStats } from '../../src/http/stats.ts'
import { createStreams } from '../../src/http/stream/streams.ts'
import { backgroundLoops } from '../../src/loops/index.ts'
import { type Loops, startLoops } from '../../src/loops/loop.ts'
import { openSqlite } from '../../src/state/sqlite.ts'

const { config } = loadConfig({ cwd: process.cwd(), env: {}, port: '0' })
if (!config) throw new Error('the configuration of this test is wrong')
const clock = systemClock()
const random = systemRandom()
const say = (fields: object, message: string): void =>
  void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`)
const env: Env = {
  clock,
  random,
  newId: uuidv7Source(clock.now, random),
  log: { debug: () => {}, info: () => {}, warn: say, error: say },
}
const opened = await openSqlite({ path: config.state.path, clock, random, maxPageCount: Number(process.argv[2]) })
const { state } = opened
const audit = auditBackends.sqlite(opened.audit)
const stats = createStats(env)
const stopping = new AbortController()
let loops: Loops | undefined
const nudge = (name: string): void => loops?.nudge(name)
const parts = await assemble({
  config: () => config,
  env,
  state,
  audit,
  carryAudit: async () => 0,
  routes: openRoutes(config, env, openProvider),
  processEnv: {},
  about: { version: '0.0.0-test', hostname: 'here', address: () => undefined, clockOffsetMs: () => 0 },
  stats,
  stopping: stopping.signal,
  nudge,
})
const app = createApp({
  ...parts,
  env,
  version: '0.0.0-test',
  server: { ...config.server, batchLimitBytes: config.server.bodyLimitBytes },
  defaultProvider: () => config.rules.defaultProvider,
  state,
  audit,
  stats,
  streams: createStreams(audit, env),
  ready: () => ({ ok: true }),
  configured: { error: undefined, warnings: [], waiting: [] },
})
const server = await listen(app, config.server)
loops = startLoops(
  backgroundLoops({ env, state, owner: parts.node, config: config.background, handlers: parts.handlers, nudge }),
  env,
)
process.once('SIGTERM', async () => {
  stopping.abort()
  await server.close()
  await Promise.all([loops?.stop(), parts.chains.stop(), parts.gateway.idle()])
  await state.close()
  process.exit(0)
})
process.stdout.write(`Listening on ${config.server.host}:${server.port}\n`)
