import type { AuditFollow, AuditFollowed } from '../../../core/audit.ts'
import { scopeText } from '../../scope.ts'
import type { Client } from '../client.ts'
import { type Item, nameText } from '../items.ts'
import { getItems } from '../reading.ts'
import { FOLLOWED_MS, HOUR_MS, SETTLED_MS } from './ages.ts'
import type { Name, Names } from './names.ts'
import { hourOf, isAfter, type Places, type Position, positionOf, positionText } from './positions.ts'
import { type Purged, purgedAfter } from './purged.ts'
import { numberKey, trailKey } from './trail.ts'

/** An item of a node's trail. */
interface Mark {
  readonly node: string
  readonly seq: number
  readonly low: number
  readonly at: number
  readonly rows: readonly (readonly [pk: string, sk: string])[]
}
const markOf = (node: string, item: Item): Mark => ({
  node,
  seq: Number(item['sk']?.S),
  low: Number(item['low']?.N),
  at: Number(item['at']?.N),
  rows: JSON.parse(item['rows']?.S ?? '[]') as Mark['rows'],
})

/** Marks read of a node at once: none has less than one record, but those that only say a gap is none. */
const MARKS = 200
/** Records read at once. */
const AT_ONCE = 300

/** Marks in their order up to the first gap that may still be filled. */
function settled(marks: readonly Mark[], after: number, now: number): Mark[] {
  const told = marks.reduce((most, m) => Math.max(most, m.low), 0)
  const ok: Mark[] = []
  let next = after + 1
  for (const m of marks) {
    if (m.seq !== next && m.seq > told && now - m.at < SETTLED_MS) break
    ok.push(m)
    next = m.seq + 1
  }
  return ok
}

export interface FollowParts {
  readonly client: Client
  readonly table: string
  readonly names: Pick<Names, 'all'>
  readonly now: () => number
  readonly purged: () => Promise<readonly Purged[]>
}
/** What a position has not behind it for certain. */
const isAhead = (name: Name | undefined, hour: number): boolean => name !== undefined && name.until > hour * HOUR_MS

/**
 * The trails of all nodes as one: each in its own order, and beside each other as they were sent. A position is how far each has been
 * followed, and an hour before which all have been, so that what has ended need not be named. One without anything new to tell is said
 * anew when an hour has passed; one that is older than what the trail still has is not known any more.
 */
