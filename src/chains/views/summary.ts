import type { Scope } from '../../core/action.ts'

import { type Clock, isoTime } from '../../core/clock.ts'
import { kinds } from '../../core/hold.ts'
import { uuidv7Floor, uuidv7Time } from '../../core/ids.ts'
import type { StateStore } from '../../core/state.ts'
import type { Chains, DefinitionSummary } from '../chains.ts'
import { readRun } from '../model/loaded.ts'
import type { Run } from '../model/run.ts'

/** Executions looked at, newest first; a summary of more says that it stopped. */
export const MOST_SUMMARISED = 10_000
const PAGE = 500
const DAY_MS = 86_400_000

export interface SummaryDeps {
  readonly state: StateStore
  readonly env: { readonly clock: Pick<Clock, 'now'> }
}

export function createSummary({ state, env }: SummaryDeps): Pick<Chains, 'summary'> {
  return {
    async summary(scope, asked) {
      const to = asked.to ?? env.clock.now()
      const from = asked.from ?? to - DAY_MS
      const { runs, truncated } = await runsBetween(state, scope, from, to)
      const oldest = runs.at(-1)
      return {
        from: isoTime(from),
        to: isoTime(to),
        runs: runs.length,
        truncated,
        ...(truncated && oldest && { reached: isoTime(uuidv7Time(oldest.id)) }),
        chains: summarise(runs),
      }
    },
  }
}

/** Ids begin with the moment an execution did, so the window is a stretch of them. */
async function runsBetween(state: StateStore, scope: Scope, from: number, to: number) {
  const runs: Run[] = []
  let after: string | undefined = uuidv7Floor(to + 1)
  while (after !== undefined) {
    const page = await state.list(kinds.run, scope, { limit: PAGE, descending: true, after })
    for (const entry of page.entries) {
      if (uuidv7Time(entry.key.id) < from) return { runs, truncated: false }
      if (runs.length === MOST_SUMMARISED) return { runs, truncated: true }
      runs.push(readRun(entry.value))
    }
    after = page.next
  }
  return { runs, truncated: false }
}

/** Of each chain, by name: how many, how they stand, how well and how long those took that have ended. */
export function summarise(runs: readonly Run[]): readonly DefinitionSummary[] {
  return [...Map.groupBy(runs, (r) => r.chain)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, mine]) => {
      const byStatus = Map.groupBy(mine, (r) => r.status)
      const took = mine.flatMap((r) => (r.endedAt === undefined ? [] : [r.endedAt - r.startedAt])).sort((a, b) => a - b)
      const completed = byStatus.get('completed')?.length ?? 0
      return {
        chain_name: name,
        runs: mine.length,
        by_status: Object.fromEntries([...byStatus].map(([status, of]) => [status, of.length])),
        ended: took.length,
        success_rate: took.length === 0 ? null : completed / took.length,
        mean_ms: took.length === 0 ? null : Math.round(took.reduce((a, b) => a + b, 0) / took.length),
        p95_ms: percentile(took, 0.95),
      }
    })
}

/** Nearest rank: the smallest of the sorted values that so large a part is not above; null of none. */
export const percentile = (sorted: readonly number[], part: number): number | null =>
  sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? null
