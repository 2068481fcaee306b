import { execFile, execFileSync } from 'node:child_process'
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { LoadRequest, LoadResult } from './load.ts'
import { type Running, start } from './process.ts'
import { measureRules } from './rules.ts'
import { BODY, QUOTA, writeGateway } from './settings.ts'

/**
 * npm run bench: every server with fsync on, pinned to one core, the load from a process on the other; all in one run, so that the
 * ratios hold on a noisy machine. `-- --seconds N` measures longer, `-- --quick` does one round without the slowed fsync.
 */
const SERVER_CORE = 0
const LOAD_CORE = availableParallelism() > 1 ? 1 : 0
const CONNECTIONS = [1, 32, 64]
const WARM_MS = 6000
const here = import.meta.dirname
const cli = resolve(here, '../../src/app/signalbox.cjs')

const args = process.argv.slice(2)
const seconds = Number(args[args.indexOf('--seconds') + 1] ?? 3) || 3
const quick = args.includes('--quick')
const run = promisify(execFile)
const work = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
const log = openSync(join(work, 'server.log'), 'w')

/** With the server's processor time a request, which a noisy neighbour does not change. */
type Measured = LoadResult & { readonly cpuUs: number }
interface Row {
  readonly what: string
  readonly results: ReadonlyMap<number, Measured>
  readonly batch: number
  readonly idleMiB: number
  readonly loadedMiB: number
  readonly readyMs: number
}

async function load(port: number, connections: number, batch: number, warmupMs = 500): Promise<LoadResult> {
  const request: LoadRequest = {
    port,
    path: batch > 1 ? '/v1/dispatch/batch' : '/v1/dispatch',
    connections,
    warmupMs,
    measureMs: seconds * 1000,
    body: BODY,
    batch,
  }
  const { stdout } = await run('taskset', [
    '-c',
    String(LOAD_CORE),
    process.execPath,
    join(here, 'load.ts'),
    JSON.stringify(request),
  ])
  return JSON.parse(stdout) as LoadResult
}

async function measure(what: string, batch: number, open: () => Promise<Running>): Promise<Row> {
  const server = await open()
  const idleMiB = server.memory()
  // A server that has run for a few seconds is what is put in front of production: its code is compiled by then.
  await load(server.port, batch > 1 ? 8 : 64, batch, WARM_MS)
  const results = new Map<number, Measured>()
  for (const n of batch > 1 ? [1, 8] : CONNECTIONS) {
    const before = server.cpuMs()
    const result = await load(server.port, n, batch)
    results.set(n, { ...result, cpuUs: ((server.cpuMs() - before) * 1000) / result.total })
  }
  const loadedMiB = server.memory()
  await server.stop()
  process.stderr.write(`  ${what}\n`)
  return { what, batch, results, idleMiB, loadedMiB, readyMs: server.readyMs }
}

let runs = 0
async function gateway(synchronous: 'full' | 'normal', target: string, env: NodeJS.ProcessEnv): Promise<Running> {
  const file = writeGateway(join(work, `run-${++runs}`), { synchronous, target })
  const running = await start([cli, 'serve', '-c', file], { core: SERVER_CORE, log, env })
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

async function table(title: string, env: NodeJS.ProcessEnv): Promise<void> {
  process.stderr.write(`${title}\n`)
  const sink = await start([join(here, 'sink.ts')], { core: LOAD_CORE, log })
  const logTarget = 'type = "log"'
  const webhook = `type = "webhook"\nurl = "http://127.0.0.1:${sink.port}/hook"`
  const rows = [
    await measure('Hono JSON echo', 1, () => start([join(here, 'echo.ts')], { core: SERVER_CORE, log })),
    await measure('log, FULL', 1, () => gateway('full', logTarget, env)),
    await measure('webhook, FULL', 1, () => gateway('full', webhook, env)),
    await measure('log, NORMAL', 1, () => gateway('normal', logTarget, env)),
    await measure('log, FULL, batches of 100', 100, () => gateway('full', logTarget, env)),
  ]
  await sink.stop()
  const echo = rows[0]!.results
  console.log(`\n## ${title}\n`)
  console.log(
    '| what | connections | requests/s | actions/s | of the echo | CPU µs a request | p50 ms | p99 ms | errors | idle MiB | after MiB | ready ms |',
  )
  console.log('|---|---|---|---|---|---|---|---|---|---|---|---|')
  for (const row of rows)
    for (const [connections, r] of row.results) {
      const ratio =
        echo.get(connections) && row.batch === 1
          ? (r.requestsPerSecond / echo.get(connections)!.requestsPerSecond).toFixed(2)
          : ''
      const cells = [
        row.what,
        connections,
        Math.round(r.requestsPerSecond),
        Math.round(r.requestsPerSecond * row.batch),
        ratio,
        r.cpuUs.toFixed(1),
        r.p50Ms.toFixed(2),
        r.p99Ms.toFixed(2),
        r.errors,
        Math.round(row.idleMiB),
        Math.round(row.loadedMiB),
        Math.round(row.readyMs),
      ]
      console.log(`| ${cells.join(' | ')} |`)
    }
}

/** Median of one small write made durable, milliseconds. */
function fsyncMs(): number {
  const file = openSync(join(work, 'fsync'), 'w')
  const times = Array.from({ length: 200 }, () => {
    writeSync(file, 'x'.repeat(4096))
    const began = performance.now()
    fdatasyncSync(file)
    return performance.now() - began
  }).sort((a, b) => a - b)
  closeSync(file)
  return times[100]!
}

try {
  const rules = await measureRules()
  console.log(
    `fdatasync of 4 KiB: ${fsyncMs().toFixed(3)} ms (median). Node ${process.version}, ${availableParallelism()} cores.`,
  )
  console.log(
    `Rules: ${rules.guide.toFixed(2)} µs to evaluate the 14; 10 rules ${rules.ten.toFixed(2)} µs, 10,000 rules ${rules.tenThousand.toFixed(2)} µs (${(rules.tenThousand / rules.ten).toFixed(2)} times), met by 1,000 different actions ${rules.spread.toFixed(2)} µs.`,
  )
  await table('fsync as it is', {})
  if (!quick) {
    const slow = join(work, 'slow-fsync.so')
    execFileSync('cc', ['-shared', '-fPIC', '-o', slow, join(here, 'slow-fsync.c'), '-ldl'])
    await table('every fsync 2 ms slower', { LD_PRELOAD: slow, FSYNC_US: '2000' })
  }
} finally {
  closeSync(log)
  rmSync(work, { recursive: true, force: true })
}
