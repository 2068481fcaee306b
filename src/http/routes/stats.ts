import { isoTime } from '../../core/clock.ts'
import { json } from '../answer.ts'
import { readQuery } from '../query.ts'
import type { Route } from '../route.ts'
import { deadLetters, looked } from './health.ts'

export const statsRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/stats',
    doc: 'Counts of this process since it started, and what is waiting',
    async handle(c, deps) {
      readQuery(c, [])
      const { startedAt, outcomes, problems, attempts } = deps.stats
      const depths = await looked(deps, () => deps.state.depths())
      return json(200, {
        version: deps.version,
        started_at: startedAt,
        outcomes: Object.fromEntries(outcomes),
        problems: Object.fromEntries(problems),
        provider_attempts: attempts,
        dead_letters: depths ? deadLetters(depths) : null,
        waiting:
          depths?.map((d) => ({
            kind: d.kind,
            waiting: d.waiting,
            due: d.due,
            ...(d.due > 0 && d.oldestDueAt !== undefined && { oldest_due_at: isoTime(d.oldestDueAt) }),
          })) ?? null,
      })
    },
  },
  {
    method: 'GET',
    path: '/metrics',
    doc: 'The same and more, for Prometheus',
    async handle(c, deps) {
      readQuery(c, [])
      const depths = await looked(deps, () => deps.state.depths())
      const loads = {
        rules: deps.rules.lastLoad.ok,
        config: deps.configured.error === undefined,
        ruleCount: deps.rules.list().length,
      }
      const text = await deps.stats.metrics({ depths, breakers: deps.breakers.list(), loads })
      const headers = { 'content-type': deps.stats.contentType, 'cache-control': 'no-store' }
      return { status: 200, headers, body: text }
    },
  },
]
