import type { Scope } from '../core/action.ts'
import type { AuditStore } from '../core/audit.ts'
import type { RetentionPolicies } from './policies.ts'

/** Deletes up to `limit` things of a scope that ended before `before` (ms); answers how many. */
export type Purge = (scope: Scope, before: number, limit: number) => Promise<number>

export interface ReaperDeps {
  readonly policies: RetentionPolicies
  readonly audit: Pick<AuditStore, 'purge' | 'scopes'>
  readonly now: () => number
  /** `[audit].ttl_seconds`: for scopes without a policy that says otherwise. */
  readonly auditTtlSeconds: () => number | undefined
  /** Finished executions and dead letters: what `state_ttl_seconds` is about. */
  readonly state: readonly Purge[]
}

/** At a time, so that a delete never holds the store up. */
export const REAP_ROWS = 500
/** Deletes in one go of the loop. */
const BATCHES = 20
const SCOPES = 100

export interface Reaper {
  /** One bounded go; the next one continues with the scopes that follow. Answers how many rows are gone. */
  reap(signal: AbortSignal): Promise<number>
}

/** Decides by the policy in force when it runs: a longer ttl saves what is still there. */
export function reaper(deps: ReaperDeps): Reaper {
  const { policies, audit, now } = deps
  let after: Scope | undefined

  async function reapScope(scope: Scope, budget: number, signal: AbortSignal): Promise<number> {
    const policy = policies.inForce(scope)
    const audits = policy?.auditTtlSeconds ?? deps.auditTtlSeconds()
    const ended = policy?.stateTtlSeconds
    const purges: (readonly [Purge, number])[] = []
    if (audits !== undefined) purges.push([(...a) => audit.purge(...a), audits])
    if (ended !== undefined) for (const purge of deps.state) purges.push([purge, ended])
    let gone = 0
    for (const [purge, ttl] of purges)
      while (gone < budget && !signal.aborted) {
        const n = await purge(scope, now() - ttl * 1000, REAP_ROWS)
        gone += n
        if (n < REAP_ROWS) break
      }
    return gone
  }

  /** Scopes with audit records, a page at a time, then those that only have a policy. */
  async function nextScopes(): Promise<readonly Scope[]> {
    const page = await audit.scopes(after, SCOPES)
    const first = after === undefined
    after = page.length < SCOPES ? undefined : page.at(-1)
    if (!first) return page
    const seen = new Set(page.map((s) => JSON.stringify(s)))
    const named = policies.all().map((p): Scope => [p.namespace, p.tenant])
    return [...page, ...named.filter((s) => !seen.has(JSON.stringify(s)))]
  }

  return {
    async reap(signal) {
      let gone = 0
      for (const scope of await nextScopes()) {
        if (signal.aborted) break
        gone += await reapScope(scope, BATCHES * REAP_ROWS, signal)
      }
      return gone
    },
  }
}
