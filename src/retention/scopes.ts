import type { Scope } from '../core/action.ts'
import type { AuditStore } from '../core/audit.ts'
import { joinParts } from '../core/ids.ts'
import type { RetentionPolicies } from './policies.ts'

/** Scopes asked for at a time. */
const PAGE = 100

/** Walks the scopes there are, a page at each call and round again: those with audit records, then those that only have a policy. */
export function scopePages(
  audit: Pick<AuditStore, 'scopes'>,
  policies: Pick<RetentionPolicies, 'all'>,
): () => Promise<readonly Scope[]> {
  let after: Scope | undefined
  let seen = new Set<string>()
  return async () => {
    const page = await audit.scopes(after, PAGE)
    for (const scope of page) seen.add(joinParts(scope))
    if (page.length === PAGE) {
      after = page.at(-1)
      return page
    }
    const named = policies.all().map((p): Scope => [p.namespace, p.tenant])
    const others = named.filter((scope) => !seen.has(joinParts(scope)))
    after = undefined
    seen = new Set()
    return [...page, ...others]
  }
}
