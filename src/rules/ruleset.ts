import {
  type End,
  type Evaluate,
  type Holder,
  type Plan,
  type Resume,
  type Ruleset,
  type TraceEntry,
  turnsAway,
} from '../core/plan.ts'
import type { Rule } from './compile.ts'
import { type DecisionIndex, decisionIndex } from './decision-index.ts'
import { type CountRun, closedLimit } from './limits.ts'
import type { Scopes } from './scope-state.ts'
import type { Draft, Notes } from './stage.ts'

export interface RulesetOptions {
  readonly version: string
  /** Milliseconds. */
  readonly loadedAt: number
  readonly defaultProvider: string | undefined
  /** Switches of single scopes. */
  readonly scopes?: Scopes
}
/** Rules made ready to be asked: what stays as it is when a single scope's switches change. */
export interface ReadyRules {
  readonly rules: readonly Rule[]
  readonly live: readonly Live[]
  readonly lookup: DecisionIndex | undefined
}
export interface Readied {
  /** Whether a rule is on in general, its own word and its switch weighed. */
  isEnabled(rule: Rule): boolean
  /** Of those that are not: on in some scope. */
  isPinned?(rule: Rule): boolean
  /** What the runs of a rule are counted against. */
  countRun?(rule: Rule): CountRun | undefined
}

/** Up to here asking every rule is quicker than looking up which to ask. */
const LINEAR = 8

export function readyRules(rules: readonly Rule[], how: Readied, index?: 'always' | 'never'): ReadyRules {
  const live: Live[] = []
  for (const rule of rules) {
    const on = how.isEnabled(rule)
    if (on || how.isPinned?.(rule)) live.push({ rule, on, holder: holderOf(rule, rules), count: how.countRun?.(rule) })
  }
  const indexed = index === 'always' || (index !== 'never' && live.length > LINEAR)
  return { rules, live, lookup: indexed ? decisionIndex(live.map((l) => l.rule)) : undefined }
}

/**
 * An immutable set of rules in order of evaluation. Invariants:
 * 1 evaluation is pure: the same action, moment and place to resume give the same plan
 * 2 index, linear scan and trace run the same compiled tests and stages, and agree
 * 3 after a rule changed the action, every later rule sees the change, the choice of rules to ask included
 * 4 a rule the gateway has switched off in a scope still stands there: what meets it is refused, not let by (`limits`)
 */
export function rulesetOf(ready: ReadyRules, { version, loadedAt, defaultProvider, scopes }: RulesetOptions): Ruleset {
  const { rules, live, lookup } = ready
  const everywhere = live.every((l) => l.on)
  const reentrant = new Set(rules.filter((r) => r.reentrant).map((r) => r.name))
  return {
    version,
    loadedAt,
    isReentrant: (name) => reentrant.has(name),
    evaluate(input) {
      const { action, resume, trace } = input
      const draft = newDraft(input, scopes && scopes.size > 0 ? hereOf(scopes, action) : undefined)
      const asked = resume || draft.here || !everywhere ? whoIsAsked(resume, draft.here, rules) : undefined
      const end = trace
        ? runTraced(draft, rules, live, resume, asked, trace)
        : lookup
          ? runIndexed(draft, live, lookup, asked)
          : runLinear(draft, live, asked)
      return toPlan(
        draft,
        end ?? { kind: 'deliver', provider: draft.action.provider ?? defaultProvider, rerouted: false },
      )
    },
  }
}
const hereOf = (scopes: Scopes, { namespace, tenant }: Evaluate['action']): Draft['here'] =>
  scopes.get(namespace)?.get(tenant)

export interface Live {
  readonly rule: Rule
  /** In general. */
  readonly on: boolean
  readonly holder: () => Holder
  readonly count: CountRun | undefined
}
type Asked = (l: Live) => boolean

/** What a hold keeps of its rule; made when first needed, since a priority may have thousands of rules. */
function holderOf(rule: Rule, rules: readonly Rule[]): () => Holder {
  let made: Holder | undefined
  return () => {
    made ??= {
      priority: rule.priority,
      before: rules
        .slice(0, rules.indexOf(rule))
        .filter((r) => r.priority === rule.priority)
        .map((r) => r.name),
      ...(rule.content !== undefined && { content: rule.content }),
    }
    return made
  }
}

function newDraft({ action, now, resume, trace, internal = false }: Evaluate, here: Draft['here']): Draft {
  return {
    action,
    now,
    internal,
    here,
    matched: resume ? [...resume.matched] : [],
    guards: [],
    limits: [],
    effects: [],
    warnings: [],
    notes: trace ? { why: '', mismatch: false } : undefined,
    failure: undefined,
  }
}
/** Nothing is asked of the store for an action that is only turned away: such a plan has no guards. */
function toPlan({ action, matched, guards, limits, effects, warnings }: Draft, end: End): Plan {
  const quiet = turnsAway(end) && effects.length === 0
  return { action, matched, guards: quiet ? [] : guards, limits: quiet ? [] : limits, effects, end, warnings }
}

