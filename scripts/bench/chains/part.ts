import { type Bench, LOAD_CORE, SERVER_CORE } from '../bench.ts'
import { printTable } from '../table.ts'
import { measureGraph } from './graph.ts'
import { STEPS } from './settings.ts'
import { dbos, type Measured, ours } from './steps.ts'
import { measureWaiting } from './waiting.ts'

/** Durable executions, beside DBOS. `quick` leaves out the database on a core of its own, and has fewer wait. */
export async function benchChains(bench: Bench): Promise<void> {
  process.stderr.write('Chains\n')
  const own = await ours(bench)
  const beside = await dbos(bench, SERVER_CORE)
  const rows = [...own, ...beside]
  if (!bench.quick && LOAD_CORE !== SERVER_CORE) rows.push(...(await dbos(bench, LOAD_CORE)))
  const columns =
    'what, at once, steps/s, of DBOS, executions/s, CPU µs a step, execution p50 ms, p99 ms, start to first step p50 ms, p99 ms, not completed'
  printTable(
    'Chains: three steps that write a log line, each durable',
    columns.split(', '),
    rows.map((row) => cells(row, beside)),
  )
  const further = [...(await measureGraph(bench)), ...(await measureWaiting(bench))]
  printTable('Chains: graphs and waiting', ['what', 'found'], further)
}

function cells(r: Measured, beside: readonly Measured[]): readonly (string | number)[] {
  const other = beside.find((b) => b.atOnce === r.atOnce)
  return [
    r.what,
    r.atOnce,
    Math.round(r.executionsPerSecond * STEPS),
    other ? (r.executionsPerSecond / other.executionsPerSecond).toFixed(1) : '',
    Math.round(r.executionsPerSecond),
    Math.round(r.cpuUsPerStep),
    r.p50Ms.toFixed(1),
    r.p99Ms.toFixed(1),
    r.firstStepP50Ms,
    r.firstStepP99Ms,
    r.failed,
  ]
}
