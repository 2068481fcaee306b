import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { Scope } from '../../core/action.ts'
import type { AuditScan, AuditScanned } from '../../core/audit.ts'
import { PAGE_CHARS } from '../../core/state.ts'
import { scopeParts } from '../scope.ts'
import { hashOf } from './audit-parts.ts'
import { fromSql, toSql } from './text.ts'

/** What a scan may ask for equality of; `provider` matches where it went or what was asked for. */
const COLUMNS = {
  provider: "(json ->> '$.provider' = ? OR json ->> '$.requested_provider' = ?)",
  actionType: "json ->> '$.action_type' = ?",
  outcome: "json ->> '$.outcome' = ?",
  rule: "json ->> '$.rule' = ?",
  kind: "json ->> '$.kind' = ?",
  caller: "json ->> '$.caller' = ?",
  groupId: "json ->> '$.group_id' = ?",
  chainId: 'chain_id = ?',
} as const
type Column = keyof typeof COLUMNS | 'actionId'
const entriesOf = (match: ScanCall['match']) => Object.entries(match) as [Column, string][]
export type ScanCall = Omit<AuditScan, 'scope'> & { readonly scope: string }

export class AuditReads {
  readonly #sql: (sql: string) => StatementSync
  constructor(sql: (sql: string) => StatementSync) {
    this.#sql = sql
  }

  page(s: ScanCall): AuditScanned {
    const { sql, args } = looked(s)
    const scanned: string[] = []
    const scannedArgs: SQLInputValue[] = []
    for (const [column, value] of entriesOf(s.match)) {
      if (column === 'actionId' || (column === 'chainId' && s.match.actionId === undefined)) continue
      scanned.push(COLUMNS[column])
      scannedArgs.push(toSql(value))
      if (column === 'provider') scannedArgs.push(toSql(value))
    }
    const matching = scanned.length > 0 ? `WHERE ${scanned.join(' AND ')}` : ''
    const found: { readonly id: string; readonly json: string }[] = []
    let chars = 0
    // In the order of the inner statement: its limit makes it one of its own, which the other is fed by.
    for (const r of this.#sql(`SELECT audit.id, json FROM (${sql} LIMIT ?) CROSS JOIN audit USING (seq)
      ${matching} LIMIT ?`).iterate(...args, s.looks, ...scannedArgs, s.limit + 1)) {
      // Leaving the loop ends the statement.
      if (found.length === s.limit || chars >= PAGE_CHARS) return { rows: found, below: found.at(-1)!.id }
      const json = fromSql(r['json'])
      found.push({ id: fromSql(r['id']), json })
      chars += json.length
    }
    // All that there are, and fewer than may be looked at.
    if (scanned.length === 0 && found.length < s.looks) return { rows: found }
    const last = this.#sql(`SELECT id FROM (${sql} LIMIT 1 OFFSET ?)`).get(...args, s.looks - 1)
    return { rows: found, ...(last === undefined ? {} : { below: fromSql(last.id) }) }
  }

  /** Scopes that have records, after the given one. */
  scopes(after: string | undefined, limit: number): Scope[] {
    const next = this.#sql('SELECT scope FROM audit WHERE scope > ? ORDER BY scope LIMIT 1')
    return seekScopes((at) => next.get(at), after, limit)
  }
}

/** A statement for number and id of the rows that a scan looks at, by the index that is for it; newest first. */
function looked(s: ScanCall): { readonly sql: string; readonly args: readonly SQLInputValue[] } {
  const range = ['a.scope = ?']
  const args: SQLInputValue[] = [toSql(s.scope)]
  const bound = (sql: string, id: string | undefined): void => {
    if (id === undefined) return
    range.push(sql)
    args.push(id)
  }
  bound('a.id >= ?', s.from)
  bound('a.id < ?', s.below)
  const { actionId, chainId } = s.match
  if (actionId !== undefined) return ofAction(s, actionId, range, args)
  // Named, because without statistics SQLite would rather walk the time range.
  if (chainId !== undefined) range.push('a.chain_id = ?')
  const index = chainId === undefined ? '' : 'INDEXED BY audit_chain'
  return {
    sql: `SELECT a.seq, a.id FROM audit a ${index} WHERE ${range.join(' AND ')} ORDER BY a.id DESC`,
    args: chainId === undefined ? args : [...args, toSql(chainId)],
  }
}
/** See audit-parts.ts. Sorted is what one part has of the action, by id. */
function ofAction(s: ScanCall, actionId: string, range: readonly string[], args: readonly SQLInputValue[]) {
  const parts: string[] = []
  const partArgs: SQLInputValue[] = []
  if (s.from !== undefined) {
    parts.push("AND p.first >= coalesce((SELECT max(first) FROM audit_part WHERE first <= ?), '')")
    partArgs.push(s.from)
  }
  if (s.below !== undefined) {
    parts.push('AND p.first < ?')
    partArgs.push(s.below)
  }
  return {
    sql: `SELECT a.seq, a.id FROM audit_part p CROSS JOIN audit_action x USING (part) CROSS JOIN audit a ON a.seq = x.seq
      WHERE x.hash = ? AND a.action_id = ? ${parts.join(' ')} AND ${range.join(' AND ')}
      ORDER BY p.first DESC, a.id DESC`,
    args: [hashOf(s.scope, actionId), toSql(actionId), ...partArgs, ...args],
  }
}

/** By one seek each. */
export function seekScopes(
  next: (at: SQLInputValue) => { readonly [column: string]: SQLOutputValue } | undefined,
  after: string | undefined,
  limit: number,
): Scope[] {
  const found: Scope[] = []
  let at: SQLInputValue = after === undefined ? '' : toSql(after)
  while (found.length < limit) {
    const scope = next(at)?.scope
    if (scope === undefined) break
    found.push(scopeParts(fromSql(scope)))
    at = scope
  }
  return found
}
