import { z } from 'zod'
import { isoTime } from '../../core/clock.ts'
import { type Finding, notFound, Problem, showFinding } from '../../core/errors.ts'
import { isObject, type JsonObject, own } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import { invalid, parseWire, wireName } from '../../core/wire.ts'
import { readAction } from '../../dispatch/read-action.ts'
import type { LoadState, RuleView } from '../../rules/rules.ts'
import { json, outcomeResponse } from '../answer.ts'
import { jsonBody, noBody, parseJson, readBody, text } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { cut, PAGE, pageOf, readPage } from '../page.ts'
import { type Query, readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, header, param } from '../request.ts'
import type { Ctx, Route } from '../route.ts'
import { behindOf, readContext, received } from './dispatch.ts'

const enabledSchema = z.strictObject({
  enabled: z.boolean(),
  why: z.string().max(1000).optional(),
  /** Left out, both: everywhere. */
  namespace: wireName.optional(),
  tenant: wireName.optional(),
  cancel_held: z.boolean().optional(),
})

export const ruleRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/rules',
    doc: 'The rules in force in their order, as they stand in a scope, with hits; `error` when the last load failed',
    handle(c, { rules }) {
      const q = readQuery(c, [...PAGE, ...SCOPE])
      const scope = scopeOf(q)
      const of = ['rules', ...scope]
      const shown = rules.list(scope).map((r) => forScope(r, q))
      const { items, next } = cut(shown, (r) => r.name, readPage(q, of))
      const { version, loadedAt } = rules.current()
      return pageOf('rules', items, next, of, { version, loaded_at: isoTime(loadedAt), ...loadError(rules.lastLoad) })
    },
  },
  {
    method: 'GET',
    path: '/v1/rules/{name}',
    doc: 'One rule, as it stands in a scope',
    handle(c, deps) {
      const q = readQuery(c, SCOPE)
      const name = param(c, 'name')
      const rule = deps.rules.get(name, scopeOf(q))
      if (!rule) throw noRule(deps, name)
      return json(200, forScope(rule, q))
    },
  },
  {
    method: 'PUT',
    path: '/v1/rules/{name}/enabled',
    doc: 'Switch a rule, everywhere or in one scope: {"enabled": false, "why": "…", "cancel_held": true}; lasts until the file says otherwise',
    async handle(c, deps) {
      const q = readQuery(c, SCOPE)
      const name = param(c, 'name')
      const body = parseWire(enabledSchema, await jsonBody(c, deps.server.bodyLimitBytes), 'switch')
      const { enabled, why, cancel_held: cancel = false } = body
      if (enabled && cancel)
        throw invalid('switch', [{ pointer: '/cancel_held', message: 'goes with "enabled": false' }])
      if (!deps.rules.get(name)) throw noRule(deps, name)
      const { namespace = q.namespace, tenant = q.tenant } = body
      const one = { ...(namespace !== undefined && { namespace }), ...(tenant !== undefined && { tenant }) }
      const scope = Object.keys(one).length > 0 ? scopeOf(one) : undefined
      const by = callerOf(c)
      const because = why !== undefined && { why }
      const details = {
        rule: name,
        enabled,
        ...(scope && { namespace: scope[0], tenant: scope[1] }),
        ...because,
        ...(cancel && { cancel_held: true }),
      }
      const record = deps.adminRow(`rule ${enabled ? 'enabled' : 'disabled'}`, details, by)
      const how = { by, ...because, ...(record && { record }), ...(scope && { scope }) }
      const rule = forScope(await deps.rules.setEnabled(name, enabled, how), one)
      // Switched off first: what it would queue from now on is not there to be missed.
      return json(200, cancel ? { ...rule, cancelled_held: await deps.cancelHeld(name, scope, by) } : rule)
    },
  },
  {
    method: 'POST',
    path: '/v1/rules/reload',
    doc: 'Load the rule files and `gateway.toml` now: whole, or 422 and nothing changes',
    async handle(c, deps) {
      readQuery(c, [])
      await noBody(c, deps.server.bodyLimitBytes)
      const done = await deps.rules.reload()
      if (!done.ok)
        throw new Problem(422, 'rules_invalid', 'the rules were not loaded; those of before stay in force', {
          extra: { findings: done.findings.map(findingView) },
        })
      return json(200, { version: done.version, findings: done.warnings.map(findingView) })
    },
  },
  {
    method: 'POST',
    path: '/v1/rules/evaluate',
    doc: 'What would become of an action, and why, rule by rule; nothing is written or sent',
    async handle(c, deps) {
      readQuery(c, [])
      const body = await jsonBody(c, deps.server.bodyLimitBytes)
      const named = isObject(body) && Object.keys(body).join() === 'action'
      const read = readAction(named ? own(body, 'action')! : body, readContext(deps), named ? '/action' : '')
      const { action, behind } = received(read, behindOf(c, deps), deps)
      return outcomeResponse(await deps.gateway.dryRun(action, true, behind), { redact: deps.redact() })
    },
  },
  {
    method: 'POST',
    path: '/v1/rules/check',
    doc: 'Check the text of a rule file (YAML, or JSON {"yaml": "…"}); nothing is loaded',
    async handle(c, deps) {
      readQuery(c, [])
      const findings = deps.rules.check(await ruleText(c, deps))
      return json(200, { ok: !findings.some((f) => f.severity === 'error'), findings: findings.map(findingView) })
    },
  },
]

const noRule = ({ rules }: HttpDeps, name: string): Problem =>
  notFound(
    'rule of this name',
    didYouMean(
      name,
      rules.list().map((r) => r.name),
    ),
  )

/** Who asks for one scope is told of no other. */
function forScope({ scopes, scopes_more: more, ...rule }: RuleView, { namespace, tenant }: Query<Scoped>): RuleView {
  if (namespace !== undefined || tenant !== undefined) return rule
  return { ...rule, ...(scopes && { scopes }), ...(more !== undefined && { scopes_more: more }) }
}
type Scoped = (typeof SCOPE)[number]

const findingView = ({ severity, file, line, column, message }: Finding): JsonObject => ({
  severity,
  file,
  line,
  column,
  message,
})

/** The last load where it failed, as lists and health show it; nothing where it is well. */
export function loadError({ ok, at, findings }: LoadState): JsonObject {
  if (ok) return findings.length > 0 ? { warnings: findings.map(showFinding) } : {}
  const errors = findings.filter((f) => f.severity === 'error')
  return { error: errors.map(showFinding).join('\n'), error_at: isoTime(at), findings: findings.map(findingView) }
}

const YAML_TYPE = /^(?:application|text)\/(?:x-)?yaml\b|^text\/plain\b/i

async function ruleText(c: Ctx, deps: HttpDeps): Promise<string> {
  const limit = deps.server.bodyLimitBytes
  if (YAML_TYPE.test(header(c, 'content-type') ?? '')) return text(await readBody(c, limit))
  const type = header(c, 'content-type') ?? ''
  if (!/json/i.test(type))
    throw new Problem(
      415,
      'unsupported_media_type',
      `send the file as it is: curl '${new URL(c.req.url).origin}/v1/rules/check' -H 'content-type: application/yaml' --data-binary @rules.yaml`,
      { extra: { accepts: ['application/yaml', 'text/yaml', 'text/plain', 'application/json'] } },
    )
  return parseWire(checkSchema, parseJson(await readBody(c, limit)), 'check').yaml
}
const checkSchema = z.strictObject({ yaml: z.string() })
