import { readFileSync } from 'node:fs'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { quantile } from '../table.ts'
import { connect } from './connection.ts'
import { endsOf } from './ends.ts'
import { FIRST_STEP, SCOPE, startBody } from './settings.ts'

/**
 * Keeps a number of executions under way: one that has ended makes room for the next, which is started over HTTP. A process of its
 * own, on the core the server does not have.
 */
export interface ChainLoad {
  readonly port: number
  /** The chain's name. */
  readonly chain: string
  /** The store's file, and the server's log. */
  readonly store: string
  readonly log: string
  readonly atOnce: number
  readonly warmupMs: number
  readonly measureMs: number
}
export interface ChainResult {
  readonly executionsPerSecond: number
  /** In the whole run, the warm-up included. */
  readonly ended: number
  /** Ended otherwise than completed, or not at all. */
  readonly failed: number
  /** From the request that starts it to the end, as seen; of those started while it was measured. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** From the request that starts it to the line its first step writes. */
  readonly firstStepP50Ms: number
  readonly firstStepP99Ms: number
}

const CONNECTIONS = 64
/** Executions asked about in one look. */
const LOOK = 500
/** What was started is waited for, so that the slowest count too. */
const DRAIN_MS = 30_000
/** The log is written in blocks, at the latest 100 ms after the line. */
const LOG_MS = 500

interface Execution {
  readonly id: string
  readonly sentAt: number
}

async function runLoad(load: ChainLoad): Promise<ChainResult> {
  const ends = endsOf(load.store, SCOPE)
  const from = performance.now() + load.warmupMs
  const until = from + load.measureMs
  const times: number[] = []
  /** When those of the measurement were started, by action. */
  const starts = new Map<string, number>()
  let [unique, ended, inTime, failed, free] = [0, 0, 0, 0, load.atOnce]
  let underWay: Execution[] = []
  let error: unknown

  const connections = await Promise.all(
    Array.from({ length: Math.min(CONNECTIONS, load.atOnce) }, () => connect(load.port)),
  )
  const idle = [...connections]
  const startMore = (): void => {
    while (free > 0 && idle.length > 0 && performance.now() < until) {
      free--
      const connection = idle.pop()!
      const action = `${process.pid}-${++unique}`
      const sentAt = performance.now()
      if (sentAt >= from) starts.set(action, Date.now())
      const started = (id: string): void => {
        underWay.push({ id, sentAt })
        idle.push(connection)
        startMore()
      }
      connection.start(startBody(load.chain, action)).then(started, (e) => {
        error ??= e
      })
    }
  }
  const look = (): void => {
    const some = underWay.slice(0, LOOK)
    const statuses = ends(some.map((e) => e.id))
    const now = performance.now()
    const still = some.filter((execution, i) => {
      const status = statuses[i]
      if (status === undefined) return true
      ended++
      free++
      if (status !== 'completed') failed++
      if (now >= from && now < until) inTime++
      if (execution.sentAt >= from) times.push(now - execution.sentAt)
      return false
    })
    underWay = [...underWay.slice(LOOK), ...still]
  }

  startMore()
  for (;;) {
    if (error) throw error
    if (underWay.length > 0) look()
    startMore()
    const now = performance.now()
    if (now >= until + DRAIN_MS || (now >= until && underWay.length === 0 && idle.length === connections.length)) break
    // One at once is looked for without a pause: the pause would be part of what is measured.
    await (load.atOnce > 1 ? setTimeout(1) : setImmediate())
  }
  for (const c of connections) c.close()
  await setTimeout(LOG_MS)
  const first = firstSteps(load.log, starts)
  times.sort((a, b) => a - b)
  return {
    executionsPerSecond: (inTime * 1000) / load.measureMs,
    ended,
    failed: failed + underWay.length,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
    firstStepP50Ms: quantile(first, 0.5),
    firstStepP99Ms: quantile(first, 0.99),
  }
}

/** Milliseconds from each start to the log line of its first step, sorted. */
function firstSteps(log: string, starts: ReadonlyMap<string, number>): readonly number[] {
  const out: number[] = []
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    if (!line.includes(`"action_type":"${FIRST_STEP}"`)) continue
    const { action_id, time } = JSON.parse(line) as { action_id: string; time: number }
    const started = starts.get(action_id)
    if (started !== undefined) out.push(time - started)
  }
  if (out.length < starts.size) throw new Error(`${starts.size - out.length} executions never came to their first step`)
  return out.sort((a, b) => a - b)
}

process.stdout.write(JSON.stringify(await runLoad(JSON.parse(process.argv[2]!) as ChainLoad)))
