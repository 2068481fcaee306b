import { createRequire } from 'node:module'
import { expect, it } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'
import { createStats } from '../../src/http/stats.ts'
import { testEnv } from '../fakes/env.ts'
import { codes, table } from './markdown.ts'

/** What is to be alerted on can be: metrics, labels and their values are those there are. */

const page = 'docs/deployment.md'
const rows = table(page, 'What to alert on', 'Expression').map(([e = '']) => codes(e)[0]!)

it('asks for metrics that there are, by labels they have', async () => {
  const stats = createStats(testEnv(), { process: false })
  stats.outcome({ outcome: 'executed' } as never, { kind: 'dispatch', receivedAt: 0, completedAt: 1 })
  for (const result of ['success', 'retryable', 'permanent'] as const)
    stats.attempt({ provider: 'p', result, durationMs: 1 })
  stats.overLimit('r', 'rule')
  for (const code of ['state_unavailable', 'state_unknown']) stats.problem(new Problem(503, code, ''))
  const text = await stats.metrics({
    depths: [kinds.deadLetter, kinds.scheduled].map((kind) => ({ kind, waiting: 1, due: 1, oldestDueAt: 0 })),
    breakers: [{ provider: 'p', state: 'open' } as never],
    loads: { rules: true, config: false, ruleCount: 1 },
  })
  const lines = text.split('\n').filter((l) => l !== '' && !l.startsWith('#'))
  for (const row of rows) {
    if (row.includes('process_')) continue
    const [, name = '', labels = ''] = /(signalbox_\w+)(?:\{([^}]*)\})?/.exec(row) ?? []
    const mine = lines.filter((l) => l.startsWith(`${name} `) || l.startsWith(`${name}{`))
    expect(mine, row).not.toEqual([])
    const grouped = /by \(([\w, ]+)\)/.exec(row)?.[1]?.split(', ') ?? []
    for (const label of grouped) expect(mine[0]).toMatch(new RegExp(`[{,]${label}="`))
    for (const [, label, , value] of labels.matchAll(/(\w+)(=~|!=|=)"([^"]*)"/g))
      for (const one of value!.split('|'))
        expect(
          mine.filter((l) => l.includes(`${label}="${one}"`)),
          `${row}: ${label}="${one}"`,
        ).not.toEqual([])
  }
})

it('and, of the process, for one of those prom-client has', () => {
  const required: unknown = createRequire(import.meta.url)('prom-client/lib/metrics/processStartTime.js')
  const { metricNames } = required as { readonly metricNames: readonly string[] }
  expect(rows.flatMap((r) => /\bprocess_\w+/.exec(r)?.[0] ?? [])).toEqual(metricNames)
})
