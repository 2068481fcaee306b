import type { Provider } from '../core/provider.ts'

export interface RateLimit {
  readonly perSecond: number
  /** Tokens the bucket holds when full; at least 1. */
  readonly burst: number
  /** Over all nodes. On one node the same thing. */
  readonly shared?: boolean
}

/** A provider and how it is to be used, as configured. */
export interface Route {
  readonly provider: Provider
  /** Of one attempt. */
  readonly timeoutMs: number
  /** Attempts after the first. */
  readonly maxRetries: number
  readonly maxConcurrent: number
  readonly rateLimit?: RateLimit
  /** False: what leaves here carries no lineage. */
  readonly lineage?: boolean
  /** `fallback_provider`: where a delivery goes when the breaker refuses. */
  readonly fallback?: string
}
export type Routes = ReadonlyMap<string, Route>

/** Where a delivery may go, in order: its provider, the rule's own fallback, then the links of both. Each once, none unknown. */
export function targets(routes: Routes, provider: string, own: string | undefined): readonly string[] {
  const order = new Set<string>()
  const add = (name: string | undefined) => {
    if (name !== undefined && routes.has(name)) order.add(name)
  }
  add(provider)
  add(own)
  for (const start of [provider, own]) {
    // A walk of its own: links may pass through a provider that stands in the list already.
    const walked = new Set<string>()
    for (let at = start; at !== undefined && !walked.has(at); at = routes.get(at)?.fallback) {
      walked.add(at)
      add(at)
    }
  }
  return [...order]
}
