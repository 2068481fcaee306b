import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { Scope } from '../../core/action.ts'
import type { AuditScan, AuditScanned } from '../../core/audit.ts'
import { PAGE_CHARS } from '../../core/state.ts'
import { scopeParts } from '../scope.ts'
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
  actionId: 'action_id = ?',
} as const
type Column = keyof typeof COLUMNS
export type ScanCall = Omit<AuditScan, 'scope'> & { readonly scope: string }

export class AuditReads {
  readonly #sql: (sql: string) => StatementSync
  constructor(sql: (sql: string) => StatementSync) {
    this.#sql = sql
  }

  page(s: ScanCall): AuditScanned {
    const range = ['scope = ?']
    const args: SQLInputValue[] = [toSql(s.scope)]
    if (s.from !== undefined) {
      range.push('id >= ?')
      args.push(s.from)
    }
    if (s.below !== undefined) {
      range.push('id < ?')
      args.push(s.below)
    }
    const indexed: string[] = []
    const scanned: string[] = []
    const indexedArgs: SQLInputValue[] = []
    const scannedArgs: SQLInputValue[] = []
    for (const [column, value] of Object.entries(s.match) as [Column, string][]) {
      const isIndexed = column === 'actionId' || column === 'chainId'
      ;(isIndexed ? indexed : scanned).push(COLUMNS[column])
      const to = isIndexed ? indexedArgs : scannedArgs
      to.push(toSql(value))
      if (column === 'provider') to.push(toSql(value))
    }
    // Named, because without statistics SQLite would rather walk the time range.
    const index = s.match.actionId !== undefined ? 'audit_action' : s.match.chainId !== undefined ? 'audit_chain' : ''
    const source = `audit ${index && `INDEXED BY ${index}`} WHERE ${[...range, ...indexed].join(' AND ')}`
    const matching = scanned.length > 0 ? `WHERE ${scanned.join(' AND ')}` : ''
    const found: { readonly id: string; readonly json: string }[] = []
    let chars = 0
    for (const r of this.#sql(`SELECT id, json FROM (SELECT * FROM ${source} ORDER BY id DESC LIMIT ?)
      ${matching} ORDER BY id DESC LIMIT ?`).iterate(...args, ...indexedArgs, s.looks, ...scannedArgs, s.limit + 1)) {
      // Leaving the loop ends the statement.
      if (found.length === s.limit || chars >= PAGE_CHARS) return { rows: found, below: found.at(-1)!.id }
      const json = fromSql(r['json'])
      found.push({ id: fromSql(r['id']), json })
      chars += json.length
    }
    const last = this.#sql(`SELECT id FROM ${source} ORDER BY id DESC LIMIT 1 OFFSET ?`).get(
      ...args,
      ...indexedArgs,
      s.looks - 1,
    )
    return { rows: found, ...(last === undefined ? {} : { below: fromSql(last.id) }) }
  }

  /** Scopes that have records, after the given one. */
  scopes(after: string | undefined, limit: number): Scope[] {
    const next = this.#sql('SELECT scope FROM audit WHERE scope > ? ORDER BY scope LIMIT 1')
    return seekScopes((at) => next.get(at), after, limit)
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
