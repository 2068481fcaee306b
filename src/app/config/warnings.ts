import { didYouMean } from '../../core/nearest.ts'
import type { Config } from './config.ts'
import { type Draft, follow, report } from './draft.ts'
import type { Path } from './places.ts'

/** What is allowed and yet worth a word; and the one value only its meaning can judge, the time zone. */
export function warnOf(draft: Draft, config: Config): void {
  const warn = (path: Path, message: string) => report(draft, 'warning', path, message, 'key')
  const written = (...path: Path) => follow(draft.root, path) !== undefined

  if (!isZone(config.rules.defaultTimezone)) {
    const hint = didYouMean(config.rules.defaultTimezone, Intl.supportedValuesOf('timeZone'))
    const message = `rules.default_timezone: there is no time zone "${config.rules.defaultTimezone}"${hint}`
    report(draft, 'error', ['rules', 'default_timezone'], message, 'value')
  }
  if (!/^(localhost|127(\.\d+){3}|\[?::1\]?)$/i.test(config.server.host))
    warn(
      ['server', 'host'],
      `server.host: ${config.server.host} lets everyone who can reach it dispatch and administer; no one is asked who they are`,
    )
  if (written('server', 'approval_secret'))
    warn(['server', 'approval_secret'], 'server.approval_secret has no effect until approvals are built')
  const scope = ['namespace', 'tenant'].filter((k) => written('background', k))
  if (scope.length > 0)
    warn(
      ['background', scope[0]!],
      `background.${scope.join(' and background.')}: no effect, the loops serve every scope`,
    )
  if (!config.quotas.enabled) warn(['quotas', 'enabled'], 'quotas.enabled is false: no quota is counted or enforced')
  if (!config.background.enabled)
    warn(['background', 'enabled'], 'background.enabled is false: what is held here waits for another node')
  if (config.providers.length === 0) warn(['providers'], 'no provider is configured: nothing can be delivered')
  if (config.executor.backoffInitialMs > config.executor.backoffMaxMs)
    warn(
      ['executor', 'backoff_initial_ms'],
      'executor.backoff_initial_ms is over backoff_max_ms, which then is every wait',
    )
}

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== ''
  } catch (e) {
    if (e instanceof RangeError) return false
    throw e
  }
}