export function openFollow({
  client,
  table,
  names,
  now,
  purged,
}: FollowParts): (f: AuditFollow) => Promise<AuditFollowed> {
  async function marks(node: string, from: number, limit: number, descending = false): Promise<Mark[]> {
    const { Items = [] } = await client.read((db, o) =>
      db.send(
        new client.sdk.QueryCommand({
          TableName: table,
          ConsistentRead: true,
          KeyConditionExpression: 'pk = :pk AND sk >= :from',
          ExpressionAttributeValues: { ':pk': { S: trailKey(node) }, ':from': { S: numberKey(from) } },
          ScanIndexForward: !descending,
          Limit: limit,
        }),
        o,
      ),
    )
    return Items.map((i) => markOf(node, i))
  }

  /** How far all can be followed now. */
  async function end(): Promise<Position> {
    const hour = hourOf(now())
    const there = [...(await names.all()).values()].filter((name) => isAhead(name, hour))
    const ends = await Promise.all(
      there.map(async ({ name }): Promise<readonly [string, readonly [number, number]] | undefined> => {
        const [newest] = await marks(name, 0, 1, true)
        if (newest === undefined) return undefined
        // All below `low` have ended; from there on gaps count.
        const ok = settled(await marks(name, newest.low, MARKS), newest.low - 1, now())
        const last = ok.findLast((m) => m.rows.length > 0)
        return [name, last ? [last.seq, last.rows.length] : [newest.low - 1, 0]]
      }),
    )
    return { hour, places: new Map(ends.flatMap((e) => (e === undefined ? [] : [e]))) }
  }

  /** What follows a position, and whether there is more than was read. Undefined: the position is of no trail of ours. */
  async function ahead(
    { hour, places }: Position,
    there: ReadonlyMap<string, Name>,
  ): Promise<{ marks: Mark[]; full: boolean } | undefined> {
    /** Up to where those were read of which there is more: what others have beyond it may come after that. */
    let edge = Number.POSITIVE_INFINITY
    const each = await Promise.all(
      [...there.values()].map(async (name) => {
        if (!isAhead(name, hour)) return []
        const node = name.name
        const [seq, taken] = places.get(node) ?? [0, 0]
        const found = await marks(node, seq, MARKS)
        if (found.length === MARKS) edge = Math.min(edge, found.at(-1)!.at)
        const mine = found[0]?.seq === seq ? found[0] : undefined
        if (mine === undefined && seq > 0 && found.length === 0 && !(await was(node, seq))) return undefined
        if (mine !== undefined && taken > mine.rows.length) return undefined
        const ok = settled(mine ? found.slice(1) : found, seq, now())
        return mine === undefined ? ok : [mine, ...ok]
      }),
    )
    if (each.includes(undefined)) return undefined
    const near = merged(each as Mark[][])
    const far = near.findIndex((m) => m.at > edge)
    return { marks: far < 0 ? near : near.slice(0, far), full: edge < Number.POSITIVE_INFINITY }
  }
  /** Whether a node has come so far; what it had there may have been swept. */
  async function was(node: string, seq: number): Promise<boolean> {
    const [newest] = await marks(node, 0, 1, true)
    return newest === undefined || newest.low > seq
  }

  async function unknown(): Promise<AuditFollowed> {
    return { rows: [], next: positionText(await end()), more: false, missed: { why: 'unknown' } }
  }
  /** The names there are; undefined: the position is older than the trail, or has one that never was. */
  async function namesOf({ hour, places }: Position): Promise<ReadonlyMap<string, Name> | undefined> {
    if (hour * HOUR_MS <= now() - FOLLOWED_MS || hour > hourOf(now()) + 1) return undefined
    const lacks = (known: ReadonlyMap<string, Name>): boolean => [...places.keys()].some((name) => !known.has(name))
    const known = await names.all()
    // A position may come from another gateway, which knows of a new node already.
    const all = lacks(known) ? await names.all(true) : known
    return lacks(all) ? undefined : all
  }

  return async ({ after, limit, maxChars, scope }) => {
    if (after === undefined) return { rows: [], next: positionText(await end()), more: false }
    const from = positionOf(after)
    const there = from && (await namesOf(from))
    if (from === undefined || there === undefined) return unknown()
    const at = new Map(from.places)
    let { hour } = from
    const rows: { position: string; json: string }[] = []
    let chars = 0
    let moved = false
    for (;;) {
      const next = await ahead({ hour: from.hour, places: at }, there)
      if (next === undefined) return unknown()
      moved = false
      const page = await take(next.marks)
      // Where all that was read has been purged there may be more behind it; behind a gap it is waited for.
      if (page || rows.length > 0 || !next.full || !moved) return answer(page || next.full)
    }

    /** As it is said: without those that have ended before its hour. */
    function said(hour: number, places: Places): string {
      return positionText({ hour, places: new Map([...places].filter(([name]) => isAhead(there!.get(name), hour))) })
    }
    /** Whether the page ended before the marks did. */
    async function take(ahead: readonly Mark[]): Promise<boolean> {
      const steps = ahead.flatMap((m) => m.rows.map(([pk, sk], i) => ({ mark: m, taken: i + 1, name: { pk, sk } })))
      const left = steps.filter(({ mark, taken }) => isAfter([mark.seq, taken], at.get(mark.node)))
      for (let i = 0; i < left.length; ) {
        const some = left.slice(i, i + Math.min(AT_ONCE, limit + 1))
        i += some.length
        const found = await getItems(
          client,
          table,
          some.map((s) => s.name),
        )
        for (const { mark, taken, name } of some) {
          const json = found.get(nameText(name))?.['json']?.S
          if (json !== undefined && (rows.length === limit || (rows.length > 0 && chars >= maxChars))) return true
          at.set(mark.node, [mark.seq, taken])
          moved = true
          hour = Math.max(hour, hourOf(mark.at))
          if (json === undefined) continue // purged since
          rows.push({ position: said(hour, at), json })
          chars += json.length
        }
      }
      return false
    }
    async function answer(more: boolean): Promise<AuditFollowed> {
      const upTo = purgedAfter(await purged(), from!, scope && scopeText(scope), (name) =>
        isAhead(there!.get(name), from!.hour),
      )
      const hourNow = hourOf(now())
      return {
        rows,
        // Who idles must not have come from further back than the trail goes.
        next: rows.at(-1)?.position ?? (hourNow > from!.hour ? said(hourNow, from!.places) : after!),
        more: more && rows.length > 0,
        ...(upTo !== undefined && { missed: { why: 'purged', upTo: positionText(upTo) } }),
      }
    }
  }
}

/** Each in its own order, whichever was sent first before the others. */
function merged(each: readonly (readonly Mark[])[]): Mark[] {
  const heads = each.map(() => 0)
  const all: Mark[] = []
  for (;;) {
    let best: number | undefined
    for (const [i, head] of heads.entries()) {
      const m = each[i]![head]
      if (m !== undefined && (best === undefined || m.at < each[best]![heads[best]!]!.at)) best = i
    }
    if (best === undefined) return all
    all.push(each[best]![heads[best]!++]!)
  }
}
