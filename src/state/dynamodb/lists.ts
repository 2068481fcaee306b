import { StateUnavailable } from '../../core/errors.ts'
import {
  type Depth,
  type Entry,
  type Key,
  PAGE_CHARS,
  type Page,
  type Peeked,
  type StateStore,
} from '../../core/state.ts'
import { BUFFER } from '../decide/ops/buffers.ts'
import { entryOf } from '../decide/row.ts'
import { bufferShape, windowShape } from '../decide/shapes.ts'
import { prune } from '../decide/window.ts'
import { scopeParts, scopeText } from '../scope.ts'
import type { Client } from './client.ts'
import {
  cellName,
  dueKey,
  entryName,
  entryOfItem,
  type Item,
  idOfItem,
  type Name,
  nameText,
  rowName,
  rowsOfItems,
  SHARDS,
  tagName,
} from './items.ts'
import { getItems, itemsOf } from './reading.ts'
import { KINDS_KEY, type Registry, scopesKey } from './registry.ts'
import { DUE_INDEX } from './tables.ts'
import { fromValue, sortedId, sortKey } from './text.ts'

export interface ListParts {
  readonly client: Client
  readonly table: string
  readonly now: () => number
  readonly registry: Registry
}
type Reads = Pick<StateStore, 'get' | 'list' | 'scopes' | 'peek' | 'nextDue' | 'depths'>

/** Pages of the index that are counted of a shard; what is beyond makes no difference to whoever watches. */
const COUNTED_PAGES = 20

