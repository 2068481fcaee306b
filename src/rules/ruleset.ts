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
import type { Draft, Notes } from './stage.ts'

export interface RulesetOptions {
  readonly version: string
  /** Milliseconds. */
  readonly loadedAt: number
  readonly defaultProvider: string | undefined
  /** Whether a rule is on, its own word and its switch weighed. */
  isEnabled(rule: Rule): boolean
}

/** Up to here asking every rule is quicker than looking up which to ask. */
const LINEAR = 8

/**
 * An immutable set of rules in order of evaluation. Invariants:
 * 1 evaluation is pure: the same action, moment and place to resume give the same plan
 * 2 index, linear scan and trace run the same compiled tests and stages, and agree
 * 3 after a rule changed the action, every later rule sees the change, the choice of rules to ask included
 */
export function buildRuleset(rules: readonly Rule[], options: RulesetOptions, index?: 'always' | 'never'): Ruleset {
  const { version, loadedAt, defaultProvider } = options
  const on = rules.map((r) => options.isEnabled(r))
  const live: Live[] = rules.filter((_, i) => on[i]).map((rule) => ({ rule, holder: holderOf(rule, rules) }))
  const indexed = index === 'always' || (index !== 'never' && live.length > LINEAR)
  const lookup = indexed ? decisionIndex(live.map((l) => l.rule)) : undefined
  const reentrant = new Set(rules.filter((r) => r.reentrant).map((r) => r.name))
  return {
    version,
    loadedAt,
    isReentrant: (name) => reentrant.has(name),
    evaluate(input) {
      const draft = newDraft(input)
      const asked = input.resume ? afterHold(input.resume) : undefined
      const end = input.trace
        ? runTraced(draft, rules, live, on, input.resume, asked, input.trace)
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

interface Live {
  readonly rule: Rule
  readonly holder: () => Holder
}
type Asked = (rule: Rule) => boolean

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
    }
    return made
  }
}

function newDraft({ action, now, resume, trace }: Evaluate): Draft {
  return {
    action,
    now,
    matched: resume ? [...resume.matched] : [],
    guards: [],
    effects: [],
    warnings: [],
    notes: trace ? { why: '', mismatch: false } : undefined,
    failure: undefined,
  }
}
/** Nothing is asked of the store for an action that is only turned away: such a plan has no guards. */
function toPlan({ action, matched, guards, effects, warnings }: Draft, end: End): Plan {
  const quiet = turnsAway(end) && effects.length === 0
  return { action, matched, guards: quiet ? [] : guards, effects, end, warnings }
}

/** A released action goes on behind its holder, by the names it was held with, whatever has become of the rules since. */
function afterHold({ rule, priority, before, matched }: Resume): Asked {
  const done = new Set([rule, ...before, ...matched])
  return (r) => r.priority >= priority && !done.has(r.name)
}

function matches(rule: Rule, draft: Draft): boolean {
  const held = rule.test(draft)
  if (draft.failure === undefined) return held
  draft.failure = undefined
  return false
}
function act({ rule, holder }: Live, draft: Draft): End | undefined {
  draft.matched.push(rule.name)
  return rule.stage(draft, holder)
}

function runLinear(draft: Draft, live: readonly Live[], asked: Asked | undefined): End | undefined {
  for (let i = 0; i < live.length; i++) {
    const l = live[i]!
    if (asked && !asked(l.rule)) continue
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
    if (asked && !asked(l.rule)) continue
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
  on: readonly boolean[],
  resume: Resume | undefined,
  asked: Asked | undefined,
  trace: TraceEntry[],
): End | undefined {
  const byRule = new Map(live.map((l) => [l.rule, l]))
  const notes = draft.notes!
  for (const [i, rule] of rules.entries()) {
    const entry = { rule: rule.name, priority: rule.priority, matched: false }
    const l = byRule.get(rule)
    if (!on[i] || !l) {
      trace.push({ ...entry, why: 'switched off' })
      continue
    }
    if (asked && !asked(rule)) {
      trace.push({ ...entry, why: `not asked again after "${resume?.rule}" held the action` })
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
      ...(matched ? { effect: end ? `${rule.does}; later rules are not asked` : `${rule.does}; passes on` } : {}),
    })
    if (end) return end
  }
  return undefined
}
