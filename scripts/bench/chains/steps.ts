import { join } from 'node:path'
import { type Bench, LOAD_CORE, middleBy, SERVER_CORE, warmMs } from '../bench.ts'
import { runPinned } from '../process.ts'
import type { DbosRequest, DbosResult } from './dbos.ts'
import { openGateway } from './gateway.ts'
import type { ChainLoad, ChainResult } from './load.ts'
import { withPostgres } from './postgres.ts'
import { STEPS, threeSteps } from './settings.ts'

/** With the processor time used meanwhile by everything that does the steps. */
export interface Measured extends ChainResult {
  readonly what: string
  readonly atOnce: number
  readonly cpuUsPerStep: number
}

const here = import.meta.dirname
const AT_ONCE = [1, 100, 5000]
/** Longer than the others: an execution among so many takes seconds. */
const CROWD_WARM_MS = 3000
/** Each is measured so many times, and the one in the middle counts. */
const TURNS = 3
const speed = (r: ChainResult): number => r.executionsPerSecond

/** The gateway's three steps, started over HTTP. */
export async function ours(bench: Bench): Promise<readonly Measured[]> {
  const gateway = await openGateway(bench, 'three-steps')
  try {
    const refused = await gateway.define(threeSteps)
    if (refused !== undefined) throw new Error(`the engine refuses three steps: ${refused}`)
    const load = (atOnce: number, warmupMs: number, measureMs: number): Promise<ChainResult> => {
      const { store, log, server } = gateway
      const request: ChainLoad = { port: server.port, chain: 'three-steps', store, log, atOnce, warmupMs, measureMs }
      return runPinned<ChainResult>(LOAD_CORE, join(here, 'load.ts'), request)
    }
    await load(100, warmMs(bench), 0)
    const out: Measured[] = []
    for (const atOnce of AT_ONCE) {
      const turns: Measured[] = []
      for (let turn = 0; turn < TURNS; turn++) {
        const before = gateway.server.cpuMs()
        const result = await load(atOnce, atOnce > 1000 ? CROWD_WARM_MS : 300, bench.seconds * 1000)
        const cpuMs = gateway.server.cpuMs() - before
        turns.push({ ...result, what: 'signalbox, SQLite FULL', atOnce, cpuUsPerStep: perStep(cpuMs, result) })
      }
      out.push(middleBy(turns, speed))
      process.stderr.write(`  signalbox, ${atOnce} at once\n`)
    }
    return out
  } finally {
    await gateway.stop()
  }
}

/** The same on DBOS. Its process has our server's core; `core` is PostgreSQL's. */
export async function dbos(bench: Bench, core: number): Promise<readonly Measured[]> {
  const what = core === SERVER_CORE ? 'DBOS, PostgreSQL on the same core' : 'DBOS, PostgreSQL on a core of its own'
  return withPostgres(core, async (postgres) => {
    console.log(`${postgres.settings}; on core ${core}`)
    const request: DbosRequest = {
      url: postgres.url,
      postmaster: postgres.postmaster,
      log: join(bench.work, 'dbos.log'),
      atOnce: AT_ONCE.filter((n) => n <= 100),
      warmupMs: warmMs(bench),
      turns: TURNS,
      measureMs: bench.seconds * 1000,
    }
    const results = await runPinned<readonly (readonly DbosResult[])[]>(SERVER_CORE, join(here, 'dbos.ts'), request)
    process.stderr.write(`  ${what}\n`)
    return results.map((turns) => {
      const r = middleBy(turns, speed)
      return { ...r, what, cpuUsPerStep: perStep(r.cpuMs, r) }
    })
  })
}

const perStep = (cpuMs: number, r: ChainResult): number => (cpuMs * 1000) / (r.ended * STEPS)
