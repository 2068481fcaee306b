import type { Chains } from '../chains/chains.ts'
import type { Quotas } from '../quotas/quotas.ts'
import type { Intent } from './intent.ts'
import type { RunCount, RunCounts } from './run-counts.ts'

/** What to set in motion once the commit is durable. `at`: index of the op whose result has the claim's number. */
export interface After {
  readonly intent?: { readonly intent: Intent; readonly at: number; readonly until: number }
  /** To a provider that cannot fail: its record is already part of the commit. */
  readonly send?: Pick<Intent, 'provider' | 'request'>
  readonly chains: readonly {
    readonly chainId: string
    readonly at: number
    readonly claim: { readonly owner: string; readonly until: number }
  }[]
  /** Loops with work that is due at once. */
  readonly nudge: readonly ('flush' | 'copy')[]
  /** To be counted. */
  readonly runs: readonly RunCount[]
}

export interface Tools {
  readonly chains: Pick<Chains, 'startOps' | 'disabled'>
  readonly quotas: Pick<Quotas, 'countOps'>
  readonly runCounts: RunCounts
}
