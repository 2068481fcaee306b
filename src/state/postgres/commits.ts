import { StateUnavailable } from '../../core/errors.ts'
import type { Op } from '../../core/state.ts'
import type { Answer, Carrier } from '../batching.ts'
import { ANSWER_MS, type Ask } from './connections.ts'
import { isRetryable, say } from './failure.ts'
import { inOrder, lockOf } from './locks.ts'
import { type Done, type Packed, pack, plainAnswers, type Ready } from './plain.ts'
import { answerIn, callOf } from './wire.ts'

export type Commit = readonly [scope: string, ops: readonly Op[], dry: boolean]

interface Placed extends Ready {
  /** Among the calls it came with. */
  readonly place: number
}
interface Answered {
  readonly plain: Done | null
  readonly answers: readonly (readonly [place: number, kind: 0 | 1 | 3, value: unknown])[]
}

/** Locks of one transaction: all of a server's transactions share a table of some thousands. One commit may need more. */
const MOST_LOCKS = 512
/** Times a batch is begun that the server has undone to end a deadlock. */
const TRIES = 5

/** The part of the time a caller waits within which a batch is done; the rest is for what the server's clock and ours may differ. */
const LATEST = 0.9

/** Batches of commits: each one round trip and one transaction, its answer that of the server once it is durable. */
export function commitsOver(
  write: Ask,
  s: string,
  { now, servers }: { readonly now: () => number; readonly servers: boolean },
  between: () => void,
): Carrier<Commit> {
  const sql = `SELECT ${s}.commit_batch($1::bigint[], $2::jsonb, $3::jsonb, $4::jsonb, $5::jsonb, $6::jsonb, $7::jsonb,
    $8::jsonb, $9::int, $10::int[], $11::bigint, $12::bigint) AS answered`

  async function send(batch: readonly Ready[], locks: ReadonlySet<number>): Promise<readonly Answer[]> {
    let packed: Packed
    let values: readonly unknown[]
    try {
      packed = pack(batch)
      values = valuesOf(packed, locks)
    } catch (e) {
      // It cannot travel, so it was not done; one at fault must not take the others with it.
      if (batch.length === 1) return [[1, say(e)]]
      const apart: Answer[] = []
      for (const one of batch) apart.push(...(await send([one], new Set(one.ops.map((op) => lockOf(one.scope, op))))))
      return apart
    }
    for (let attempt = 1; ; attempt++) {
      const at = now()
      const latest = servers ? at + ANSWER_MS * LATEST : null
      try {
        const [row] = await write<{ answered: Answered }>(sql, [...values, at, latest])
        const { plain, answers } = row!.answered
        const all: (Answer | undefined)[] = plain
          ? plainAnswers(batch, packed, plain).map((a): Answer | undefined => a && [0, a])
          : []
        for (const [place, kind, value] of answers)
          all[place] = kind === 0 ? [0, answerIn(value, at)] : [kind, `PostgreSQL: ${value}`]
        return batch.map((_, place) => all[place] ?? [2, 'PostgreSQL did not answer for it'])
      } catch (e) {
        if (attempt < TRIES && e instanceof StateUnavailable && isRetryable(e.cause)) continue
        return batch.map(() => [e instanceof StateUnavailable ? 1 : 2, say(e)])
      }
    }
  }
  return {
    async run(calls) {
      const answers: Answer[] = []
      let batch: Placed[] = []
      let locks = new Set<number>()
      const flush = async (): Promise<void> => {
        if (batch.length === 0) return
        const sent = await send(batch, locks)
        batch.forEach(({ place }, i) => {
          answers[place] = sent[i]!
        })
        batch = []
        locks = new Set()
      }
      for (const [place, [scope, ops, dry]] of calls.entries()) {
        try {
          const its = ops.map((op) => lockOf(scope, op))
          const ready = { place, scope, ops, call: callOf(scope, ops, dry) }
          if (locks.size + its.length > MOST_LOCKS) await flush()
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

function valuesOf({ calls, lists, tickets, slow }: Packed, locks: ReadonlySet<number>): readonly unknown[] {
  const list = (all: readonly object[]): string | null => (all.length === 0 ? null : JSON.stringify(all))
  const { put, replace, delete: deletes, count, admit, record } = lists
  return [
    `{${inOrder(locks).join(',')}}`,
    JSON.stringify(calls),
    list(put),
    list(replace),
    list(deletes),
    list(count),
    list(admit),
    list(record),
    tickets,
    `{${slow.join(',')}}`,
  ]
}
