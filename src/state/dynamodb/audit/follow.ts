import type { AuditFollow, AuditFollowed } from '../../../core/audit.ts'
import { scopeText } from '../../scope.ts'
import type { Client } from '../client.ts'
import { type Item, idOfItem, nameText } from '../items.ts'
import { getItems, itemsOf } from '../reading.ts'
import { isAfter, type Positions, positionsOf, positionText } from './positions.ts'
import { type Purged, purgedAfter } from './purged.ts'
import { NODES_KEY, numberKey, SETTLED_MS, trailKey } from './trail.ts'

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
const NODES_AGAIN_MS = 500
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
  /** This gateway, whose records are followed from the first on. */
  readonly node: string
  readonly now: () => number
  readonly purged: () => Promise<readonly Purged[]>
}

/** The trails of all nodes as one: each in its own order, and beside each other as they were sent. A position is how far each has been followed. */
export function openFollow({
  client,
  table,
  node: own,
  now,
  purged,
}: FollowParts): (f: AuditFollow) => Promise<AuditFollowed> {
  let nodes: readonly string[] = []
  let nodesUntil = 0

  async function allNodes(fresh = false): Promise<readonly string[]> {
    if (!fresh && now() < nodesUntil) return nodes
    nodesUntil = now() + NODES_AGAIN_MS
    const told = (await itemsOf(client, table, NODES_KEY)).map(idOfItem)
    nodes = [...new Set([...told, own])].sort()
    return nodes
  }
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
  async function end(): Promise<Positions> {
    const ends = await Promise.all(
      (await allNodes()).map(async (node): Promise<readonly [string, readonly [number, number]] | undefined> => {
        const [newest] = await marks(node, 0, 1, true)
        if (newest === undefined) return undefined
        // All below `low` have ended; from there on gaps count.
        const ok = settled(await marks(node, newest.low, MARKS), newest.low - 1, now())
        const last = ok.findLast((m) => m.rows.length > 0)
        return [node, last ? [last.seq, last.rows.length] : [newest.low - 1, 0]]
      }),
    )
    return new Map(ends.flatMap((e) => (e === undefined ? [] : [e])))
  }

  /** What follows the positions, and whether there is more than was read. Undefined: the positions are of no trail of ours. */
  async function ahead(from: Positions): Promise<{ marks: Mark[]; full: boolean } | undefined> {
    const known = await allNodes()
    const missing = (list: readonly string[]): boolean => [...from.keys()].some((node) => !list.includes(node))
    // A position may come from another gateway, which knows of a new node already.
    const all = missing(known) ? await allNodes(true) : known
    if (missing(all)) return undefined
    let full = false
    const each = await Promise.all(
      all.map(async (node) => {
        const [seq, taken] = from.get(node) ?? [0, 0]
        const found = await marks(node, seq, MARKS)
        full ||= found.length === MARKS
        const mine = found[0]?.seq === seq ? found[0] : undefined
        if (mine === undefined && seq > 0 && found.length === 0 && !(await was(node, seq))) return undefined
        if (mine !== undefined && taken > mine.rows.length) return undefined
        const ok = settled(mine ? found.slice(1) : found, seq, now())
        return mine === undefined ? ok : [mine, ...ok]
      }),
    )
    return each.includes(undefined) ? undefined : { marks: merged(each as Mark[][]), full }
  }
  /** Whether a node has come so far; what it had there may have been swept. */
  async function was(node: string, seq: number): Promise<boolean> {
    const [newest] = await marks(node, 0, 1, true)
    return newest === undefined || newest.low > seq
  }

  async function unknown(): Promise<AuditFollowed> {
    return { rows: [], next: positionText(await end()), more: false, missed: { why: 'unknown' } }
  }

  return async ({ after, limit, maxChars, scope }) => {
    if (after === undefined) return { rows: [], next: positionText(await end()), more: false }
    const from = positionsOf(after)
    if (from === undefined) return unknown()
    const at = new Map(from)
    const rows: { position: string; json: string }[] = []
    let chars = 0
    for (;;) {
      const next = await ahead(at)
      if (next === undefined) return unknown()
      const page = await take(next.marks)
      // Where all that was read has been purged there may be more behind it.
      if (page || rows.length > 0 || !next.full) return answer(page || next.full)
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
          if (json === undefined) continue // purged since
          rows.push({ position: positionText(at), json })
          chars += json.length
        }
      }
      return false
    }
    async function answer(more: boolean): Promise<AuditFollowed> {
      const upTo = purgedAfter(await purged(), from!, scope && scopeText(scope))
      return {
        rows,
        next: rows.at(-1)?.position ?? after!,
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
