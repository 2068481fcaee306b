import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Scope } from '../../../core/action.ts'
import type { AuditRow, AuditScan, AuditScanned } from '../../../core/audit.ts'
import { joinParts } from '../../../core/ids.ts'
import { PAGE_CHARS } from '../../../core/state.ts'
import { scopeParts, scopeText } from '../../scope.ts'
import type { Client } from '../client.ts'
import { type Item, type Name, nameOfItem, nameText } from '../items.ts'
import { getItems } from '../reading.ts'
import type { Registry } from '../registry.ts'
import { ACTION_INDEX, CHAIN_INDEX } from '../tables.ts'
import { partitionKey, sortKey, toValue } from '../text.ts'

/** Partitions of the audit table, beside those of scopes that have records. */
export const rowsKey = (scope: Scope): string => partitionKey('entries', ...scope)
export const rowNameOf = (row: Pick<AuditRow, 'scope' | 'id'>): Name => ({
  pk: rowsKey(row.scope),
  sk: sortKey(row.id),
})
export const AUDIT_SCOPES = partitionKey('scopes', 'audit')

/** Records an index names that are then read at once: each may have 400 KB. */
const BY_INDEX = 100

/** Columns a scan may ask for, by the attribute that has them. */
const COLUMNS = {
  provider: ['pv', 'rp'],
  actionType: ['ty'],
  outcome: ['oc'],
  rule: ['rl'],
  kind: ['kd'],
  caller: ['cl'],
  groupId: ['gr'],
  chainId: ['ch'],
  actionId: ['ac'],
} as const satisfies Record<keyof AuditScan['match'], readonly string[]>

/** A record and where it is found: by its scope and time, its action, its chain. `place`: where in the trail. */
export function auditItem(row: AuditRow, place: Item): Item {
  const { pk, sk } = rowNameOf(row)
  const columns: readonly [string, string | undefined][] = [
    ['pv', row.provider],
    ['rp', row.requestedProvider],
    ['ty', row.actionType],
    ['oc', row.outcome],
    ['rl', row.rule],
    ['kd', row.kind],
    ['cl', row.caller],
    ['gr', row.groupId],
    ['ch', row.chainId],
    ['ac', row.actionId],
  ]
  return {
    pk: { S: pk },
    sk: { S: sk },
    json: { S: row.json },
    ak: { S: actionKey(row.scope, row.actionId) },
    ...(row.chainId !== undefined && { ck: { S: chainKey(row.scope, row.chainId) } }),
    ...Object.fromEntries(columns.flatMap(([name, text]) => (text == null ? [] : [[name, toValue(text)]]))),
    ...place,
  }
}
const actionKey = (scope: Scope, id: string): string => partitionKey('counter', ...scope, id)
const chainKey = (scope: Scope, id: string): string => partitionKey('window', ...scope, id)

export interface AuditReadParts {
  readonly client: Client
  readonly table: string
  readonly registry: Registry
}
interface Found {
  readonly id: string
  readonly json: string
}
/** Ids of records are UUIDs, so a sort key says them whole. */
const foundOf = (item: Item): Found => ({ id: (item['sk']?.S ?? '').slice(1), json: item['json']?.S ?? '' })

