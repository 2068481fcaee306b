import type { AuditRows, HandOver, InOutbox } from '../core/audit.ts'
import { kinds } from '../core/hold.ts'
import { joinParts } from '../core/ids.ts'
import { portions } from '../core/portions.ts'
import type { StateStore } from '../core/state.ts'
import { refuses } from './refuses.ts'

/** So long nobody else is given them. */
const AHEAD_MS = 5000
/** What is begun with less of it left may not be there before somebody else finds it due. */
const LEAST_MS = 2500
/** Characters of records kept here: more wait in the outbox alone. */
const MOST_CHARS = 16_000_000
/** With so many it is time to carry them: what is kept for long costs collections. */
const MANY_CHARS = 400_000
/** Characters that go to the audit at once. */
const AT_ONCE = 2_000_000
/** Entries that one commit takes out of the outbox. */
const ENDED_AT_ONCE = 16

/** What this process has put into the outbox, and has in memory still. */
export interface Handed extends HandOver {
  /**
   * Carries over what there is, or until it is told that it is enough; answers how many records. Rejects where the audit or the state
   * is away. What is not carried, for whatever reason, is found due in the outbox, as after a crash (`drainOutbox`).
   */
  carry(to: Carrying, enough?: AbortSignal): Promise<number>
  /** Rung when so much has come that it should be carried now. */
  whenMany(ring: () => void): void
}
interface Carrying {
  readonly state: Pick<StateStore, 'commit'>
  readonly audit: Pick<AuditRows, 'append'>
  /** The store's time. */
  readonly now: () => number
}
const charsOf = ({ rows }: InOutbox): number => rows.reduce((chars, row) => chars + row.json.length, 0)

export function handed(): Handed {
  let waiting: InOutbox[] = []
  let chars = 0
  let many = (): void => {}

  return {
    aheadMs: AHEAD_MS,
    take(entry) {
      const more = charsOf(entry)
      if (chars + more > MOST_CHARS) return
      waiting.push(entry)
      chars += more
      if (chars >= MANY_CHARS) many()
    },
    whenMany(ring) {
      many = ring
    },
    async carry(to, enough) {
      const all = portions(waiting, charsOf, AT_ONCE)
      waiting = []
      chars = 0
      let carried = 0
      for (const portion of all) {
        if (enough?.aborted) break
        const least = to.now() + LEAST_MS
        const begun = portion.filter((e) => e.dueAt >= least)
        if (begun.length > 0) carried += await carryOver(begun, to)
      }
      return carried
    },
  }
}

async function carryOver(entries: readonly InOutbox[], { state, audit }: Carrying): Promise<number> {
  const rows = entries.flatMap((e) => e.rows)
  try {
    await audit.append(rows)
  } catch (e) {
    if (!refuses(e)) throw e
    // Whoever finds them due sees to which are at fault.
    return 0
  }
  const ends = [...Map.groupBy(entries, (e) => joinParts(e.scope)).values()].flatMap((all) =>
    portions(all, () => 1, ENDED_AT_ONCE),
  )
  // One that somebody has claimed meanwhile is theirs to end.
  const ending = ({ id }: InOutbox) =>
    ({ op: 'delete', kind: kinds.auditOutbox, id, ifUnclaimed: true, orSkip: true }) as const
  await Promise.all(ends.map((some) => state.commit(some[0]!.scope, some.map(ending))))
  return rows.length
}
