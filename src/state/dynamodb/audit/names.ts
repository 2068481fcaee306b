import type { Clock } from '../../../core/clock.ts'
import type { Client } from '../client.ts'
import { type Item, idOfItem, noteItem } from '../items.ts'
import { itemsOf } from '../reading.ts'
import { TTL } from '../tables.ts'
import { partitionKey } from '../text.ts'
import { HOUR_MS, KEPT_MS } from './ages.ts'
import { openTrail, type Trail } from './trail.ts'

/** A name under which a gateway writes, or has written, its part of the trail. */
export interface Name {
  readonly name: string
  /** It writes nothing after this moment, unless it has said a later one before. */
  readonly until: number
}
const NAMES_KEY = partitionKey('numbers', 'nodes')
/** How often a name is said anew, by who writes; and how late that may be. */
const RENEWED_MS = HOUR_MS
const LATE_MS = HOUR_MS
const AGAIN_MS = 500

/**
 * The names there are, so that the trail of each is found.
 *
 * 1 A name is said before anything is written under it, and anew each hour, by who writes: so of one that has not been for two hours it
 *   is known that nothing more will come.
 * 2 Who has been silent for that long goes on under a new name.
 * 3 A name is forgotten when the last it can have written is.
 */
export function openNames(client: Client, table: string, newId: () => string, clock: Pick<Clock, 'now' | 'timer'>) {
  const trails: Trail[] = []
  let own: (Name & { readonly trail: Trail }) | undefined
  let renewAt = Number.NEGATIVE_INFINITY
  let saying: Promise<void> | undefined
  const said = Promise.resolve()
  let known: readonly Name[] = []
  let knownUntil = Number.NEGATIVE_INFINITY

  async function say(): Promise<void> {
    const at = clock.now()
    const again = own !== undefined && at < renewAt + LATE_MS ? own : undefined
    const name = again?.name ?? shortName(newId())
    const until = at + RENEWED_MS + LATE_MS
    const Item: Item = {
      ...noteItem(NAMES_KEY, name),
      until: { N: String(until) },
      [TTL]: { N: String(Math.ceil((until + KEPT_MS) / 1000)) },
    }
    await client.read((db, o) => db.send(new client.sdk.PutItemCommand({ TableName: table, Item }), o))
    const trail = again?.trail ?? openTrail(client, table, name, clock)
    if (again === undefined) trails.push(trail)
    own = { name, until, trail }
    renewAt = at + RENEWED_MS
  }

  return {
    /** Before records are written. */
    announce(): Promise<void> {
      if (clock.now() < renewAt) return said
      saying ??= say().finally(() => {
        saying = undefined
      })
      return saying
    },
    /** Where this gateway writes; it has been announced. */
    get trail(): Trail {
      return own!.trail
    },
    /** Those of which there may be anything, up to half a second old; this gateway's own from the first on. */
    async all(fresh = false): Promise<ReadonlyMap<string, Name>> {
      if (fresh || clock.now() >= knownUntil) {
        knownUntil = clock.now() + AGAIN_MS
        const items = await itemsOf(client, table, NAMES_KEY)
        known = items.map((item) => ({ name: idOfItem(item), until: Number(item['until']?.N) }))
      }
      const names = [...known, ...(own === undefined ? [] : [own])].sort((a, b) => (a.name < b.name ? -1 : 1))
      return new Map(names.map((n) => [n.name, n]))
    },
    /** Waits for what is under way. */
    async close(): Promise<void> {
      await Promise.all(trails.map((t) => t.close()))
    },
  }
}
export type Names = ReturnType<typeof openNames>

/** Of a UUIDv7 its moment and as much of its chance: positions name many. */
function shortName(id: string): string {
  const hex = id.replaceAll('-', '')
  return [hex.slice(0, 12), hex.slice(20)].map((part) => Number.parseInt(part, 16).toString(36)).join('')
}
