import { StateUnavailable } from '../../core/errors.ts'
import type { Op } from '../../core/state.ts'
import type { Answer, Carrier } from '../batching.ts'
import type { Ask } from './connections.ts'
import { isRetryable, say } from './failure.ts'
import { inOrder, locksOf } from './locks.ts'
import { answerIn, type Call, callOf } from './wire.ts'

export type Commit = readonly [scope: string, ops: readonly Op[], dry: boolean]

interface Ready {
  readonly place: number
  readonly call: Call
}

/** Locks of one transaction: all of a server's transactions share a table of some thousands. One commit may need more. */
const MOST_LOCKS = 512
/** Times a batch is begun that the server has undone to end a deadlock. */
const TRIES = 5

/** Batches of commits: each one round trip and one transaction, its answer that of the server once it is durable. */
export function commitsOver(write: Ask, s: string, now: () => number, between: () => void): Carrier<Commit> {
  async function send(batch: readonly Ready[], locks: ReadonlySet<number>): Promise<readonly Answer[]> {
    const at = now()
    const values = [`{${inOrder(locks).join(',')}}`, JSON.stringify(batch.map(({ call }) => call)), at]
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
        return batch.map(() => [e instanceof StateUnavailable ? 1 : 2, say(e)])
      }
    }
  }
  return {
    async run(calls) {
      const answers: Answer[] = []
      let batch: Ready[] = []
      let locks = new Set<number>()
      const flush = async (): Promise<void> => {
        if (batch.length === 0) return
        const sent = await send(batch, locks)
        batch.forEach(({ place }, i) => {
          answers[place] = sent[i] ?? [2, 'PostgreSQL did not answer for it']
        })
        batch = []
        locks = new Set()
      }
      for (const [place, [scope, ops, dry]] of calls.entries()) {
        const its = new Set<number>()
        try {
          locksOf(scope, ops, its)
          const ready = { place, call: callOf(scope, ops, dry) }
          if (locks.size + its.size > MOST_LOCKS) await flush()
          batch.push(ready)
          for (const lock of its) locks.add(lock)
        } catch (e) {
          answers[place] = [1, say(e)]
        }
      }
      await flush()
      between()
      return answers
    },
    close: async () => {},
  }
}