/** Everything that is read and not decided on. Consistent, but for what is due, which the index says some moments late. */
export function openReads({ client, table, now, registry }: ListParts): Reads {
  const live = (item: Item): Entry | undefined => {
    const { kind, scope, id, row } = entryOfItem(item)
    const at = now()
    return row.expiresAt !== undefined && row.expiresAt <= at ? undefined : entryOf(kind, scope, id, row, at)
  }
  const query = (input: object) =>
    client.read((db, o) => db.send(new client.sdk.QueryCommand({ TableName: table, ...input }), o))

  async function get(keys: readonly Key[]): Promise<(Entry | undefined)[]> {
    const names = keys.map((k) => entryName(k.kind, scopeText(k.scope), k.id))
    const found = await getItems(client, table, distinct(names))
    return names.map((name) => {
      const item = found.get(nameText(name))
      return item && live(item)
    })
  }

  async function list(kind: string, scope: Parameters<Reads['list']>[1], opts: Parameters<Reads['list']>[2]) {
    const text = scopeText(scope)
    const { pk } = opts.tag === undefined ? entryName(kind, text, '') : tagName(kind, text, opts.tag, '')
    const entries: Entry[] = []
    let chars = 0
    let from: Item | undefined
    do {
      const seen = entries.length
      const page = await query({
        ConsistentRead: true,
        KeyConditionExpression:
          opts.after === undefined ? 'pk = :pk' : `pk = :pk AND sk ${opts.descending ? '<' : '>'} :after`,
        ExpressionAttributeValues: {
          ':pk': { S: pk },
          ...(opts.after !== undefined && { ':after': { S: sortKey(opts.after) } }),
        },
        ScanIndexForward: !opts.descending,
        Limit: opts.limit - entries.length + 1,
        ...(from !== undefined && { ExclusiveStartKey: from }),
      })
      const items = page.Items ?? []
      if (opts.tag === undefined) entries.push(...items.flatMap((i) => live(i) ?? []))
      else {
        const { tag } = opts
        const found = await get(items.map((i) => ({ kind, scope, id: idOfItem(i) })))
        // It may have lost the tag since.
        entries.push(...found.filter((e) => e?.tags.includes(tag)).map((e) => e!))
      }
      from = page.LastEvaluatedKey
      for (let at = seen; at < entries.length; at++) {
        chars += entries[at]!.value.length
        const more = at + 1 < entries.length || from !== undefined
        if (chars >= PAGE_CHARS && more) return pageOf(entries.slice(0, at + 1), opts, true)
      }
    } while (from !== undefined && entries.length <= opts.limit)
    return pageOf(entries, opts)
  }

  const peeks: {
    readonly [W in Parameters<Reads['peek']>[0]]: (scope: string, id: string) => Promise<Peeked | undefined>
  } = {
    async count(scope, id) {
      const item = await one(cellName('counter', scope, id))
      const expiresAt = Number(item?.['ex']?.N)
      return item && expiresAt > now() ? { n: Number(item['n']?.N), expiresAt } : undefined
    },
    async admit(scope, id) {
      const item = await one(cellName('window', scope, id))
      if (item === undefined) return undefined
      const w = windowShape.decode(fromValue(item['s']))
      prune(w, now())
      return { n: w.total }
    },
    async buffer(scope, id) {
      const names = [cellName('buffer', scope, id), entryName(BUFFER, scope, id)]
      const wait = client.patience()
      for (;;) {
        const [found, items] = await Promise.all([
          getItems(client, table, names),
          itemsOf(client, table, rowName(scope, id, '').pk),
        ])
        const head = found.get(nameText(names[0]!))
        const b = head && bufferShape.decode(fromValue(head['s']))
        if (b === undefined || b.n === 0) return undefined
        const rows = rowsOfItems(items, head?.['g']?.S)
        // Head and items are read beside each other: as many as the head says, or both are read again.
        if (rows.length !== b.n) {
          if (await wait.again()) continue
          throw new StateUnavailable('others change the buffer all the time')
        }
        const entry = found.get(nameText(names[1]!))
        return {
          n: b.n,
          bytes: b.bytes,
          ...(b.dueAt !== undefined && { dueAt: b.dueAt }),
          value: fromValue(entry?.['val']),
          items: rows,
        }
      }
    },
  }
  const one = async (name: Name): Promise<Item | undefined> =>
    (await getItems(client, table, [name])).get(nameText(name))

  const due = (kind: string, shard: number, more: object) =>
    query({
      IndexName: DUE_INDEX,
      KeyConditionExpression: 'dk = :dk',
      ExpressionAttributeValues: { ':dk': { S: dueKey(kind, shard) } },
      ...more,
    })
  const each = <T>(of: (shard: number) => Promise<T>) => Promise.all(Array.from({ length: SHARDS }, (_, i) => of(i)))
  async function nextDue(kind: string): Promise<number | undefined> {
    const firsts = await each(async (shard) => (await due(kind, shard, { Limit: 1 })).Items?.[0]?.['due']?.N)
    const times = firsts.flatMap((n) => (n === undefined ? [] : [Number(n)]))
    return times.length === 0 ? undefined : Math.min(...times)
  }
  async function depth(kind: string, at: number): Promise<Depth | undefined> {
    let [waiting, come, oldest] = [0, 0, Number.POSITIVE_INFINITY]
    await each(async (shard) => {
      let from: Item | undefined
      for (let page = 0; page < COUNTED_PAGES; page++) {
        const more = { ProjectionExpression: 'due', ...(from !== undefined && { ExclusiveStartKey: from }) }
        const { Items = [], LastEvaluatedKey } = await due(kind, shard, more)
        for (const item of Items) {
          const dueAt = Number(item['due']?.N)
          waiting++
          if (dueAt <= at) come++
          oldest = Math.min(oldest, dueAt)
        }
        from = LastEvaluatedKey
        if (from === undefined) break
      }
    })
    return waiting === 0 ? undefined : { kind, waiting, due: come, oldestDueAt: oldest }
  }

  return {
    get,
    list,
    async scopes(kind, { limit, after }) {
      const found: ReturnType<typeof scopeParts>[] = []
      for (let at = after && scopeText(after), more = true; more && found.length < limit; ) {
        const page = await registry.page(scopesKey(kind), at, limit)
        const there = await Promise.all(page.map((scope) => hasAny(kind, scope)))
        for (const [i, scope] of page.entries()) if (there[i] && found.length < limit) found.push(scopeParts(scope))
        at = page.at(-1)
        more = page.length === limit
      }
      return found
    },
    peek: (what, scope, ids) => Promise.all(ids.map((id) => peeks[what](scopeText(scope), id))),
    nextDue,
    async depths() {
      const at = now()
      const kinds: string[] = []
      for (let after: string | undefined, more = true; more; ) {
        const page = await registry.page(KINDS_KEY, after, 100)
        kinds.push(...page)
        after = page.at(-1)
        more = page.length === 100
      }
      const all = await Promise.all(kinds.map((kind) => depth(kind, at)))
      return all.flatMap((d) => d ?? [])
    },
  }

  async function hasAny(kind: string, scope: string): Promise<boolean> {
    const { Count } = await query({
      ConsistentRead: true,
      KeyConditionExpression: 'pk = :pk',
      ExpressionAttributeValues: { ':pk': { S: entryName(kind, scope, '').pk } },
      Select: 'COUNT',
      Limit: 1,
    })
    return (Count ?? 0) > 0
  }
}

const distinct = (names: readonly Name[]): Name[] => [...new Map(names.map((n) => [nameText(n), n])).values()]

/** `more`: there are others than those given. */
function pageOf(
  entries: readonly Entry[],
  { limit, descending }: { limit: number; descending?: boolean },
  more = entries.length > limit,
): Page {
  const page = entries.slice(0, limit)
  const next = more ? page.at(-1)?.key.id : undefined
  // Long ids that begin alike lie in the order of their hashes: within a page at least they are in their own.
  if (page.some((e) => sortedId(sortKey(e.key.id)) === undefined))
    page.sort((a, b) => (a.key.id < b.key.id ? -1 : 1) * (descending ? -1 : 1))
  return { entries: page, ...(next !== undefined && { next }) }
}
