import type { BreakerConfig } from './config.ts'
import { type Draft, follow, isTable, report } from './draft.ts'
import { reportIssues } from './issues.ts'
import { checkProvider } from './names.ts'
import { breakerShape } from './schema.ts'

type Own = Partial<BreakerConfig> & { readonly fallbackProvider: string | undefined }

/** The `[circuit_breaker.providers.NAME]` tables by name: what they say over the section's own settings. */
export function readBreakers(draft: Draft): ReadonlyMap<string, Own> {
  const tables = follow(draft.root, ['circuit_breaker', 'providers'])
  const breakers = new Map<string, Own>()
  if (!isTable(tables)) return breakers
  for (const name of Object.keys(tables)) {
    const path = ['circuit_breaker', 'providers', name]
    const isKnown = checkProvider(draft, path, name, 'key')
    const read = breakerShape.safeParse(follow(draft.root, path))
    if (!read.success) reportIssues(draft, path, read.error.issues)
    const to = follow(draft.root, [...path, 'fallback_provider'])
    const leadsOn = typeof to === 'string' && checkProvider(draft, [...path, 'fallback_provider'], to, 'value')
    if (!isKnown || !read.success) continue
    breakers.set(name, {
      ...(read.data.failure_threshold !== undefined && { failureThreshold: read.data.failure_threshold }),
      ...(read.data.success_threshold !== undefined && { successThreshold: read.data.success_threshold }),
      ...(read.data.recovery_timeout_seconds !== undefined && {
        recoveryTimeoutSeconds: read.data.recovery_timeout_seconds,
      }),
      fallbackProvider: leadsOn ? to : undefined,
    })
  }
  for (const cycle of cyclesOf(breakers)) {
    const path = ['circuit_breaker', 'providers', cycle[0]!, 'fallback_provider']
    report(draft, 'error', path, `the fallbacks go round: ${[...cycle, cycle[0]].join(' → ')}`, 'value')
  }
  return breakers
}

/** The cycles of fallbacks, each once, from the member the file has first. Everyone has at most one fallback. */
function cyclesOf(breakers: ReadonlyMap<string, Own>): string[][] {
  const done = new Set<string>()
  const cycles: string[][] = []
  for (const start of breakers.keys()) {
    const walk: string[] = []
    let at: string | undefined = start
    while (at !== undefined && !done.has(at)) {
      done.add(at)
      walk.push(at)
      at = breakers.get(at)?.fallbackProvider
    }
    if (at !== undefined && walk.includes(at)) cycles.push(walk.slice(walk.indexOf(at)))
  }
  return cycles
}
