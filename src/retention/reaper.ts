import type { Scope } from '../core/action.ts'
import type { AuditStore } from '../core/audit.ts'
import { joinParts } from '../core/ids.ts'
import type { StateStore } from '../core/state.ts'
import type { RetentionPolicies } from './policies.ts'
import { executionScopes, type ScopePages, scopePages } from './scopes.ts'

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
/** What a round takes of one kind and scope at most: where less is gone in all, none has more. */
export const REAP_MOST = REAP_ROWS * BATCHES

/**
 * What has ended and is too old goes, by the policy in force when this runs: a longer ttl saves what is still there. Each is one
 * round of all scopes and answers how many are gone; the next begins with those that had more. A scope that cannot be cleaned holds
 * up none of the others: the round rejects when it has been through all of them.
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

  /** How many are gone; `all`: nothing as old is left, as far as a go looks. */
  async function old(scope: Scope, purge: Purge, ttlSeconds: number | undefined, signal: AbortSignal): Promise<Gone> {
    let gone = 0
    for (let i = 0; ttlSeconds !== undefined && i < BATCHES && !signal.aborted; i++) {
      const n = await purge(scope, now() - ttlSeconds * 1000, REAP_ROWS)
      gone += n
      if (n < REAP_ROWS) return { gone, all: true }
    }
    return { gone, all: ttlSeconds === undefined }
  }

  const reapIn = async (scope: Scope, signal: AbortSignal): Promise<Gone> => {
    const policy = policies.inForce(scope)
    const records = await old(scope, purgeAudit, policy?.auditTtlSeconds ?? deps.auditTtlSeconds(), signal)
    const executions = await old(scope, deps.executions, policy?.stateTtlSeconds, signal)
    const letters = await old(scope, deps.deadLetters, policy?.stateTtlSeconds, signal)
    return {
      gone: records.gone + executions.gone + letters.gone,
      all: records.all && executions.all && letters.all,
    }
  }
  const cleanUpIn = async (scope: Scope, signal: AbortSignal): Promise<Gone> =>
    policies.inForce(scope)?.stateTtlSeconds === undefined
      ? old(scope, deps.executions, deps.executionTtlSeconds(), signal)
      : NOTHING
  return {
    reap: rounds(scopePages(audit, policies), reapIn),
    cleanUp: rounds(executionScopes(deps.state), cleanUpIn),
  }
}

interface Gone {
  readonly gone: number
  readonly all: boolean
}
const NOTHING: Gone = { gone: 0, all: true }

/** Page by page, and on each those again that were not through on the one before: a busy one waits for no whole round. */
function rounds(pages: ScopePages, clean: (scope: Scope, signal: AbortSignal) => Promise<Gone>) {
  let unfinished: readonly Scope[] = []
  return async (signal: AbortSignal): Promise<number> => {
    const seen = new Set<string>()
    const failed = new Map<string, unknown>()
    let gone = 0
    for (let last = false; !last && !signal.aborted; ) {
      const before = new Set(unfinished.map(joinParts))
      const next = await pages()
      last = next.last
      const left: Scope[] = []
      for (const scope of [...unfinished, ...next.page.filter((scope) => !before.has(joinParts(scope)))]) {
        if (signal.aborted) break
        seen.add(joinParts(scope))
        try {
          const done = await clean(scope, signal)
          gone += done.gone
          if (!done.all) left.push(scope)
        } catch (e) {
          failed.set(joinParts(scope), e)
        }
      }
      unfinished = left
    }
    if (failed.size > 0)
      throw new Error(`${failed.size} of ${seen.size} scopes could not be cleaned`, {
        cause: failed.values().next().value,
      })
    return gone
  }
}
