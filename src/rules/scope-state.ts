import type { DisableDetails } from '../core/outcome.ts'

/** How a rule stands in a scope that has a switch of its own. */
export interface ScopeState {
  readonly on: boolean
  /** Set: the gateway has switched it off here. */
  readonly hot: DisableDetails | undefined
  /** Which of the times it was switched on here this is: the counting of its runs begins anew with each. */
  readonly since: string
}
/** By namespace, tenant and rule. Nested, because a joined key would have to be built on every dispatch. */
export type Scopes = ReadonlyMap<string, ReadonlyMap<string, ReadonlyMap<string, ScopeState>>>

/** Rules that are on in some scope by a switch of its own. */
export function pinnedIn(scopes: Scopes): ReadonlySet<string> {
  const pinned = new Set<string>()
  for (const tenants of scopes.values())
    for (const states of tenants.values()) for (const [name, { on }] of states) if (on) pinned.add(name)
  return pinned
}
