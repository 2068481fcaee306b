import type { Scope } from '../core/action.ts'
import type { AuditStore } from '../core/audit.ts'
import type { StateStore } from '../core/state.ts'
import type { RetentionPolicies } from './policies.ts'
import { executionScopes, scopePages } from './scopes.ts'

/** Deletes up to `limit` things of a scope that ended before `before` (ms); answers how many. */
export type Purge = (scope: Scope, before: number, limit: number) => Promise<number>

export interface ReaperDeps {
  readonly policies: RetentionPolicies
  readonly audit: Pick<AuditStore, 'purge' | 'scopes'>
  readonly state: Pick<StateStore, 'scopes'>
  readonly now: () => number
  /** `[audit].ttl_seconds`: for scopes whose policy says nothing else. */
  readonly auditTtlSeconds: () => number | undefined
  /** `[chains].completed_chain_ttl_seconds`: the same for finished executions. */
  readonly executionTtlSeconds: () => number
  readonly executions: Purge
  readonly deadLetters: Purge
}

/** At a time, so that a delete never holds the store up. */
export const REAP_ROWS = 500
/** Deletes of one kind and scope in one go. */
const BATCHES = 20

/**
 * What has ended and is too old goes, by the policy in force when this runs: a longer ttl saves what is still there. Each is one
 * bounded go that answers how many are gone; the next continues with the scopes that follow.
 */
export interface Reaper {
  /** Audit records, and finished executions and dead letters where a policy speaks of them. */
  reap(signal: AbortSignal): Promise<number>
  /** Finished executions, where no policy does. */
  cleanUp(signal: AbortSignal): Promise<number>
}

export function reaper(deps: ReaperDeps): Reaper {
  const { policies, audit, now } = deps
  const purgeAudit: Purge = (scope, before, limit) => audit.purge(scope, before, limit)

  async function old(scope: Scope, purge: Purge, ttlSeconds: number | undefined, signal: AbortSignal): Promise<number> {
    let gone = 0
    for (let i = 0; ttlSeconds !== undefined && i < BATCHES && !signal.aborted; i++) {
      const n = await purge(scope, now() - ttlSeconds * 1000, REAP_ROWS)
      gone += n
      if (n < REAP_ROWS) break
    }
    return gone
  }

  const toReap = scopePages(audit, policies)
  const toClean = executionScopes(deps.state)
  return {
    async reap(signal) {
      let gone = 0
      for (const scope of await toReap()) {
        const policy = policies.inForce(scope)
        gone += await old(scope, purgeAudit, policy?.auditTtlSeconds ?? deps.auditTtlSeconds(), signal)
        gone += await old(scope, deps.executions, policy?.stateTtlSeconds, signal)
        gone += await old(scope, deps.deadLetters, policy?.stateTtlSeconds, signal)
      }
      return gone
    },
    async cleanUp(signal) {
      let gone = 0
      for (const scope of await toClean())
        if (policies.inForce(scope)?.stateTtlSeconds === undefined)
          gone += await old(scope, deps.executions, deps.executionTtlSeconds(), signal)
      return gone
    },
  }
}
