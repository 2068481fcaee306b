import type { Scope } from '../core/action.ts'
import type { AuditStore } from '../core/audit.ts'
import { kinds } from '../core/hold.ts'
import { joinParts } from '../core/ids.ts'
import type { StateStore } from '../core/state.ts'
import type { RetentionPolicies } from './policies.ts'

/** Scopes asked for at a time. */
const PAGE = 100

/** A page of scopes at each call, and after the last one round again. */
export type ScopePages = () => Promise<{ readonly page: readonly Scope[]; readonly last: boolean }>

/** The scopes that have records or a policy: those with audit records, then those that only have a policy. */
export function scopePages(audit: Pick<AuditStore, 'scopes'>, policies: Pick<RetentionPolicies, 'all'>): ScopePages {
  let seen = new Set<string>()
  const next = round((after) => audit.scopes(after, PAGE))
  return async () => {
    const { page, last } = await next()
    for (const scope of page) seen.add(joinParts(scope))
    if (!last) return { page, last }
    const named = policies.all().map((p): Scope => [p.namespace, p.tenant])
    const others = named.filter((scope) => !seen.has(joinParts(scope)))
    seen = new Set()
    return { page: [...page, ...others], last }
  }
}

/** The scopes that have executions: the audit may have forgotten them, or never have known of them. */
export function executionScopes(state: Pick<StateStore, 'scopes'>): ScopePages {
  return round((after) => state.scopes(kinds.run, { limit: PAGE, ...(after && { after }) }))
}

function round(ask: (after: Scope | undefined) => Promise<readonly Scope[]>): ScopePages {
  let after: Scope | undefined
  return async () => {
    const page = await ask(after)
    after = page.length === PAGE ? page.at(-1) : undefined
    return { page, last: after === undefined }
  }
}
