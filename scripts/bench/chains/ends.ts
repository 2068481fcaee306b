import { endedStatuses } from '../../../src/chains/model/run.ts'
import type { Scope } from '../../../src/core/action.ts'
import { kinds } from '../../../src/core/hold.ts'
import type { Entry } from '../../../src/core/state.ts'
import { scopeText } from '../../../src/state/scope.ts'
import { Reads } from '../../../src/state/sqlite/reads.ts'
import { openReader } from '../../../src/state/sqlite/schema.ts'

const ended: ReadonlySet<string> = new Set(endedStatuses)

/** Of each execution the status it ended with, or undefined. */
export type Ends = (ids: readonly string[]) => readonly (string | undefined)[]

/**
 * Read from the store's file beside the server: what it tells is committed, and it costs the measured process nothing. Asking over
 * HTTP would take a good part of the core whose steps are counted.
 */
export function endsOf(store: string, scope: Scope): Ends {
  const reads = new Reads(openReader(store))
  const of = scopeText(scope)
  return (ids) => {
    const found = reads.run(['get', ids.map((id) => [kinds.run, of, id] as const)], Date.now())
    return (found as readonly (Entry | null)[]).map((entry) => {
      if (!entry) return undefined
      const { status } = JSON.parse(entry.value) as { status: string }
      return ended.has(status) ? status : undefined
    })
  }
}
