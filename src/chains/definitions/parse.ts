import { isObject, type Json, own } from '../../core/json.ts'
import type { BranchTests, ChainDefinition, DefinitionIssue, Path, Say, StepDefinition } from '../model/definition.ts'
import { innerSteps } from '../model/definition.ts'
import { chainShape, MAX_STEPS } from '../model/shape.ts'
import type { StepCheck } from '../model/step-kind.ts'
import { kindOf } from '../steps/index.ts'
import { checkGraph } from './check-graph.ts'
import { checkNames } from './check-names.ts'
import { checkPolicies } from './check-policies.ts'
import { checkSubChains } from './check-sub-chains.ts'
import { readStep, sayZod } from './read-step.ts'

export interface DefinitionNames {
  readonly providers: Iterable<string>
  readonly tests: BranchTests
  /** Chains defined elsewhere: they may be sub-chains, and their names are taken. */
  readonly others?: readonly ChainDefinition[]
}
export interface ParsedDefinitions {
  /** Those without errors, in order. */
  readonly definitions: readonly ChainDefinition[]
  readonly issues: readonly DefinitionIssue[]
}

/** Reads definitions as TOML or JSON gave them. Everything that is wrong is said at once. */
export function parseChainDefinitions(raw: readonly unknown[], names: DefinitionNames): ParsedDefinitions {
  const issues: DefinitionIssue[] = []
  const say: Say = (path, message, severity = 'error') => issues.push({ path, message, severity })
  const shaped = raw.map((r, i) => readChain(r, [i], say))

  const others = new Map((names.others ?? []).map((d) => [d.name, d]))
  const known = new Map(others)
  shaped.forEach((d, i) => {
    if (!d) return
    if (others.has(d.name)) say([i, 'name'], `chain "${d.name}" is defined elsewhere already`)
    else if (known.has(d.name)) say([i, 'name'], `there are two chains named "${d.name}"`)
    known.set(d.name, d)
  })
  const providers = new Set(names.providers)
  const chains = new Set(known.keys())
  shaped.forEach((d, i) => {
    if (!d) return
    const checks = { providers, chains, tests: names.tests }
    for (const [s, step] of d.steps.entries())
      checkStep(step, false, { ...checks, error: (path, m) => say([i, 'steps', s, ...path], m) })
    checkGraph(d, [i], say)
    checkNames(d, [i], names.tests, say)
    checkPolicies(d, providers, [i], say)
  })
  checkSubChains(shaped, known, say)
  const bad = new Set(issues.filter((x) => x.severity === 'error').map((x) => x.path[0]))
  return { definitions: shaped.filter((d, i): d is ChainDefinition => d !== undefined && !bad.has(i)), issues }
}

function checkStep(step: StepDefinition, inGroup: boolean, checks: Omit<StepCheck, 'inGroup'>): void {
  kindOf(step).check(step, { ...checks, inGroup })
  for (const inner of innerSteps(step))
    checkStep(inner.step, true, { ...checks, error: (path, m) => checks.error([...inner.path, ...path], m) })
}

function readChain(raw: unknown, at: Path, say: Say): ChainDefinition | undefined {
  const parsed = chainShape.safeParse(raw)
  const written = isObject(raw) ? own(raw, 'steps') : undefined
  const steps = Array.isArray(written) ? written.map((s: Json, i) => readStep(s, [...at, 'steps', i], say)) : []
  if (!parsed.success) return sayZod(parsed.error, at, chainShape, say)
  if (steps.includes(undefined)) return undefined
  const read = { ...parsed.data, steps } as ChainDefinition // keys that are not there were not made by the schema either
  const all = read.steps.reduce((n, s) => n + 1 + innerSteps(s).length, 0)
  if (all > MAX_STEPS)
    say([...at, 'steps'], `a chain has at most ${MAX_STEPS} steps, those inside groups included; this one has ${all}`)
  return read
}
