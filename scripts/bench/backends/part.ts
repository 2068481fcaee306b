import { join } from 'node:path'
import { type Bench, SERVER_CORE, warmMs } from '../bench.ts'
import { inTurns, load, type Measured, openEcho, openGateway } from '../dispatch/part.ts'
import { slowFsync } from '../fsync.ts'
import { type Running, runPinned } from '../process.ts'
import { printTable } from '../table.ts'
import type { FloorRequest, FloorResult } from './floor.ts'
import { stores } from './stores.ts'

const CONNECTIONS = [1, 64]

/**
 * A dispatch with dedup, throttle, quota and audit on each store that gateways share, all under one throttle key, beside bare writes to
 * the same server. The gateway has one core; the store and the load have the other.
 */
export async function benchBackends(bench: Bench): Promise<void> {
  const echo = await openEcho(bench)
  try {
    await table(bench, 'Backends, fsync as it is', echo)
    if (!bench.quick) await slowed(bench, echo)
  } finally {
    await echo.stop()
  }
}

async function slowed(bench: Bench, echo: Running): Promise<void> {
  const slow = slowFsync(bench.work)
  // What starts a server passes on what it has: so every server of this table has it, and nothing else is slowed by it.
  Object.assign(process.env, slow)
  try {
    await table(bench, 'Backends, every fsync 2 ms slower', echo)
  } finally {
    for (const name of Object.keys(slow)) delete process.env[name]
  }
}

async function table(bench: Bench, title: string, echo: Running): Promise<void> {
  process.stderr.write(`${title}\n`)
  const rows: (string | number)[][] = []
  for (const [name, withStore] of Object.entries(stores))
    await withStore(bench.log, async (store) => {
      console.log(store.about)
      for (const connections of CONNECTIONS) {
        const measureMs = bench.seconds * 1000
        const request: FloorRequest = { ...store.floor, connections, warmupMs: 500, measureMs }
        const floor = await runPinned<FloorResult>(SERVER_CORE, join(import.meta.dirname, 'floor.ts'), request)
        rows.push(cells(`${name}: bare write`, connections, floor))
      }
      const server = await openGateway(bench, store.settings)
      try {
        await load(server.port, 64, 1, bench.seconds * 1000, warmMs(bench))
        for (const connections of CONNECTIONS) {
          const [row, beside] = await inTurns(bench, connections, { batch: 1 }, [server, echo])
          const { requestsPerSecond: perSecond, p50Ms, p99Ms } = row!
          rows.push(cells(`${name}: dispatch to log`, connections, { perSecond, p50Ms, p99Ms }, beside))
        }
      } finally {
        await server.stop()
      }
      process.stderr.write(`  ${name}\n`)
    })
  printTable(title, ['what', 'connections', 'a second', 'echo beside', 'of the echo', 'p50 ms', 'p99 ms'], rows)
}

const cells = (what: string, connections: number, r: FloorResult, echo?: Measured): (string | number)[] => [
  what,
  connections,
  Math.round(r.perSecond),
  echo ? Math.round(echo.requestsPerSecond) : '',
  echo ? (r.perSecond / echo.requestsPerSecond).toFixed(2) : '',
  r.p50Ms.toFixed(2),
  r.p99Ms.toFixed(2),
]
