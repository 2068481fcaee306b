import { isDeepStrictEqual } from 'node:util'
import type { Config } from './config.ts'

/**
 * The sections an edit has changed that only a start reads. `providers`, with what they take from `executor`, `circuit_breaker`,
 * `chains`, `background`, `hot_rules`, `audit.redact`, `rules.default_provider` and `dead_letters.forward_to` are taken over by a
 * reload and never named.
 */
export function needsRestart(running: Config, edited: Config): readonly string[] {
  const fixed = (c: Config): { readonly [section: string]: unknown } => ({
    server: c.server,
    state: c.state,
    audit: { ...c.audit, redact: undefined },
    rules: { ...c.rules, defaultProvider: undefined },
    executor: { ...c.executor, maxRetries: undefined, timeoutSeconds: undefined, maxConcurrent: undefined },
    lineage: c.lineage,
    quotas: c.quotas,
    dead_letters: { ...c.deadLetters, forwardTo: undefined },
  })
  const [a, b] = [fixed(running), fixed(edited)]
  return Object.keys(a).filter((section) => !isDeepStrictEqual(a[section], b[section]))
}
