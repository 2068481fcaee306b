import { isoTime } from '../core/clock.ts'
import type { DisableDetails } from '../core/outcome.ts'
import type { Rule } from './compile.ts'
import { handOf, hotOf, type ScopeSwitch } from './scope-switches.ts'
import type { Switch } from './switches.ts'

/** Whether a rule is on, and who switched it off; nobody when the file itself did. */
export interface Standing {
  readonly enabled: boolean
  /** `system`: the gateway, over a limit. Until a hand takes it back, what the rule matches is refused; by hand, it is as if not there. */
  readonly disabled_by?: string
  readonly disable_details?: DisableDetails | { readonly why?: string; readonly at: string }
}
/** One rule in its wire names, as GET /v1/rules answers it for a scope. */
export interface RuleView extends Standing {
  readonly name: string
  readonly priority: number
  readonly type: string
  readonly description?: string
  readonly max_executions?: { readonly count: number; readonly window: string }
  readonly file: string
  readonly line: number
  /** Since process start, on this node. */
  readonly hits: number
  /** RFC 3339. */
  readonly last_hit?: string
  /** Scopes in which it stands otherwise than in general, the first of them. */
  readonly scopes?: readonly (Standing & { readonly namespace: string; readonly tenant: string })[]
  /** How many more of them there are. */
  readonly scopes_more?: number
}

const SYSTEM = 'system'
const MOST_SCOPES = 100

export function ruleView(
  rule: Rule,
  /** The switch that is in force everywhere. */
  general: Switch | undefined,
  here: ScopeSwitch | undefined,
  all: readonly ScopeSwitch[],
  hit: { readonly count: number; readonly last: number } | undefined,
): RuleView {
  const { name, priority, type, description, maxExecutions, file, line } = rule
  const others = all
    .filter((s) => handOf(s, rule) || hotOf(s, rule))
    .sort((a, b) => (a.namespace < b.namespace || (a.namespace === b.namespace && a.tenant < b.tenant) ? -1 : 1))
  const scopes = others
    .slice(0, MOST_SCOPES)
    .map((s) => ({ namespace: s.namespace, tenant: s.tenant, ...standing(rule, general, s) }))
  return {
    name,
    priority,
    ...standing(rule, general, here),
    type,
    ...(description !== undefined && { description }),
    ...(maxExecutions && { max_executions: { count: maxExecutions.count, window: maxExecutions.window } }),
    file,
    line,
    hits: hit?.count ?? 0,
    ...(hit && { last_hit: isoTime(hit.last) }),
    ...(scopes.length > 0 && { scopes }),
    ...(others.length > MOST_SCOPES && { scopes_more: others.length - MOST_SCOPES }),
  }
}

function standing(rule: Rule, general: Switch | undefined, scope: ScopeSwitch | undefined): Standing {
  const hand = scope && handOf(scope, rule)
  const said = hand ?? general
  if (!(said?.enabled ?? rule.enabled)) {
    if (!said) return { enabled: false }
    const { by, at, why } = said
    return { enabled: false, disabled_by: by, disable_details: { at, ...(why !== undefined && { why }) } }
  }
  const hot = scope && hotOf(scope, rule)
  return hot ? { enabled: false, disabled_by: SYSTEM, disable_details: hot } : { enabled: true }
}
