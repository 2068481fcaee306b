import { notATemplate } from '../../core/template.ts'
import { zoneError } from '../../core/zone.ts'
import { entityFieldProblem } from '../../rules/limits.ts'
import { type Draft, follow, isTable, report, showPath, type Table } from './draft.ts'
import type { Path } from './places.ts'

/**
 * What is allowed and yet worth a word, and the values that only their meaning can judge: the time zone, the fields of entities. Reads what was written,
 * so that it is said beside the errors of other keys, not after them.
 */
export function checkMeanings(draft: Draft): void {
  const at = (...path: Path): unknown => follow(draft.root, path)
  const warn = (path: Path, message: string) => report(draft, 'warning', path, `${path.join('.')}${message}`, 'key')

  const zone = at('rules', 'default_timezone')
  const problem = typeof zone === 'string' && zone !== '' ? zoneError(zone) : undefined
  if (problem !== undefined)
    report(draft, 'error', ['rules', 'default_timezone'], `rules.default_timezone: ${problem}`, 'value')

  const entityFields = at('hot_rules', 'entity_fields')
  for (const [i, field] of (Array.isArray(entityFields) ? entityFields : []).entries()) {
    const wrong = typeof field === 'string' && field !== '' ? entityFieldProblem(field) : undefined
    if (wrong !== undefined)
      report(draft, 'error', ['hot_rules', 'entity_fields', i], `hot_rules.entity_fields: ${wrong}`, 'value')
  }

  const hidden = at('audit', 'redact', 'fields')
  for (const [i, field] of (Array.isArray(hidden) ? hidden : []).entries())
    if (typeof field === 'string' && /^\$\.|[*[\]]|^\.|\.$|\.\./.test(field)) {
      const message = `audit.redact.fields: "${field}" hides a field of just this name; a path is names with dots between them, and goes through lists by itself`
      report(draft, 'warning', ['audit', 'redact', 'fields', i], message, 'value')
    }

  const host = at('server', 'host')
  if (typeof host === 'string' && host !== '' && !/^(localhost|127(\.\d+){3}|\[?::1\]?)$/i.test(host))
    warn(['server', 'host'], `: whoever can reach ${host} may dispatch and administer; no one is asked who they are`)
  if (at('server', 'approval_secret') !== undefined)
    warn(['server', 'approval_secret'], ' has no effect until approvals are built')

  const scope = ['namespace', 'tenant'].filter((k) => at('background', k) !== undefined)
  if (scope.length > 0) {
    const rest = scope.length > 1 ? ' and background.tenant have' : ' has'
    warn(['background', scope[0]!], `${rest} no effect: the loops serve every scope`)
  }
  if (at('background', 'enabled') === false)
    warn(['background', 'enabled'], ' is false: what is held here waits for another node')
  if (at('quotas', 'enabled') === false) warn(['quotas', 'enabled'], ' is false: no quota is counted or enforced')

  const providers = at('providers')
  if (providers === undefined || (Array.isArray(providers) && providers.length === 0))
    report(draft, 'warning', ['providers'], 'no provider is configured: nothing can be delivered', 'key')
  for (const [i, provider] of (Array.isArray(providers) ? providers : []).entries())
    if (isTable(provider)) for (const key of Object.keys(provider)) checkText(draft, provider, ['providers', i, key])
}

/** A provider's own texts take no templates, but for the body of a webhook: those of other tools do. */
function checkText(draft: Draft, { type }: Table, path: Path): void {
  const value = follow(draft.root, path)
  if (Array.isArray(value)) for (const i of value.keys()) checkText(draft, { type }, [...path, i])
  else if (isTable(value)) for (const key of Object.keys(value)) checkText(draft, { type }, [...path, key])
  if (typeof value !== 'string' || !value.includes('{{')) return
  if (path[2] === 'smtp_password') return // may be any text
  const own = type === 'webhook' ? path[2] : undefined
  if (own === 'url') return // refused where it is read
  const literal = 'takes no templates: "{{" goes out as it is; a modify rule can put the value into the payload'
  const wrong = own === 'body' ? notATemplate(value) : literal
  if (wrong !== undefined) report(draft, 'warning', path, `${showPath(draft.root, path)}: ${wrong}`, 'value')
}
