import type { TransactWriteItem } from '@aws-sdk/client-dynamodb'
import type { AuditRow } from '../../core/audit.ts'
import { StateUnavailable } from '../../core/errors.ts'
import type { Op } from '../../core/state.ts'
import type { Answer } from '../batching.ts'
import { type Client, Failed } from './client.ts'
import { countAll, uncount } from './counting.ts'
import { type Decided, decideAll, inDoubt, rowText, withCounts } from './deciding.ts'
import { rowName } from './items.ts'
import type { Call } from './lanes.ts'
import { type Count, countOf } from './plan.ts'
import { asked, readInto } from './reading.ts'
import { send } from './sending.ts'
import { type Read, Unread } from './view.ts'

/** What goes with the records of a transaction. */
export interface Carried {
  /** The records, and their place in the trail; in their order, those first that `rows` names. */
  readonly items: readonly TransactWriteItem[]
  /** The transaction has ended; `done`: with the records; undefined: nobody knows. */
  ended(done: boolean | undefined): void
}
export interface EngineParts {
  readonly client: Client
  readonly table: string
  readonly now: () => number
  /** Never the same twice; 36 characters. */
  readonly stamp: () => string
  /** A claim's number. */
  readonly number: () => number
  /** Sees to it that what a commit writes will be found: scopes of a kind, kinds with due entries. */
  readonly announce: (scope: string, ops: readonly Op[]) => Promise<void>
  readonly carry: (rows: readonly AuditRow[]) => Carried
  /**
   * Records that have no room in their transaction: what is put there in their place, and what to do when it is durable, which takes
   * nothing back whatever becomes of it.
   */
  readonly spill: (
    rows: readonly AuditRow[],
    stamp: string,
  ) => { readonly items: readonly TransactWriteItem[]; readonly after: () => Promise<void> }
  /** Rubbish is left by a buffer that was sealed. */
  readonly tidy: (pks: readonly string[], read: Read) => void
}
export type Engine = (scope: string, calls: readonly Call[]) => Promise<readonly Answer[]>

/** A decision that asks for more than it said, again and again: more than a sealed buffer's number can take. */
const MOST_READS = 20
/** How young a count is that may yet be taken back, by clocks that differ somewhat; and how long is waited to see. Milliseconds. */
const IN_DOUBT = { youngMs: 1000, waitMs: 100 }

/**
 * Batches of commits of one scope.
 *
 * 1 What a decision rests on is read, consistently, and written under the condition that it is still so: each item has a stamp that is
 *   new with every write, and what was only looked at is checked in the same transaction.
 * 2 Where it is not so any more, all is read and decided again, after a wait with jitter.
 * 3 Counters go first, each by itself, and are taken back where the rest is not done: after a crash one may stay counted. Others see such a
 *   count meanwhile, so a limit that refuses for a very young one is looked at once more.
 * 4 No answer is given before what it has read from is durable.
 */
export function openEngine(parts: EngineParts): Engine {
  const { client, table, now, stamp } = parts

  /** Undefined: what was read does not fit together, as others change it meanwhile. */
  async function decided(scope: string, calls: readonly Call[], read: Read, known: ReadonlySet<string>, mark: string) {
    for (let n = 0; n < MOST_READS; n++) {
      try {
        return decideAll({ scope, calls, read, table, stamp: mark, now: now(), number: parts.number, known })
      } catch (e) {
        if (!(e instanceof Unread)) throw e
        if (e.buffers.some((pk) => read.buffers.has(pk))) return undefined
        await readInto(client, table, read, e)
      }
    }
    return undefined
  }
  function countsOf({ view, room }: Decided, mark: string): Count[] {
    const at = now()
    return [...view.counterCells].flatMap(([key, cell]) =>
      cell.writes === 0 ? [] : [countOf(cell, room.get(key) ?? Number.POSITIVE_INFINITY, mark, at)],
    )
  }

  async function attempts(scope: string, calls: readonly Call[]): Promise<readonly Answer[]> {
    const ops = calls.flatMap((c) => c.ops)
    const wanted = asked(scope, ops)
    const wait = client.patience()
    const known = new Set<string>()
    const announced = calls.every((c) => c.dry) ? undefined : parts.announce(scope, ops)
    let looked = false
    for (let why = 'others are at it too'; ; ) {
      const mark = stamp()
      const read: Read = { items: new Map(), buffers: new Map() }
      await Promise.all([readInto(client, table, read, wanted), announced])
      const d = await decided(scope, calls, read, known, mark)
      if (d === undefined) {
        if (await wait.again()) continue
        return calls.map(() => [1, why])
      }
      // A limit is asked once more before it refuses for what may have come to nothing.
      if (!looked && inDoubt(d, scope, calls, now() - IN_DOUBT.youngMs)) {
        looked = true
        if (await wait.again(IN_DOUBT.waitMs)) continue
      }
      const all = (kind: 1 | 2, text: string): Answer[] => d.answers.map(() => [kind, text])

      const counts = countsOf(d, mark)
      const counted = await countAll(client, table, counts)
      if ('failed' in counted) {
        const { fate, message } = counted.failed
        if (fate === 'ambiguous') return all(2, message)
        if (fate !== 'condition' && fate !== 'conflict') return all(1, message)
        why = message
        if (await wait.again()) continue
        return all(1, why)
      }
      const answers = withCounts(d, scope, calls, counted.more)
      const spilled = d.spilled ? parts.spill(d.rows, mark) : undefined
      const carried = spilled || d.rows.length === 0 ? undefined : parts.carry(d.rows)
      const items = [...d.plan.items, ...((carried ?? spilled)?.items ?? [])]
      // What was only looked at need not be looked at again, where nothing follows from it.
      if (counts.length === 0 && items.every((i) => i.ConditionCheck)) return answers
      if (items.length === 0) return answers

      const sent = await send(client, items, mark, wait)
      carried?.ended(sent.end === 'unknown' ? undefined : sent.end === 'done')
      if (sent.end === 'done') {
        parts.tidy(emptied(d), read)
        await spilled?.after()
        return answers
      }
      if (sent.end === 'unknown') return all(2, sent.why)
      await uncount(client, table, counts)
      if (sent.end === 'unavailable') return all(1, sent.why)
      if (sent.end === 'refused')
        return d.answers.length === 1 ? all(1, sent.why) : apart(scope, calls.slice(0, d.answers.length))
      const twice = sent.failed.filter((at) => at >= d.plan.items.length)
      for (const at of twice) known.add(rowText(d.rows[at - d.plan.items.length]!))
      if (twice.length > 0 && twice.length === sent.failed.length) continue
      if (!(await wait.again())) return all(1, why)
    }
  }
  /** One commit at fault must not take the others with it. */
  async function apart(scope: string, calls: readonly Call[]): Promise<Answer[]> {
    const answers: Answer[] = []
    for (const call of calls) answers.push(...(await run(scope, [call])))
    return answers
  }
  const run: Engine = async (scope, calls) => {
    try {
      return await attempts(scope, calls)
    } catch (e) {
      if (e instanceof StateUnavailable || e instanceof Failed) return calls.map(() => [1, e.message])
      throw e
    }
  }
  return run
}

/** Partitions of buffers whose items were sealed. */
const emptied = ({ view }: Decided): string[] =>
  [...view.heads.values()].flatMap(({ contents, writes }) =>
    contents.emptied && writes > 0 ? [rowName(contents.scope, contents.buffer, '').pk] : [],
  )
