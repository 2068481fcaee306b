import { StateUnavailable } from '../../core/errors.ts'
import type { Op } from '../../core/state.ts'
import type { Answer, Carrier } from '../batching.ts'
import type { Ask } from './connections.ts'
import { isRetryable } from './failure.ts'
import { inOrder, locksOf } from './locks.ts'
import { answerIn, callOf } from './wire.ts'

export type Commit = readonly [scope: string, ops: readonly Op[], dry: boolean]

/** Locks of one transaction: all of a server's transactions share a table of some thousands. One commit may need more. */
const MOST_LOCKS = 512
/** Times a batch is begun that the server has undone to end a deadlock. */
const TRIES = 5

/** Batches of commits: each one round trip and one transaction, its answer that of the server once it is durable. */
export function commitsOver(write: Ask, s: string, now: () => number, between: () => void): Carrier<Commit> {
  async function send(batch: readonly Commit[], locks: ReadonlySet<number>): Promise<readonly Answer[]> {
    const at = now()
    const values = [
      `{${inOrder(locks).join(',')}}`,
      JSON.stringify(batch.map(([scope, ops, dry]) => callOf(scope, ops, dry))),
      at,
    ]
    for (let attempt = 1; ; attempt++) {
      try {
        const [row] = await write<{ answers: readonly (readonly [number, unknown])[] }>(
          `SELECT ${s}.run_batch($1::bigint[], $2::jsonb, $3::bigint) AS answers`,
          values,
        )
        return (row?.answers ?? []).map(
          ([kind, value]): Answer => (kind === 0 ? [0, answerIn(value, at)] : [1, `PostgreSQL: ${value}`]),
        )
      } catch (e) {
        if (attempt < TRIES && e instanceof StateUnavailable && isRetryable(e.cause)) continue
        const why = e instanceof Error ? e.message : String(e)
        return batch.map(() => [e instanceof StateUnavailable ? 1 : 2, why])
      }
    }
  }
  return {
    async run(calls) {
      const answers: Answer[] = []
      let batch: Commit[] = []
      let locks = new Set<number>()
      for (const call of calls) {
        const its = new Set<number>()
        locksOf(call[0], call[1], its)
        if (batch.length > 0 && locks.size + its.size > MOST_LOCKS) {
          answers.push(...(await send(batch, locks)))
          batch = []
          locks = new Set()
        }
        batch.push(call)
        for (const lock of its) locks.add(lock)
      }
      answers.push(...(await send(batch, locks)))
      between()
      return answers
    },
    close: async () => {},
  }
}
