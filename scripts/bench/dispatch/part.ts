import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Bench, LOAD_CORE, SERVER_CORE, warmMs } from '../bench.ts'
import { slowFsync } from '../fsync.ts'
import { sqlite } from '../gateway-file.ts'
import { type Running, runPinned, start, startGateway } from '../process.ts'
import { printTable, quantile } from '../table.ts'
import type { LoadRequest, LoadResult } from './load.ts'
import { measureRules } from './rules.ts'
import { BODY, QUOTA, writeGateway } from './settings.ts'

const CONNECTIONS = [1, 32, 64]
const BATCH_CONNECTIONS = [1, 8]
const here = import.meta.dirname

/**
 * The machine's speed changes from one second to the next. So each row takes turns with the echo, so many of them; the middle one
 * counts, and times are those of all turns together.
 */
const TURNS = 5
/** So long a server has nothing to do before it counts as idle: some seconds after its start it gives back what that has taken. */
const REST_MS = 15_000

/** With the server's processor time a request, which a noisy neighbour does not change. */
export type Measured = Omit<LoadResult, 'timesMs' | 'total'> & { readonly cpuUs: number }
interface Row {
  readonly what: string
  readonly batch: number
  readonly results: ReadonlyMap<number, { readonly row: Measured; readonly echo?: Measured }>
  readonly idleMiB: number
  readonly loadedMiB: number
  readonly readyMs: number
}

/** A dispatch against a bare echo. `quick` leaves out the slowed fsync. */
export async function benchDispatch(bench: Bench): Promise<void> {
  const rules = await measureRules()
  console.log(
    `Rules: ${rules.guide.toFixed(2)} µs to evaluate the 14; 10 rules ${rules.ten.toFixed(2)} µs, 10,000 rules ${rules.tenThousand.toFixed(2)} µs (${(rules.tenThousand / rules.ten).toFixed(2)} times), met by 1,000 different actions ${rules.spread.toFixed(2)} µs.`,
  )
  await table(bench, 'Dispatch, fsync as it is', {})
  if (bench.quick) return
  await table(bench, 'Dispatch, every fsync 2 ms slower', slowFsync(bench.work))
}

export function load(
  port: number,
  connections: number,
  batch: number,
  measureMs: number,
  warmupMs = 500,
  ids: LoadRequest['ids'] = 'counted',
): Promise<LoadResult> {
  const path = batch > 1 ? '/v1/dispatch/batch' : '/v1/dispatch'
  const request: LoadRequest = { port, path, connections, warmupMs, measureMs, body: BODY, ids, batch }
  return runPinned<LoadResult>(LOAD_CORE, join(here, 'load.ts'), request)
}

interface Asked {
  readonly what: string
  readonly batch: number
  readonly ids?: LoadRequest['ids']
}
async function measure(bench: Bench, echo: Running, asked: Asked, open: () => Promise<Running>): Promise<Row> {
  const { what, batch, ids } = asked
  const server = await open()
  await setTimeout(REST_MS)
  const idleMiB = server.memory()
  await load(server.port, batch > 1 ? 8 : 64, batch, bench.seconds * 1000, warmMs(bench), ids)
  const results = new Map<number, { row: Measured; echo?: Measured }>()
  for (const n of batch > 1 ? BATCH_CONNECTIONS : CONNECTIONS) {
    const [row, beside] = await inTurns(bench, n, asked, batch > 1 ? [server] : [server, echo])
    results.set(n, { row: row!, ...(beside && { echo: beside }) })
  }
  const loadedMiB = server.memory()
  await server.stop()
  process.stderr.write(`  ${what}\n`)
  return { what, batch, results, idleMiB, loadedMiB, readyMs: server.readyMs }
}

