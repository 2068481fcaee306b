import { Problem, StateUnavailable, StateUnknown } from '../../core/errors.ts'
import { kinds } from '../../core/hold.ts'
import type { Depth } from '../../core/state.ts'
import { LACKING } from '../../rules/compile.ts'
import { json } from '../answer.ts'
import type { HttpDeps } from '../deps.ts'
import { readQuery } from '../query.ts'
import type { Route } from '../route.ts'
import { loadError } from './rules.ts'

/** How long the store may take to answer a look. */
const PATIENCE_MS = 1000

export const healthRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/livez',
    doc: 'The process answers',
    handle(c) {
      readQuery(c, [])
      return json(200, { status: 'ok' })
    },
  },
  {
    method: 'GET',
    path: '/readyz',
    doc: 'Whether to send requests here: 503 while it stops, or when the store does not answer',
    async handle(c, deps) {
      readQuery(c, [])
      const reason = (await looked(deps, probe)) === undefined ? 'the state store does not answer' : notReady(deps)
      if (reason === undefined) return json(200, { status: 'ok' })
      throw new Problem(503, 'not_ready', reason, { retryAfterMs: PATIENCE_MS })
    },
  },
  {
    method: 'GET',
    path: '/health',
    doc: 'How it goes: dead letters, the oldest due work, the last load error',
    async handle(c, deps) {
      readQuery(c, [])
      const depths = await looked(deps, () => deps.state.depths())
      const { lastLoad } = deps.rules
      const { error: configError, warnings, waiting } = deps.configured
      const reason = depths ? notReady(deps) : 'the state store does not answer'
      const oldest = depths && oldestDue(depths)
      const missing = [...deps.rules.starts().keys()].filter((chain) => !deps.chains.has(chain))
      // What a load said of chains is over when they are there, which is looked at here.
      const load = { ...lastLoad, findings: lastLoad.findings.filter((f) => !f.message.endsWith(LACKING)) }
      const wrong = reason !== undefined || !lastLoad.ok || configError !== undefined || missing.length > 0
      return json(depths ? 200 : 503, {
        status: wrong ? 'degraded' : load.findings.length + waiting.length > 0 ? 'warning' : 'ok',
        ...(reason !== undefined && { reason }),
        version: deps.version,
        dead_letters: depths ? deadLetters(depths) : null,
        oldest_due_age_seconds: oldest === undefined ? 0 : Math.max(0, deps.env.clock.now() - oldest) / 1000,
        rules: {
          version: deps.rules.current().version,
          ...(missing.length > 0 && { missing_chains: missing.sort() }),
          ...loadError(load),
        },
        ...(configError !== undefined && { config_error: configError }),
        ...(warnings.length > 0 && { config_warnings: warnings }),
        ...(waiting.length > 0 && { restart_needed: waiting }),
      })
    },
  },
]

const notReady = (deps: HttpDeps): string | undefined => {
  const { ok, reason } = deps.ready()
  return ok ? undefined : (reason ?? 'not ready')
}

const probe = (deps: HttpDeps) => deps.state.get([{ kind: kinds.idempotency, scope: ['', ''], id: 'readyz' }])

/** What the store says, or undefined where it is away or slow. */
export async function looked<T>(deps: HttpDeps, look: (deps: HttpDeps) => Promise<T>): Promise<T | undefined> {
  const enough = new AbortController()
  try {
    return await Promise.race([look(deps), deps.env.clock.sleep(PATIENCE_MS, enough.signal).then(() => undefined)])
  } catch (e) {
    if (e instanceof StateUnavailable || e instanceof StateUnknown) return undefined
    throw e
  } finally {
    enough.abort()
  }
}

/** Letters have a due time only to be reaped by; theirs is no work that waits. */
export const deadLetters = (depths: readonly Depth[]): number =>
  depths.find((d) => d.kind === kinds.deadLetter)?.waiting ?? 0

export function oldestDue(depths: readonly Depth[]): number | undefined {
  const times = depths.flatMap((d) =>
    d.kind === kinds.deadLetter || d.due === 0 || d.oldestDueAt === undefined ? [] : [d.oldestDueAt],
  )
  return times.length === 0 ? undefined : Math.min(...times)
}
