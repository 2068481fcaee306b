import type { Claimed, StateStore } from '../../core/state.ts'
import type { Spread } from './keys.ts'
import { entryOf } from './rows.ts'
import { fromText, scopeOfLine, toLine } from './text.ts'

type Call = Parameters<StateStore['claim']>[1]
interface Turn {
  readonly scope: string
  readonly tag: number
  /** Due there, as far as seen. */
  readonly due: number
  take: number
}

/** Scopes looked at of one tag: those that have waited longest. */
const SCOPES = 1000
/** Another node may have taken what was seen. */
const TRIES = 3

/**
 * Takes due entries: oldest first within a scope, turns between scopes of all tags. First a look at what is due where, then each tag
 * is asked for its part; what somebody else has taken meanwhile is not among it. A master that is away holds up its own scopes alone.
 */
export function claims({ link, prefix, lookWhereItCan, clock }: Spread): StateStore['claim'] {
  /** The scope served last, by kind: the next round begins behind it. */
  const last = new Map<string, string>()

  async function candidates(kind: string): Promise<{ readonly turns: Turn[]; readonly lost?: Error | undefined }> {
    const { answers, lost } = await lookWhereItCan('look', [String(clock.now()), kind, String(SCOPES)])
    const turns: Turn[] = []
    const found = answers as readonly ((string | number)[] | undefined)[]
    found.forEach((list = [], tag) => {
      for (let i = 0; i < list.length; i += 2)
        turns.push({ scope: String(list[i]), due: Number(list[i + 1]), tag, take: 0 })
    })
    turns.sort((a, b) => (a.scope < b.scope ? -1 : 1))
    const after = last.get(kind)
    const from = after === undefined ? 0 : turns.findIndex((t) => t.scope > after)
    return { turns: from <= 0 ? turns : [...turns.slice(from), ...turns.slice(0, from)], lost }
  }

  /** One tag's part, by scope. */
  async function take(kind: string, turns: readonly Turn[], call: Call): Promise<ReadonlyMap<string, Claimed[]>> {
    const now = clock.now()
    const until = now + call.leaseMs
    const args = [String(now), toLine(kind), toLine(call.owner), String(until)]
    for (const t of turns) args.push(t.scope, String(t.take))
    const lists = (await link.script('claim', [prefix(turns[0]!.tag)], args)) as string[][]
    return new Map(
      lists.map((list, n): [string, Claimed[]] => {
        const line = turns[n]!.scope
        const scope = scopeOfLine(line)
        const taken: Claimed[] = []
        for (let i = 0; i < list.length; i += 3)
          taken.push(entryOf(kind, scope, fromText(list[i]!), list[i + 1]!, now, list[i + 2]) as Claimed)
        return [line, taken]
      }),
    )
  }

  return async (kind, call) => {
    if (call.limit <= 0) return []
    for (let n = 0; n < TRIES; n++) {
      const { turns, lost: unseen } = await candidates(toLine(kind))
      if (turns.length === 0) {
        if (unseen) throw unseen
        return []
      }
      share(turns, call)
      const asked = turns.filter((t) => t.take > 0)
      const parts = await Promise.allSettled(
        [...Map.groupBy(asked, (t) => t.tag).values()].map((part) => take(kind, part, call)),
      )
      const taken = new Map(parts.flatMap((p) => (p.status === 'fulfilled' ? [...p.value] : [])))
      const claimed = inTurns(asked, taken)
      if (claimed.length > 0) {
        last.set(toLine(kind), claimed.at(-1)!.scope)
        return claimed.map((c) => c.entry)
      }
      // Where some tags have answered, what they gave is worked on; the others' comes back by itself.
      const lost = parts.find((p) => p.status === 'rejected')
      if (lost) throw lost.reason
    }
    return []
  }
}

/** One of each scope in turn, until the limit is reached or nothing more is due. */
function share(turns: readonly Turn[], { limit, perScope = limit }: Call): void {
  let left = limit
  for (let active = [...turns]; left > 0 && active.length > 0; ) {
    for (const t of active) {
      if (left === 0) break
      t.take++
      left--
    }
    active = active.filter((t) => t.take < Math.min(t.due, perScope))
  }
}

interface Taken {
  readonly scope: string
  readonly entry: Claimed
}
function inTurns(turns: readonly Turn[], taken: ReadonlyMap<string, readonly Claimed[]>): Taken[] {
  const all: Taken[] = []
  const most = Math.max(0, ...turns.map((t) => taken.get(t.scope)?.length ?? 0))
  for (let i = 0; i < most; i++)
    for (const { scope } of turns) {
      const entry = taken.get(scope)?.[i]
      if (entry) all.push({ scope, entry })
    }
  return all
}
