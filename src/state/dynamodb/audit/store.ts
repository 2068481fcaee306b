import type { TransactWriteItem } from '@aws-sdk/client-dynamodb'
import type { AuditOld, AuditPurged, AuditRecord, AuditRow, AuditRows } from '../../../core/audit.ts'
import type { Clock } from '../../../core/clock.ts'
import { StateTooLarge, StateUnavailable, StateUnknown } from '../../../core/errors.ts'
import { scopeText } from '../../scope.ts'
import type { Client } from '../client.ts'
import { mustFit, rowText } from '../deciding.ts'
import type { Carried } from '../engine.ts'
import type { Item } from '../items.ts'
import { openRegistry } from '../registry.ts'
import { send } from '../sending.ts'
import { sortKey } from '../text.ts'
import { openFollow } from './follow.ts'
import { type Name, openNames } from './names.ts'
import { isAfter } from './positions.ts'
import { forgetPurged, isFollowed, notePurged, placeOfRow, readPurged } from './purged.ts'
import { AUDIT_SCOPES, auditItem, openAuditReads, rowNameOf, rowsKey } from './rows.ts'

export interface AuditParts {
  readonly client: Client
  readonly table: string
  readonly clock: Clock
  readonly stamp: () => string
  /** For names. */
  readonly newId: () => string
}
/** Rows of one transaction, beside their place in the trail. */
const ROWS_AT_ONCE = 90
const BYTES_AT_ONCE = 3_000_000
/** Deleted in one request. */
const DELETED_AT_ONCE = 25

const completedAt = (item: Item): string => (JSON.parse(item['json']?.S ?? '{}') as AuditRecord).completed_at

/** The audit table: records by scope and time, with an index by action and one by chain, and the trail of their commits. */
export function openAudit({ client, table, clock, stamp, newId }: AuditParts) {
  const registry = openRegistry(client, table)
  const reads = openAuditReads({ client, table, registry })
  const names = openNames(client, table, newId, clock)
  const follow = openFollow({ client, table, names, now: clock.now, purged: () => readPurged(client, table) })

  /** Before the rows: their scopes, and that this node has a trail. */
  async function announce(rows: readonly AuditRow[]): Promise<void> {
    const scopes = new Set(rows.map((r) => scopeText(r.scope)))
    await Promise.all([
      ...(rows.length > 0 ? [names.announce()] : []),
      ...[...scopes].map((scope) => registry.note(AUDIT_SCOPES, scope)),
    ])
  }
  function carry(rows: readonly AuditRow[]): Carried {
    const number = names.trail.number()
    const items = rows.map((row, i): TransactWriteItem => {
      const place: Item = { tn: { S: number.node }, ts: { N: String(number.seq) }, ti: { N: String(i + 1) } }
      return { Put: { TableName: table, Item: auditItem(row, place), ConditionExpression: 'attribute_not_exists(pk)' } }
    })
    const mark = number.item(rows.map((row) => [rowNameOf(row).pk, rowNameOf(row).sk]))
    return { items: [...items, mark], ended: number.ended }
  }

  async function appendSome(rows: readonly AuditRow[]): Promise<void> {
    const wait = client.patience()
    for (let left = rows; left.length > 0; ) {
      const carried = carry(left)
      const sent = await send(client, [...carried.items], stamp(), wait)
      carried.ended(sent.end === 'unknown' ? undefined : sent.end === 'done')
      if (sent.end === 'done') return
      if (sent.end === 'unknown') throw new StateUnknown(sent.why)
      if (sent.end === 'refused' && sent.wrong) throw new StateTooLarge(sent.why)
      if (sent.end !== 'stale') throw new StateUnavailable(sent.why)
      // Rows that are there stay as they are.
      const there = new Set(sent.failed)
      left = left.filter((_, i) => !there.has(i))
      if (there.size === 0 && !(await wait.again())) throw new StateUnavailable('others are at it too')
    }
  }
  async function append(rows: readonly AuditRow[]): Promise<void> {
    const first = new Map<string, AuditRow>()
    for (const row of rows) mustFit(row)
    for (const row of rows) if (!first.has(rowText(row))) first.set(rowText(row), row)
    await announce([...first.values()])
    let [some, bytes]: [AuditRow[], number] = [[], 0]
    for (const row of first.values()) {
      if (some.length === ROWS_AT_ONCE || (some.length > 0 && bytes + 3 * row.json.length > BYTES_AT_ONCE)) {
        await appendSome(some)
        ;[some, bytes] = [[], 0]
      }
      some.push(row)
      bytes += 3 * row.json.length
    }
    await appendSome(some)
  }

  async function purge(scope: AuditRow['scope'], old: AuditOld, looks: number): Promise<AuditPurged> {
    const pk = { S: rowsKey(scope) }
    let at = old.after === undefined ? undefined : { pk, sk: { S: sortKey(old.after) } }
    let [gone, looked] = [0, 0]
    let there: ReadonlyMap<string, Name> | undefined
    const followed = (name: string): boolean => isFollowed(there?.get(name), clock.now())
    do {
      const page = await reads.query({
        ConsistentRead: true,
        KeyConditionExpression: 'pk = :pk AND sk < :below',
        ExpressionAttributeValues: { ':pk': pk, ':below': { S: sortKey(old.below) } },
        ProjectionExpression: 'pk, sk, tn, ts, ti, json',
        Limit: Math.min(DELETED_AT_ONCE, looks - looked),
        ...(at && { ExclusiveStartKey: at }),
      })
      at = page.LastEvaluatedKey as typeof at
      looked += page.Items?.length ?? 0
      const Items = (page.Items ?? []).filter((item) => completedAt(item) < old.completedBefore)
      if (Items.length === 0) continue
      there ??= await names.all(true)
      const upTo = new Map<string, readonly [number, number]>()
      for (const item of Items) {
        const [writer, place] = placeOfRow(item) ?? []
        if (writer === undefined || place === undefined || !followed(writer)) continue
        if (isAfter(place, upTo.get(writer))) upTo.set(writer, place)
      }
      await notePurged(client, table, scopeText(scope), upTo)
      const wait = client.patience()
      for (
        let left = Items.map(({ pk, sk }) => ({ DeleteRequest: { Key: { pk: pk!, sk: sk! } } }));
        left.length > 0;
      ) {
        const { UnprocessedItems } = await client.read((db, o) =>
          db.send(new client.sdk.BatchWriteItemCommand({ RequestItems: { [table]: left } }), o),
        )
        left = (UnprocessedItems?.[table] ?? []) as typeof left
        if (left.length > 0 && !(await wait.again())) throw new StateUnavailable('DynamoDB has too much to do')
      }
      gone += Items.length
    } while (at && looked < looks)
    if (gone > 0) await forgetPurged(client, table, scopeText(scope), (name) => !followed(name))
    // Ids of records are UUIDs, so a sort key says them whole.
    return { gone, ...(at && { after: at.sk.S.slice(1) }) }
  }

  const rows: Omit<AuditRows, 'close'> = { append, scan: reads.scan, purge, scopes: reads.scopes, follow }
  return { rows, announce, carry, close: names.close }
}
