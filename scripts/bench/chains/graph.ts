import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Bench, LOAD_CORE } from '../bench.ts'
import { start } from '../process.ts'
import { quantile } from '../table.ts'
import { connect } from './connection.ts'
import { endsOf } from './ends.ts'
import { openGateway } from './gateway.ts'
import { BRANCHES, graph, SCOPE, startBody } from './settings.ts'

const CALL_MS = 200

/** Independent steps at once: an execution takes as long as the longest of them, not as all together. */
export async function measureGraph(bench: Bench): Promise<readonly [what: string, found: string][]> {
  const what = `a graph of ${BRANCHES.length} independent calls of ${CALL_MS} ms and a step that needs them all`
  const env = { DELAY_MS: String(CALL_MS) }
  const slow = await start([join(import.meta.dirname, '../sink.ts')], { core: LOAD_CORE, log: bench.log, env })
  const gateway = await openGateway(bench, 'graph', `http://127.0.0.1:${slow.port}/call`)
  try {
    const refused = await gateway.define(graph)
    if (refused !== undefined) return [[what, `skipped: the engine refuses it (${refused})`]]
    const ends = endsOf(gateway.store, SCOPE)
    const connection = await connect(gateway.server.port)
    const totals: number[] = []
    for (let i = 0; i < (bench.quick ? 5 : 20); i++) {
      const began = performance.now()
      const id = await connection.start(startBody('graph', `graph-${i}`))
      let status: string | undefined
      while (status === undefined && performance.now() < began + 10_000) {
        await setTimeout(1)
        status = ends([id])[0]
      }
      if (status !== 'completed')
        throw new Error(`a graph did not complete: ${JSON.stringify(await gateway.get(`/v1/chains/${id}`))}`)
      totals.push(performance.now() - began)
    }
    connection.close()
    totals.sort((a, b) => a - b)
    const found = `median ${quantile(totals, 0.5).toFixed(1)} ms, longest ${totals.at(-1)!.toFixed(1)} ms; the longest path is ${CALL_MS} ms, one after another ${CALL_MS * BRANCHES.length} ms`
    return [[what, found]]
  } finally {
    await gateway.stop()
    await slow.stop()
  }
}