export function openAuditReads({ client, table, registry }: AuditReadParts) {
  const query = (input: object) =>
    client.read((db, o) => db.send(new client.sdk.QueryCommand({ TableName: table, ...input }), o))

  /** Sort keys in [from, below): DynamoDB takes one condition on them, of which `BETWEEN` has both ends. */
  function range(s: AuditScan): { text: string; values: Record<string, AttributeValue> } {
    // `=` is before every id, `>` after.
    const from = { S: sortKey(s.from ?? '') }
    if (s.below === undefined)
      return { text: ' AND sk BETWEEN :from AND :below', values: { ':from': from, ':below': { S: '>' } } }
    const below = sortKey(s.below)
    if (below <= from.S) return { text: ' AND sk < :none', values: { ':none': { S: ' ' } } }
    return { text: ' AND sk BETWEEN :from AND :below', values: { ':from': from, ':below': { S: below } } }
  }
  const excluded = (s: AuditScan, f: Found): boolean => f.id === s.below

  async function scan(s: AuditScan): Promise<AuditScanned> {
    const by = s.match.actionId !== undefined ? 'actionId' : s.match.chainId !== undefined ? 'chainId' : undefined
    const index =
      by === 'actionId'
        ? { IndexName: ACTION_INDEX, key: 'ak', value: actionKey(s.scope, s.match.actionId!) }
        : by === 'chainId'
          ? { IndexName: CHAIN_INDEX, key: 'ck', value: chainKey(s.scope, s.match.chainId!) }
          : undefined
    const rows: Found[] = []
    let [looked, chars] = [0, 0]
    let from: Item | undefined
    do {
      const { text, values } = range(s)
      const filter = index ? undefined : filterOf(s.match)
      const page = await query({
        ...(index ? { IndexName: index.IndexName } : { ConsistentRead: true }),
        KeyConditionExpression: `${index?.key ?? 'pk'} = :key${text}`,
        ExpressionAttributeValues: { ':key': { S: index?.value ?? rowsKey(s.scope) }, ...values, ...filter?.values },
        ...(filter && filter.text !== '' && { FilterExpression: filter.text }),
        ScanIndexForward: false,
        Limit: Math.min(s.looks - looked, index ? BY_INDEX : filter?.text === '' ? s.limit + 2 - rows.length : s.looks),
        ...(from !== undefined && { ExclusiveStartKey: from }),
      })
      looked += page.ScannedCount ?? 0
      const items = page.Items ?? []
      const found = index ? (await whole(items)).filter((i) => matches(i, s.match)) : items
      for (const item of found) {
        const row = foundOf(item)
        if (excluded(s, row)) continue
        if (chars >= PAGE_CHARS) return { rows, below: rows.at(-1)!.id }
        rows.push(row)
        chars += row.json.length
      }
      from = page.LastEvaluatedKey
    } while (from !== undefined && rows.length <= s.limit && looked < s.looks)
    if (rows.length > s.limit) {
      const kept = rows.slice(0, s.limit)
      return { rows: kept, below: kept.at(-1)!.id }
    }
    return { rows, ...(from !== undefined && { below: foundOf(from).id }) }
  }
  /** An index says where they are; what they say is in the table. */
  async function whole(keys: readonly Item[]): Promise<Item[]> {
    const names = keys.map(nameOfItem)
    const found = await getItems(client, table, names)
    return names.map((n) => found.get(nameText(n))).filter((i) => i !== undefined)
  }

  return {
    query,
    scan,
    async scopes(after: Scope | undefined, limit: number): Promise<Scope[]> {
      const found: Scope[] = []
      for (let at = after && scopeText(after), more = true; more && found.length < limit; ) {
        const page = await registry.page(AUDIT_SCOPES, at, limit)
        const there = await Promise.all(page.map((text) => hasAny(scopeParts(text))))
        for (const [i, text] of page.entries()) if (there[i] && found.length < limit) found.push(scopeParts(text))
        at = page.at(-1)
        more = page.length === limit
      }
      return found
    },
  }
  async function hasAny(scope: Scope): Promise<boolean> {
    const { Count } = await query({
      ConsistentRead: true,
      KeyConditionExpression: 'pk = :pk',
      ExpressionAttributeValues: { ':pk': { S: rowsKey(scope) } },
      Select: 'COUNT',
      Limit: 1,
    })
    return (Count ?? 0) > 0
  }
}

const asked = (match: AuditScan['match']) => Object.entries(match) as (readonly [keyof typeof COLUMNS, string])[]

function filterOf(match: AuditScan['match']): { text: string; values: Record<string, AttributeValue> } {
  const values: Record<string, AttributeValue> = {}
  const text = asked(match).map(([column, value], i) => {
    values[`:m${i}`] = toValue(value)
    return `(${COLUMNS[column].map((name) => `${name} = :m${i}`).join(' OR ')})`
  })
  return { text: text.join(' AND '), values }
}
const matches = (item: Item, match: AuditScan['match']): boolean =>
  asked(match).every(([column, value]) => {
    const wanted = joinParts(Object.entries(toValue(value)).flat().map(String))
    return COLUMNS[column].some(
      (name) => item[name] && joinParts(Object.entries(item[name]).flat().map(String)) === wanted,
    )
  })
