import { setOwn } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { ExecutorConfig, ProviderConfig } from './config.ts'
import { type Draft, follow, isTable, nameOf, report, type Table } from './draft.ts'
import { reportIssues } from './issues.ts'
import type { Path } from './places.ts'
import { providerCommon } from './schema.ts'

/**
 * The `[[providers]]` tables: the common keys by our schema, all others by the schema of the type. Answers those that are right;
 * the others are findings.
 */
export function readProviders(draft: Draft, executor: ExecutorConfig): readonly ProviderConfig[] {
  const tables = Array.isArray(draft.root.providers) ? draft.root.providers : []
  const seen = new Map<string, number>()
  return tables.flatMap((table: unknown, i) => {
    const path: Path = ['providers', i]
    if (!isTable(table)) {
      report(draft, 'error', path, `providers[${i}]: expected a table`, 'value')
      return []
    }
    const name = nameOf(table)
    const first = name === undefined ? undefined : seen.get(name)
    if (name !== undefined && first === undefined) seen.set(name, i)
    if (first !== undefined) {
      const { line } = draft.places.key(['providers', first])
      report(draft, 'error', [...path, 'name'], `a provider named "${name}" is on line ${line} already`, 'value')
    }
    return readProvider(draft, table, path, executor) ?? []
  })
}

function readProvider(draft: Draft, table: Table, path: Path, executor: ExecutorConfig): ProviderConfig | undefined {
  const [own, common] = split(table)
  const commonRead = providerCommon.safeParse(common)
  if (!commonRead.success) reportIssues(draft, path, commonRead.error.issues)
  const type = draft.types.find((t) => t.type === table.type)
  if (!type) {
    // A missing or wrongly typed `type` is a finding of the common keys.
    if (typeof table.type === 'string' && table.type !== '') {
      const known = draft.types.map((t) => t.type)
      const message = `unknown provider type "${table.type}"; expected ${known.join(', ')}${didYouMean(table.type, known)}`
      report(draft, 'error', [...path, 'type'], message, 'value')
    }
    return undefined
  }
  const ownRead = type.config.safeParse(own)
  if (!ownRead.success) reportIssues(draft, path, ownRead.error.issues)
  if (!commonRead.success || !ownRead.success) return undefined
  const c = commonRead.data
  return {
    name: c.name,
    type: c.type,
    timeoutSeconds: c.timeout_seconds ?? executor.timeoutSeconds,
    maxRetries: c.max_retries ?? executor.maxRetries,
    maxConcurrent: c.max_concurrent ?? executor.maxConcurrent,
    rateLimit: c.rate_limit && {
      perSecond: c.rate_limit.per_second,
      burst: c.rate_limit.burst ?? Math.max(1, Math.ceil(c.rate_limit.per_second)),
      shared: c.rate_limit.shared,
    },
    lineage: c.lineage ?? true,
    config: ownRead.data,
  }
}

function split(table: Table): [own: Table, common: Table] {
  const own: Table = {}
  const common: Table = {}
  for (const key of Object.keys(table))
    setOwn(Object.hasOwn(providerCommon.shape, key) ? common : own, key, follow(table, [key]))
  return [own, common]
}
