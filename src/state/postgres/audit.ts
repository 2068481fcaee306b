import type { AuditFollow, AuditFollowed, AuditRows, AuditScan } from '../../core/audit.ts'
import { PAGE_CHARS } from '../../core/state.ts'
import { scopeParts, scopeText } from '../scope.ts'
import type { Ask } from './connections.ts'
import { seekScopes } from './reads.ts'
import { fromPg, toPg, whole } from './text.ts'

/** What a scan may ask for equality of; the first two have an index. */
const COLUMNS: { readonly [K in keyof AuditScan['match']]-?: string } = {
  actionId: 'action_id',
  chainId: 'chain_id',
  provider: 'provider',
  actionType: 'action_type',
  outcome: 'outcome',
  rule: 'rule',
  kind: 'kind',
  caller: 'caller',
  groupId: 'group_id',
}
/** Near the end of a record, and the last of the name there. Its text may hold what PostgreSQL's JSON cannot. */
const COMPLETED_AT = `substring(right(json, 2000) FROM '.*"completed_at":"([^"]*)"')`
/** Rows looked at, to be removed, in one transaction. */
const BITE = 500

/** The audit's rows, which commits write. `append` goes the way of commits. */
export function auditRowsOver(
  read: Ask,
  write: Ask,
  s: string,
  began: string,
  more: Pick<AuditRows, 'append' | 'close'>,
): AuditRows {
  return {
    ...more,
    follow: (follow) => followOver(read, s, began, follow),
    async scan(q) {
      const values: unknown[] = [toPg(scopeText(q.scope)), q.looks, q.limit + 1]
      const value = (v: unknown): string => `$${values.push(v)}`
      const range = ['scope = $1']
      const hit: string[] = []
      if (q.from !== undefined) range.push(`id >= ${value(q.from)}`)
      if (q.below !== undefined) range.push(`id < ${value(q.below)}`)
      for (const [name, wanted] of Object.entries(q.match) as [keyof typeof COLUMNS, string][]) {
        const is = `= ${value(toPg(wanted))}`
        const column = COLUMNS[name]
        if (name === 'actionId' || name === 'chainId') range.push(`${column} ${is}`)
        else hit.push(name === 'provider' ? `(provider ${is} OR requested_provider ${is})` : `${column} ${is}`)
      }
      const [seen] = await read<{
        looked: number
        last: string | null
        hits: number
        found: { id: string; json: string }[] | null
      }>(
        `WITH seen AS MATERIALIZED (SELECT id, ${hit.length === 0 ? 'true' : hit.join(' AND ')} AS hit FROM ${s}.audit
            WHERE ${range.join(' AND ')} ORDER BY id DESC LIMIT $2),
          found AS (SELECT a.id, a.json FROM (SELECT id FROM seen WHERE hit ORDER BY id DESC LIMIT $3) f
            JOIN ${s}.audit a ON a.scope = $1 AND a.id = f.id)
        SELECT (SELECT count(*) FROM seen) AS looked, (SELECT min(id) FROM seen) AS last, (SELECT count(*) FROM found) AS hits,
          (SELECT json_agg(json_build_object('id', id, 'json', json) ORDER BY id DESC) FROM (SELECT id, json,
            sum(octet_length(json)) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) - octet_length(json) AS before FROM found) f
            WHERE before < ${PAGE_CHARS}) AS found`,
        values,
      )
      const found = seen?.found ?? []
      const rows = found.slice(0, q.limit)
      if ((seen?.hits ?? 0) > rows.length) return { rows, below: rows.at(-1)!.id }
      return { rows, ...(seen?.last != null && seen.looked >= q.looks && { below: seen.last }) }
    },
    async purge(scope, { after, below, completedBefore }, looks) {
      const bite = Math.min(BITE, looks)
      const [done] = await write<{ gone: number; looked: number; last: string | null }>(
        `WITH seen AS MATERIALIZED (SELECT id, coalesce(${COMPLETED_AT}, '') < $5 COLLATE "C" AS old FROM ${s}.audit
              WHERE scope = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4),
            old AS MATERIALIZED (SELECT id FROM ${s}.audit WHERE scope = $1 AND id IN (SELECT id FROM seen WHERE old) ORDER BY id
              FOR UPDATE SKIP LOCKED),
            removed AS (DELETE FROM ${s}.audit WHERE scope = $1 AND id IN (SELECT id FROM old) RETURNING xid, seq),
            noted AS (INSERT INTO ${s}.audit_purged AS p (scope, xid, seq)
              SELECT $1, xid, seq FROM removed ORDER BY xid DESC, seq DESC LIMIT 1
              ON CONFLICT (scope) DO UPDATE SET xid = excluded.xid, seq = excluded.seq
                WHERE (excluded.xid, excluded.seq) > (p.xid, p.seq))
            SELECT (SELECT count(*) FROM removed) AS gone, (SELECT count(*) FROM seen) AS looked, (SELECT max(id) FROM seen) AS last`,
        [toPg(scopeText(scope)), after ?? '', below, bite, completedBefore],
      )
      const { gone = 0, looked = 0, last = null } = done ?? {}
      return { gone, ...(last !== null && looked >= bite && { after: last }) }
    },
    async scopes(after, limit) {
      const rows = await read<{ readonly scope: string }>(seekScopes(`${s}.audit`), [
        after === undefined ? '' : toPg(scopeText(after)),
        limit,
      ])
      return rows.map((r) => scopeParts(fromPg(r.scope)))
    },
  }
}

interface At {
  readonly xid: string
  readonly seq: number
}
interface Followed {
  readonly rows?: readonly (At & { readonly json: string | null })[]
  readonly purged?: At | null
  readonly end?: At
}
/** A position is a transaction's number, a row's, and whose: in another database it would be the position of something else. */
async function followOver(read: Ask, s: string, began: string, follow: AuditFollow): Promise<AuditFollowed> {
  const { after, limit, maxChars, scope } = follow
  const position = ({ xid, seq }: At): string => `${began}-${xid}-${seq}`
  const [, whose, xid, seq] = /^([0-9a-f]{32})-(\d{1,18})-(\d{1,15})$/.exec(after ?? '') ?? []
  const [row] = await read<{ page: Followed }>(
    `SELECT ${s}.follow_audit($1::xid8, $2::bigint, $3::bigint, $4::bigint, $5) AS page`,
    [...(whose === began ? [xid, seq] : [null, null]), limit, whole(maxChars), scope ? toPg(scopeText(scope)) : null],
  )
  const { rows, purged, end } = row!.page
  if (rows === undefined)
    return { rows: [], next: position(end!), more: false, ...(after !== undefined && { missed: { why: 'unknown' } }) }
  const shown = rows.flatMap((r) => (r.json === null ? [] : [{ position: position(r), json: r.json }]))
  return {
    rows: shown,
    next: shown.at(-1)?.position ?? after!,
    more: shown.length < rows.length,
    ...(purged && { missed: { why: 'purged', upTo: position(purged) } }),
  }
}
