import { DBOS } from '@dbos-inc/dbos-sdk'
import pino from 'pino'
import { quantile } from '../table.ts'
import type { ChainResult } from './load.ts'
import { postgresCpuMs } from './postgres.ts'

/**
 * The three steps as a workflow of DBOS, with its defaults: each writes a line to a log, as a `log` step does, and nothing else.
 * Workflows are started, and their ends awaited, in its own process: there is no HTTP before it.
 */
export interface DbosRequest {
  /** Of its database. */
  readonly url: string
  readonly postmaster: number
  /** Where the steps' lines go. */
  readonly log: string
  readonly atOnce: readonly number[]
  readonly warmupMs: number
  readonly measureMs: number
  /** Times that each is measured. */
  readonly turns: number
}
export type DbosResult = ChainResult & {
  readonly atOnce: number
  /** Its own processor time and the database's. */
  readonly cpuMs: number
}

const request = JSON.parse(process.argv[2]!) as DbosRequest
const log = pino(pino.destination({ dest: request.log, sync: false, minLength: 8192 }))
const firstSteps = new Map<string, number>()

const step = (name: string, order: { readonly id: string; readonly order: number }): Promise<{ logged: boolean }> =>
  DBOS.runStep(
    async () => {
      if (name === 'first') firstSteps.set(order.id, Date.now())
      log.info({ action_id: order.id, action_type: name, payload: { order: order.order } }, 'action')
      return { logged: true }
    },
    { name },
  )
const threeSteps = DBOS.registerWorkflow(
  async (order: { id: string; order: number }) => {
    await step('first', order)
    await step('second', order)
    return step('third', order)
  },
  { name: 'three-steps' },
)

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000 + postgresCpuMs(request.postmaster)
}

let unique = 0
async function measure(atOnce: number, warmupMs: number, measureMs: number): Promise<ChainResult> {
  const from = performance.now() + warmupMs
  const until = from + measureMs
  const times: number[] = []
  const first: number[] = []
  let ended = 0
  let inTime = 0
  const one = async (): Promise<void> => {
    for (;;) {
      const sent = performance.now()
      if (sent >= until) return
      const order = { id: `${++unique}`, order: 4711 }
      const started = Date.now()
      const handle = await DBOS.startWorkflow(threeSteps)(order)
      await handle.getResult()
      ended++
      const now = performance.now()
      if (now >= from && now < until) inTime++
      if (sent >= from) {
        times.push(now - sent)
        first.push(firstSteps.get(order.id)! - started)
      }
      firstSteps.delete(order.id)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, one))
  times.sort((a, b) => a - b)
  first.sort((a, b) => a - b)
  return {
    executionsPerSecond: (inTime * 1000) / measureMs,
    ended,
    failed: 0,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
    firstStepP50Ms: quantile(first, 0.5),
    firstStepP99Ms: quantile(first, 0.99),
  }
}

DBOS.setConfig({ name: 'three-steps', systemDatabaseUrl: request.url, logLevel: 'warn' })
await DBOS.launch()
await measure(Math.max(...request.atOnce), request.warmupMs, 0)
const results: DbosResult[][] = []
for (const atOnce of request.atOnce) {
  const turns: DbosResult[] = []
  for (let turn = 0; turn < request.turns; turn++) {
    const before = cpuMs()
    const result = await measure(atOnce, 300, request.measureMs)
    turns.push({ ...result, atOnce, cpuMs: cpuMs() - before })
  }
  results.push(turns)
}
await DBOS.shutdown()
process.stdout.write(JSON.stringify(results))
