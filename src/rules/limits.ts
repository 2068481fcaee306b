import { z } from 'zod'
import { parseDuration } from '../core/duration.ts'
import { joinParts, sha256 } from '../core/ids.ts'
import { canonicalJson, type Json } from '../core/json.ts'
import type { DisableDetails, LimitName } from '../core/outcome.ts'
import type { RunLimit } from '../core/plan.ts'
import { fitsIn } from '../core/utf8.ts'
import { compileField, type Field, wholePath } from './fields.ts'
import { MAX_KEY_BYTES } from './keys.ts'
import type { Draft, RuleAction } from './stage.ts'
import { zone } from './time.ts'

/** So many runs in any span of the window. */
export interface Limit {
  readonly count: number
  readonly windowMs: number
  /** As it was written: `PT30S`. */
  readonly window: string
}
export const modes = ['off', 'warn', 'disable'] as const
export type Mode = (typeof modes)[number]

/** `[hot_rules]`: the general limits, of every rule that has none of its own. */
export interface HotRules {
  readonly mode: Mode
  /** For actions that came from the gateway itself. */
  readonly internalMode: Mode
  readonly ruleLimit: Limit
  readonly entityLimit: Limit
  readonly internalLimit: Limit
  /** Where an action says which entity it is about; the first that is there. */
  readonly entityFields: readonly string[]
}

/** What the executions of a chain give back to the rules, and the field they are locked by. */
export type DispatchedBy = (chain: string) => {
  readonly types: ReadonlySet<string> | 'any'
  readonly lockBy: string | undefined
}

/** What of a rule its limits follow from. */
export interface Counted {
  readonly name: string
  readonly runs: RuleAction['runs']
  readonly maxExecutions: Limit | undefined
  /** The chain it starts. */
  readonly chain: string | undefined
}
/** Adds what one run is counted against to the draft. Pure. `since`: see RunLimit. */
export type CountRun = (draft: Draft, since: string) => void

/** Undefined: nobody counts the runs of this rule. */
export function countRun(rule: Counted, hot: HotRules, dispatched: DispatchedBy): CountRun | undefined {
  if (rule.maxExecutions && rule.runs !== 'never') return always(rule, 'max_executions', rule.maxExecutions, 'disable')
  if (rule.maxExecutions || rule.runs !== 'always') return undefined
  const counts: CountRun[] = []
  if (hot.mode !== 'off') counts.push(always(rule, 'rule_limit', hot.ruleLimit, hot.mode))
  if (hot.mode !== 'off' && rule.chain !== undefined)
    counts.push(perEntity(rule, rule.chain, hot, hot.mode, dispatched))
  if (hot.internalMode !== 'off') {
    const internal = always(rule, 'internal_limit', hot.internalLimit, hot.internalMode)
    counts.push((draft, since) => draft.internal && internal(draft, since))
  }
  if (counts.length === 0) return undefined
  return (draft, since) => {
    for (const count of counts) count(draft, since)
  }
}

function always(rule: Counted, limit: LimitName, of: Limit, mode: RunLimit['mode']): CountRun {
  const first = runLimit(rule, limit, of, mode, '')
  return (draft, since) => void draft.limits.push(since === '' ? first : runLimit(rule, limit, of, mode, since))
}

/** Of rules whose chain dispatches the very type that starts it: what goes round there goes round for one device, not for all. */
function perEntity(
  rule: Counted,
  chain: string,
  hot: HotRules,
  mode: RunLimit['mode'],
  dispatched: DispatchedBy,
): CountRun {
  const read = entityReader(hot.entityFields)
  return (draft, since) => {
    const { types, lockBy } = dispatched(chain)
    if (types !== 'any' && !types.has(draft.action.action_type)) return
    const entity = read(draft, lockBy)
    if (entity !== undefined) draft.limits.push(runLimit(rule, 'entity_limit', hot.entityLimit, mode, since, entity))
  }
}

function runLimit(
  { name: rule }: Counted,
  limit: LimitName,
  { count, windowMs, window }: Limit,
  mode: RunLimit['mode'],
  since: string,
  ...entity: readonly string[]
): RunLimit {
  // The window is part of the id, `count` is not: a changed limit applies to what is counted.
  const id = joinParts(['hot', rule, limit, String(windowMs), since, ...entity])
  return { rule, limit, id, count, windowMs, window, mode, since }
}

/** A rule that the gateway has switched off lets nobody in. Its id is no window's. */
export const closedLimit = (rule: string, disabled: DisableDetails, since: string): RunLimit => ({
  rule,
  limit: disabled.limit,
  id: joinParts(['hot', rule, 'disabled']),
  count: 0,
  windowMs: 1,
  window: disabled.window,
  mode: 'disable',
  since,
  disabled,
})

const UTC = { zone: zone('UTC')!, env: new Map<string, string | undefined>() }
const entityField = (text: string): Field | string => compileField(wholePath(text), UTC)

/** What is wrong with a name in `[hot_rules].entity_fields`. */
export function entityFieldProblem(text: string): string | undefined {
  const field = entityField(text)
  return typeof field === 'string' ? field : field.path ? undefined : `"${text}" is not a field of the action`
}

/** The value that says which entity an action is about, by the chain's lock, else the first field that is there. */
function entityReader(names: readonly string[]): (draft: Draft, lockBy: string | undefined) => string | undefined {
  const compiled = new Map<string, Field | undefined>()
  const fieldOf = (name: string): Field | undefined => {
    if (!compiled.has(name)) {
      const field = entityField(name)
      compiled.set(name, typeof field === 'string' ? undefined : field)
    }
    return compiled.get(name)
  }
  return (draft, lockBy) => {
    for (const name of lockBy === undefined ? names : [lockBy, ...names]) {
      const value = fieldOf(name)?.read(draft) ?? null
      if (value !== null) return marked(value)
    }
    return undefined
  }
}
function marked(v: Json): string {
  const text = typeof v === 'string' ? `s${v}` : `j${canonicalJson(v)}`
  return fitsIn(text, MAX_KEY_BYTES) ? text : `#${sha256(text)}`
}

/** A limit as it is written. */
export const limitShape = z.strictObject({
  count: z.int().min(1).max(1_000_000_000),
  window: z
    .string()
    .superRefine((text, issues) => {
      const read = parseDuration(text)
      if (typeof read === 'string') issues.addIssue(read)
    })
    .describe('ISO 8601, as PT30S, PT1M, P1D'),
})

/** Of what `limitShape` has let pass. */
export function readLimit({ count, window }: z.output<typeof limitShape>): Limit {
  const windowMs = parseDuration(window)
  if (typeof windowMs === 'string') throw new Error(`"window" ${windowMs}`)
  return { count, windowMs, window }
}
