import { isObject, type Json, own } from '../../core/json.ts'
import { IN_WORDS } from '../../core/words.ts'
import type { BranchTests, ChainDefinition, DefinitionIssue, Path, Say, StepDefinition } from '../model/definition.ts'
import { innerSteps } from '../model/definition.ts'
import { chainShape, MAX_STEPS } from '../model/shape.ts'
import type { StepCheck } from '../model/step-kind.ts'
import { kindOf } from '../steps/index.ts'
import { checkGraph } from './check-graph.ts'
import { checkNames } from './check-names.ts'
import { checkPolicies } from './check-policies.ts'
import { checkSubChains } from './check-sub-chains.ts'
import { lenient, type Read, readStep, sayZod } from './read-step.ts'

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
  const read = raw.map((r, i) => readChain(r, [i], say))
  const shaped = read.map((r) => r.value)

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
  read.forEach(({ value: d, whole, steps }, i) => {
    const checks = { providers, chains, tests: names.tests }
    for (const [s, step] of steps.entries())
      if (step) checkStep(step, false, { ...checks, error: (path, m) => say([i, 'steps', s, ...path], m) })
    if (d && whole) {
      checkGraph(d, [i], say)
      checkNames(d, [i], names.tests, say)
    }
    checkPolicies({ steps, lock_by: d?.lock_by }, providers, [i], say)
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

/** A chain, and those of its steps that could be read, in their places. */
interface ReadChain extends Read<ChainDefinition> {
  readonly steps: readonly (StepDefinition | undefined)[]
}

function readChain(raw: unknown, at: Path, say: Say): ReadChain {
  const parsed = chainShape.safeParse(raw, IN_WORDS)
  const written = isObject(raw) ? own(raw, 'steps') : undefined
  const read = Array.isArray(written) ? written.map((s: Json, i) => readStep(s, [...at, 'steps', i], say)) : []
  const steps = read.map((s) => s.value)
  if (!parsed.success) sayZod(parsed.error, at, chainShape, say, 'a chain')
  const chain = parsed.success
    ? { value: parsed.data, whole: true }
    : isObject(raw)
      ? lenient(raw, chainShape, parsed.error, 'steps')
      : { value: undefined, whole: false }
  if (!chain.value || steps.includes(undefined)) return { value: undefined, whole: false, steps }
  const value = { ...chain.value, steps } as ChainDefinition // keys that are not there were not made by the schema either
  const all = value.steps.reduce((n, s) => n + 1 + innerSteps(s).length, 0)
  if (all > MAX_STEPS)
    say([...at, 'steps'], `a chain has at most ${MAX_STEPS} steps, those inside groups included; this one has ${all}`)
  return { value, whole: chain.whole && read.every((s) => s.whole), steps }
}