/** The middle one of each server's turns. */
export async function inTurns(
  bench: Bench,
  connections: number,
  { batch, ids }: Omit<Asked, 'what'>,
  servers: readonly Running[],
): Promise<readonly Measured[]> {
  const seen = servers.map((): (LoadResult & { readonly cpuUs: number })[] => [])
  for (let turn = 0; turn < TURNS; turn++)
    for (const [i, server] of servers.entries()) {
      const before = server.cpuMs()
      const result = await load(server.port, connections, batch, (bench.seconds * 1000) / TURNS, 300, ids)
      seen[i]!.push({ ...result, cpuUs: ((server.cpuMs() - before) * 1000) / result.total })
    }
  return seen.map((turns) => {
    const middle = (of: (t: (typeof turns)[number]) => number): number =>
      quantile(
        turns.map(of).sort((a, b) => a - b),
        0.5,
      )
    const times = turns.flatMap((t) => t.timesMs).sort((a, b) => a - b)
    return {
      requestsPerSecond: middle((t) => t.requestsPerSecond),
      cpuUs: middle((t) => t.cpuUs),
      p50Ms: quantile(times, 0.5),
      p99Ms: quantile(times, 0.99),
      errors: turns.reduce((sum, t) => sum + t.errors, 0),
    }
  })
}

/** A bare echo, warm: what everything is compared with. */
export async function openEcho(bench: Bench): Promise<Running> {
  const echo = await start([join(here, 'echo.ts')], { core: SERVER_CORE, log: bench.log })
  await load(echo.port, 64, 1, bench.seconds * 1000, warmMs(bench))
  return echo
}

let runs = 0
/** A gateway with the 14 rules and a quota, and its state as the sections `store` say; what it sends goes to `target`. */
export async function openGateway(
  bench: Bench,
  store: string,
  target = 'type = "log"',
  env: NodeJS.ProcessEnv = {},
): Promise<Running> {
  const file = writeGateway(join(bench.work, `dispatch-${++runs}`), { store, target })
  const running = await startGateway(file, { core: SERVER_CORE, log: bench.log, env })
  const answer = await fetch(
    `http://127.0.0.1:${running.port}/v1/quotas/bench?namespace=${QUOTA.namespace}&tenant=${QUOTA.tenant}`,
    {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(QUOTA),
    },
  )
  if (!answer.ok) throw new Error(`the quota was refused: ${await answer.text()}`)
  return running
}

async function table(bench: Bench, title: string, env: NodeJS.ProcessEnv): Promise<void> {
  const { log } = bench
  process.stderr.write(`${title}\n`)
  const sink = await start([join(here, '../sink.ts')], { core: LOAD_CORE, log })
  const logTarget = 'type = "log"'
  const webhook = `type = "webhook"\nurl = "http://127.0.0.1:${sink.port}/hook"`
  const echo = await openEcho(bench)
  const of = (asked: Asked, synchronous: 'full' | 'normal', target = logTarget): Promise<Row> =>
    measure(bench, echo, asked, () => openGateway(bench, sqlite(synchronous), target, env))
  const ids = 'random'
  const rows = [
    await of({ what: 'log, FULL', batch: 1 }, 'full'),
    await of({ what: 'webhook, FULL', batch: 1 }, 'full', webhook),
    await of({ what: 'log, NORMAL', batch: 1 }, 'normal'),
    await of({ what: 'log, FULL, random ids', batch: 1, ids }, 'full'),
    await of({ what: 'log, FULL, batches of 100', batch: 100 }, 'full'),
    await of({ what: 'batches of 100, random ids', batch: 100, ids }, 'full'),
  ]
  await sink.stop()
  await echo.stop()
  const cells = rows.flatMap((row) =>
    [...row.results].map(([connections, { row: r, echo: e }]) => [
      row.what,
      connections,
      Math.round(r.requestsPerSecond),
      Math.round(r.requestsPerSecond * row.batch),
      e ? Math.round(e.requestsPerSecond) : '',
      e ? (r.requestsPerSecond / e.requestsPerSecond).toFixed(2) : '',
      r.cpuUs.toFixed(1),
      e ? e.cpuUs.toFixed(1) : '',
      r.p50Ms.toFixed(2),
      r.p99Ms.toFixed(2),
      r.errors,
      Math.round(row.idleMiB),
      Math.round(row.loadedMiB),
      Math.round(row.readyMs),
    ]),
  )
  const columns =
    'what, connections, requests/s, actions/s, echo beside, of the echo, CPU µs a request, echo CPU µs, p50 ms, p99 ms, errors, idle MiB, after MiB, ready ms'
  printTable(title, columns.split(', '), cells)
}
