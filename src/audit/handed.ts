import type { AuditRows, HandOver, InOutbox } from '../core/audit.ts'
import type { Log } from '../core/env.ts'
import { kinds } from '../core/hold.ts'
import { joinParts } from '../core/ids.ts'
import { portions } from '../core/portions.ts'
import type { StateStore } from '../core/state.ts'
import { AT_ONCE, refusal } from './refusal.ts'

/** So long nobody else is given them. */
const AHEAD_MS = 10_000
/** With less of it left they are not begun: they might not be there before somebody else finds them due. */
const LEAST_MS = 5000
/** Characters of records that wait here: more wait in the outbox alone. */
const MOST_CHARS = 16_000_000
/** With so many it is time to carry them: what is kept for long costs collections. */
const MANY_CHARS = 400_000
/** Entries that one commit takes out of the outbox. */
const ENDED_AT_ONCE = 16

/** What this process has put into the outbox, and has in memory still. */
export interface Handed extends HandOver {
  /**
   * Carries over what there is, or until it is told that it is enough; answers how many records. Rejects where the audit or the state
   * is away, and keeps what it has not carried. What it gives up (late, too much, refused) is found due in the outbox, as after a crash
   * (`drainOutbox`). `last`: also what is late and nobody else's yet, as there will be no other time.
   */
  carry(to: Carrying, enough?: AbortSignal, last?: boolean): Promise<number>
  /** Rung when so much has come that it should be carried now. */
  whenMany(ring: () => void): void
}
interface Carrying {
  readonly state: Pick<StateStore, 'commit'>
  readonly audit: Pick<AuditRows, 'append'>
  /** The store's time. */
  readonly now: () => number
  readonly log: Pick<Log, 'warn'>
}
const charsOf = ({ rows }: InOutbox): number => rows.reduce((chars, row) => chars + row.json.length, 0)

export function handed(): Handed {
  /** Oldest first. */
  let waiting: InOutbox[] = []
  let chars = 0
  let many = (): void => {}

  function keep(entries: InOutbox[]): void {
    waiting = entries
    chars = entries.reduce((sum, e) => sum + charsOf(e), 0)
  }
  /** Of what is late, as it was written so long before one that is due then. */
  function makeRoom(more: number, dueAt: number): void {
    let late = 0
    for (; late < waiting.length && chars + more > MOST_CHARS; late++) {
      const oldest = waiting[late]!
      if (oldest.dueAt >= dueAt - AHEAD_MS + LEAST_MS) break
      chars -= charsOf(oldest)
    }
    waiting.splice(0, late)
  }
  return {
    aheadMs: AHEAD_MS,
    take(entry) {
      const more = charsOf(entry)
      if (chars + more > MOST_CHARS) makeRoom(more, entry.dueAt)
      if (chars + more > MOST_CHARS) return
      waiting.push(entry)
      chars += more
      if (chars >= MANY_CHARS) many()
    },
    whenMany(ring) {
      many = ring
    },
    async carry(to, enough, last = false) {
      const left = portions(waiting, charsOf, AT_ONCE)
      /** Nobody else's yet: there may be a last time. */
      const late: InOutbox[] = []
      keep([])
      let carried = 0
      try {
        for (let some = left[0]; some !== undefined && !enough?.aborted; some = left[0]) {
          const now = to.now()
          const { begun = [], others = [] } = Object.groupBy(some, (e) =>
            e.dueAt >= now + (last ? 1 : LEAST_MS) ? 'begun' : 'others',
          )
          if (begun.length > 0) carried += await carryOver(begun, to)
          late.push(...others.filter((e) => e.dueAt > now))
          left.shift()
        }
      } finally {
        if (late.length + left.length > 0) keep([...late, ...left.flat(), ...waiting])
      }
      return carried
    },
  }
}

async function carryOver(entries: readonly InOutbox[], to: Carrying): Promise<number> {
  const rows = entries.flatMap((e) => e.rows)
  const no = await refusal(to.audit, rows)
  if (no === undefined) {
    await end(entries, to)
    return rows.length
  }
  const [first, more] = entries
  if (more === undefined) {
    to.log.warn({ entry: first!.id, why: no }, 'the audit does not take a record; it is tried again')
    return 0
  }
  let carried = 0
  for (const entry of entries) carried += await carryOver([entry], to)
  return carried
}
async function end(entries: readonly InOutbox[], { state }: Carrying): Promise<void> {
  const ends = [...Map.groupBy(entries, (e) => joinParts(e.scope)).values()].flatMap((all) =>
    portions(all, () => 1, ENDED_AT_ONCE),
  )
  // One that somebody has claimed meanwhile is theirs to end.
  const ending = ({ id }: InOutbox) =>
    ({ op: 'delete', kind: kinds.auditOutbox, id, ifUnclaimed: true, orSkip: true }) as const
  await Promise.all(ends.map((some) => state.commit(some[0]!.scope, some.map(ending))))
}