/** Those that are on here. A released action goes on behind its holder, by the names it was held with, whatever has become of the rules since. */
function whoIsAsked(resume: Resume | undefined, here: Draft['here'], rules: readonly Rule[]): Asked {
  const isOn: Asked = (l) => here?.get(l.rule.name)?.on ?? l.on
  if (!resume) return isOn
  const isNext = afterHold(resume, rules)
  return (l) => isOn(l) && isNext(l.rule)
}
function afterHold({ rule, priority, before, matched, content }: Resume, rules: readonly Rule[]): (r: Rule) => boolean {
  const done = new Set([rule, ...before, ...matched])
  const isRenamed = content !== undefined && !rules.some((r) => r.name === rule)
  return (r) =>
    r.priority >= priority && !done.has(r.name) && !(isRenamed && r.priority === priority && r.content === content)
}

function matches(rule: Rule, draft: Draft): boolean {
  const held = rule.test(draft)
  if (draft.failure === undefined) return held
  draft.failure = undefined
  return false
}
function act({ rule, holder, count }: Live, draft: Draft): End | undefined {
  draft.matched.push(rule.name)
  const { hot, since = '' } = draft.here?.get(rule.name) ?? {}
  if (hot) draft.limits.push(closedLimit(rule.name, hot, since))
  else count?.(draft, since)
  return rule.stage(draft, holder)
}

function runLinear(draft: Draft, live: readonly Live[], asked: Asked | undefined): End | undefined {
  for (let i = 0; i < live.length; i++) {
    const l = live[i]!
    if (asked && !asked(l)) continue
    if (!matches(l.rule, draft)) continue
    const end = act(l, draft)
    if (end) return end
  }
  return undefined
}

/** Merges the lists of candidates by position; a changed action is looked up anew, and goes on behind where it stands. */
function runIndexed(
  draft: Draft,
  live: readonly Live[],
  lookup: DecisionIndex,
  asked: Asked | undefined,
): End | undefined {
  let lists: (readonly number[])[] = []
  lookup.collect(draft, lists)
  let heads = lists.map(() => 0)
  let at = -1
  for (;;) {
    at = nextPosition(lists, heads, at)
    const l = live[at]
    if (!l) return undefined
    if (asked && !asked(l)) continue
    if (!matches(l.rule, draft)) continue
    const { action } = draft
    const end = act(l, draft)
    if (end) return end
    if (draft.action !== action) {
      lists = []
      lookup.collect(draft, lists)
      heads = lists.map(() => 0)
    }
  }
}
/** The smallest position behind `at`, or one past every rule. */
function nextPosition(lists: readonly (readonly number[])[], heads: number[], at: number): number {
  let next = Number.POSITIVE_INFINITY
  for (let i = 0; i < lists.length; i++) {
    const list = lists[i]!
    let head = heads[i]!
    while (head < list.length && list[head]! <= at) head++
    heads[i] = head
    if (head < list.length && list[head]! < next) next = list[head]!
  }
  return next
}

const mismatched = (notes: Notes): boolean => notes.mismatch

/** Every rule in order, and why; ends where the evaluation does. */
function runTraced(
  draft: Draft,
  rules: readonly Rule[],
  live: readonly Live[],
  resume: Resume | undefined,
  asked: Asked | undefined,
  trace: TraceEntry[],
): End | undefined {
  const byRule = new Map(live.map((l) => [l.rule, l]))
  const notes = draft.notes!
  for (const rule of rules) {
    const entry = { rule: rule.name, priority: rule.priority, matched: false }
    const l = byRule.get(rule)
    if (!l || (asked && !asked(l))) {
      trace.push({ ...entry, why: notAsked(rule, l, draft, resume) })
      continue
    }
    notes.why = 'no condition'
    notes.mismatch = false
    const held = rule.test(draft)
    const error = draft.failure
    draft.failure = undefined
    const matched = held && error === undefined
    const end = matched ? act(l, draft) : undefined
    trace.push({
      ...entry,
      matched,
      why: notes.why,
      ...(mismatched(notes) ? { type_mismatch: true } : {}),
      ...(error !== undefined && { error }),
      ...(matched ? { effect: effectOf(rule, draft, end) } : {}),
    })
    if (end) return end
  }
  return undefined
}

function notAsked({ name }: Rule, l: Live | undefined, { here }: Draft, resume: Resume | undefined): string {
  const state = here?.get(name)
  if (state && !state.on) return l?.on ? 'switched off in this scope' : 'switched off'
  if (!l || !(state?.on ?? l.on)) return 'switched off'
  return `not asked again after "${resume?.rule}" held the action`
}
function effectOf({ name, does }: Rule, { here }: Draft, end: End | undefined): string {
  const then = end ? `${does}; later rules are not asked` : `${does}; passes on`
  return here?.get(name)?.hot ? `${then}; refused in the end: switched off by the system in this scope` : then
}
