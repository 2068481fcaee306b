import { StateUnavailable } from '../../core/errors.ts'
import type { StateStore } from '../../core/state.ts'
import { entryOf } from '../decide/row.ts'
import { type Client, Failed, unavailable, unknown } from './client.ts'
import { dueKey, entryOfItem, type Item, keyOf, type Name, nameOfItem, SHARDS } from './items.ts'
import { DUE_INDEX } from './tables.ts'
import { toValue } from './text.ts'

type Claim = StateStore['claim']
type ClaimOptions = Parameters<Claim>[1]
type Claimed = Awaited<ReturnType<Claim>>[number]

export interface ClaimParts {
  readonly client: Client
  readonly table: string
  readonly now: () => number
  readonly stamp: () => string
  readonly number: () => number
}
interface Candidate extends Name {
  readonly due: number
}

/** Pages of the index that one claim reads of a shard, to find scopes behind one that has much due. */
const PAGES = 4
const LEAST_PAGE = 100

/**
 * Takes due entries: oldest first within a scope, turns between scopes. The index says what may be due, some moments late; what is taken
 * is decided by a condition on the entry itself, so of several who come for it one gets it.
 */
export function openClaims({ client, table, now, stamp, number }: ClaimParts): Claim {
  /** The scope served last, by kind: the next round begins behind it. */
  const last = new Map<string, string>()

  return async (kind, opts) => {
    if (opts.limit <= 0) return []
    const order = turns(await candidates(kind, opts), last.get(kind) ?? '', opts)
    const claimed: Claimed[] = []
    const mine = new Map<string, number>()
    const perScope = opts.perScope ?? opts.limit
    let lost: Failed | undefined
    // Where one is gone already, the next in order takes its turn.
    for (let at = 0; at < order.length && claimed.length < opts.limit; ) {
      const some: Candidate[] = []
      const planned = new Map(mine)
      for (; at < order.length && some.length < opts.limit - claimed.length; at++) {
        const one = order[at]!
        const n = planned.get(one.pk) ?? 0
        if (n >= perScope) continue
        planned.set(one.pk, n + 1)
        some.push(one)
      }
      for (const [i, got] of (await Promise.all(some.map((c) => take(c, opts)))).entries()) {
        if (got instanceof Failed) lost = got
        else if (got !== undefined) {
          const { pk } = some[i]!
          claimed.push(got)
          mine.set(pk, (mine.get(pk) ?? 0) + 1)
          last.set(kind, pk)
        }
      }
      if (lost !== undefined) break
    }
    // What may be ours comes back by itself; what is ours for certain is worked on.
    if (lost !== undefined && claimed.length === 0) throw lost.fate === 'ambiguous' ? unknown(lost) : unavailable(lost)
    return claimed
  }

  async function candidates(kind: string, opts: ClaimOptions): Promise<Candidate[]> {
    const at = now()
    const shards = Array.from({ length: SHARDS }, async (_, shard) => {
      const found: Candidate[] = []
      const perScope = new Map<string, number>()
      let from: Item | undefined
      for (let page = 0; page < PAGES; page++) {
        // Behind a full page, only scopes that have not filled their share yet.
        const full = [...perScope].flatMap(([pk, n]) => (n >= (opts.perScope ?? opts.limit) ? [pk] : [])).slice(0, 50)
        const { Items = [], LastEvaluatedKey } = await client.read((db, o) =>
          db.send(
            new client.sdk.QueryCommand({
              TableName: table,
              IndexName: DUE_INDEX,
              KeyConditionExpression: 'dk = :dk AND due <= :now',
              ExpressionAttributeValues: {
                ':dk': { S: dueKey(kind, shard) },
                ':now': { N: String(at) },
                ...Object.fromEntries(full.map((pk, i) => [`:s${i}`, { S: pk }])),
              },
              // A filter on the table's own key is one on the scope: it is no key of the index.
              ...(full.length > 0 && { FilterExpression: `NOT pk IN (${full.map((_, i) => `:s${i}`).join(', ')})` }),
              ...(full.length === 0 && { Limit: Math.max(opts.limit, LEAST_PAGE) }),
              ...(from !== undefined && { ExclusiveStartKey: from }),
            }),
            o,
          ),
        )
        for (const item of Items) {
          const name = nameOfItem(item)
          found.push({ ...name, due: Number(item['due']?.N) })
          perScope.set(name.pk, (perScope.get(name.pk) ?? 0) + 1)
        }
        from = LastEvaluatedKey
        if (from === undefined) break
      }
      return found
    })
    return (await Promise.all(shards)).flat()
  }

  async function take({ pk, sk }: Candidate, opts: ClaimOptions): Promise<Claimed | Failed | undefined> {
    const at = now()
    const claim = { owner: opts.owner, number: number(), until: at + opts.leaseMs }
    const mark = stamp()
    const Key = keyOf({ pk, sk })
    const update = new client.sdk.UpdateItemCommand({
      TableName: table,
      Key,
      ConditionExpression: 'due <= :now',
      UpdateExpression: 'SET co = :owner, cn = :number, cu = :until, due = :until, r = :r, #at = #at + :one REMOVE wk',
      ExpressionAttributeNames: { '#at': 'at' },
      ExpressionAttributeValues: {
        ':now': { N: String(at) },
        ':owner': toValue(claim.owner),
        ':number': { N: String(claim.number) },
        ':until': { N: String(claim.until) },
        ':r': { S: mark },
        ':one': { N: '1' },
      },
      ReturnValues: 'ALL_NEW',
    })
    const wait = client.patience()
    for (;;) {
      try {
        const { Attributes } = await client.once((db, o) => db.send(update, o))
        return claimedOf(Attributes!, claim, at)
      } catch (e) {
        if (!(e instanceof Failed)) throw e
        // Somebody else has it, or is changing it: the next round will see.
        if (e.fate === 'condition' || e.fate === 'conflict') return undefined
        if (e.fate === 'ambiguous') return tell(e, Key, mark, claim, at)
        if (e.fate !== 'throttled' || !(await wait.again())) return e
      }
    }
  }
  /** After a lost answer one read tells: the entry has our stamp, or it is not ours. Where it cannot be read either, nobody knows. */
  async function tell(lost: Failed, Key: Item, mark: string, claim: Claimed['claim'], at: number) {
    try {
      const { Item } = await client.read((db, o) =>
        db.send(new client.sdk.GetItemCommand({ TableName: table, Key, ConsistentRead: true }), o),
      )
      return Item?.['r']?.S === mark ? claimedOf(Item, claim, at) : undefined
    } catch (e) {
      if (e instanceof StateUnavailable) return lost
      throw e
    }
  }
}

function claimedOf(item: Item, claim: Claimed['claim'], at: number): Claimed {
  const { kind, scope, id, row } = entryOfItem(item)
  return { ...entryOf(kind, scope, id, row, at), claim }
}

/** One of each scope in turn, beginning behind the scope served last; within a scope the oldest first. */
function turns(found: readonly Candidate[], last: string, opts: ClaimOptions): Candidate[] {
  const scopes = new Map<string, Candidate[]>()
  for (const c of found.toSorted((a, b) => a.due - b.due || (a.sk < b.sk ? -1 : 1))) {
    const mine = scopes.get(c.pk)
    if (mine === undefined) scopes.set(c.pk, [c])
    else mine.push(c)
  }
  const pks = [...scopes.keys()].sort()
  const from = pks.findIndex((pk) => pk > last)
  const order = from <= 0 ? pks : [...pks.slice(from), ...pks.slice(0, from)]
  const all: Candidate[] = []
  for (let round = 0; all.length < found.length; round++)
    for (const pk of order) {
      const one = scopes.get(pk)![round]
      if (one !== undefined) all.push(one)
    }
  return opts.limit > 0 ? all : []
}
