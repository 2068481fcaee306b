import { cycleOf, type Lineage, MAX_HOPS, type Passed } from '../core/lineage.ts'
import type { Plan } from '../core/plan.ts'

/** What may be passed twice in one lineage. */
export interface Reentrant {
  readonly rule: (name: string) => boolean
  readonly chain: (name: string) => boolean
}

/** It came from the gateway itself: something it did led back to it. What was only held on the way has not. */
export const cameBack = (lineage: Lineage | undefined): boolean => lineage !== undefined && lineage.hops > 0

/**
 * The plan; or, where a rule or chain of it has been passed before, or the action has come back too often, one that says so and
 * does nothing else.
 */
export function withoutLoop(plan: Plan, lineage: Lineage | undefined, may: Reentrant): Plan {
  if (!lineage) return plan
  const rule = 'rule' in plan.end ? plan.end.rule : undefined
  if (lineage.hops > MAX_HOPS) return ending(plan, rule, `it has come back more than ${MAX_HOPS} times`, lineage.passed)
  for (const step of steps(plan)) {
    const { what, name } = step
    const cycle = may[what](name) ? undefined : cycleOf(lineage, `${what}:${name}`)
    if (cycle) return ending(plan, step.rule, `${what} "${name}" has been passed before`, cycle)
  }
  return plan
}

const ending = (plan: Plan, rule: string | undefined, reason: string, cycle: readonly Passed[]): Plan => ({
  ...plan,
  guards: [],
  limits: [],
  effects: [],
  end: { kind: 'loop', ...(rule !== undefined && { rule }), reason, cycle },
})

interface Step {
  readonly what: keyof Reentrant
  readonly name: string
  /** Whose doing it is. */
  readonly rule: string
}

/** The rules and chains that something of this plan would pass: those that send, hold or start, and none that only asks or changes. */
function steps({ effects, end }: Plan): readonly Step[] {
  const all: Step[] = []
  const passes = (rule: string, chain?: string): void => {
    all.push({ what: 'rule', name: rule, rule })
    if (chain !== undefined) all.push({ what: 'chain', name: chain, rule })
  }
  for (const e of effects) if (e.kind !== 'cancel_scheduled') passes(e.rule, e.kind === 'chain' ? e.chain : undefined)
  if (end.kind === 'chain') passes(end.rule, end.chain)
  else if (end.kind === 'group' || end.kind === 'schedule') passes(end.rule)
  else if (end.kind === 'deliver' && end.rule !== undefined) passes(end.rule)
  return all
}
