import { z } from 'zod'
import { isObject, type Json, own } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import { checkGraph, checkSubChains } from './check-graph.ts'
import { checkFields, checkReferences } from './check-names.ts'
import type { BranchTests, ChainDefinition, DefinitionIssue, Path, Say, StepDefinition } from './definition.ts'
import { chainShape, commonStep } from './shape.ts'
import { kindOf, stepKinds } from './steps/index.ts'

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
    d.steps.forEach((step, s) => {
      const at = [i, 'steps', s]
      const error = (key: string, message: string) => say([...at, key], message)
      kindOf(step).check(step, { providers, chains, error })
      checkFields(step, d, names.tests, at, say)
      checkReferences(step, d, at, say)
    })
    checkGraph(d, [i], say)
  })
  checkSubChains(shaped, known, say)
  const bad = new Set(issues.filter((x) => x.severity === 'error').map((x) => x.path[0]))
  return { definitions: shaped.filter((d, i): d is ChainDefinition => d !== undefined && !bad.has(i)), issues }
}

function readChain(raw: unknown, at: Path, say: Say): ChainDefinition | undefined {
  const parsed = chainShape.safeParse(raw)
  const written = isObject(raw) ? own(raw, 'steps') : undefined
  const steps = Array.isArray(written) ? written.map((s: Json, i) => readStep(s, [...at, 'steps', i], say)) : []
  if (!parsed.success) sayZod(parsed.error, at, Object.keys(chainShape.shape), say)
  if (!parsed.success || steps.some((s) => s === undefined)) return undefined
  const { name, timeout_seconds } = parsed.data
  return {
    name,
    ...(timeout_seconds !== undefined && { timeout_seconds }),
    steps: steps.filter((s) => s !== undefined),
  }
}

function readStep(raw: unknown, at: Path, say: Say): StepDefinition | undefined {
  if (!isObject(raw)) return void say(at, 'a step is a table')
  const kinds = Object.values(stepKinds).filter((k) => Object.hasOwn(raw, k.key))
  const keys = Object.keys(stepKinds)
  if (kinds.length !== 1) {
    const has = kinds.length === 0 ? 'none' : kinds.map((k) => k.key).join(' and ')
    const every = [...Object.keys(commonStep), ...Object.values(stepKinds).flatMap((k) => Object.keys(k.shape))]
    const odd = kinds.length === 0 ? Object.keys(raw).find((k) => !every.includes(k)) : undefined
    const hint = odd === undefined ? '' : didYouMean(odd, keys)
    return void say(at, `a step has exactly one of ${keys.join(', ')}; this one has ${has}${hint}`)
  }
  const kind = kinds[0]!
  const shape = z.strictObject({ ...commonStep, ...kind.shape })
  const parsed = shape.safeParse(liftDefaultNext(raw, at, say))
  if (parsed.success) return parsed.data as unknown as StepDefinition
  sayZod(parsed.error, at, Object.keys(shape.shape), say, `of a ${kind.kind} step`)
  return undefined
}

/** TOML reads a `default_next` written below a branch table as the branch's, though its author meant the step's. */
function liftDefaultNext(step: { readonly [key: string]: Json }, at: Path, say: Say): object {
  const branches = own(step, 'branches')
  if (!Array.isArray(branches)) return step
  let next = own(step, 'default_next')
  const cleaned = branches.map((b: Json, i) => {
    if (!isObject(b) || !Object.hasOwn(b, 'default_next')) return b
    const { default_next: found, ...rest } = b
    const path = [...at, 'branches', i, 'default_next']
    if (next !== undefined && next !== found) say(path, 'the step has another default_next already')
    else
      say(path, "default_next stands inside a branch and is read as the step's; write it above the branches", 'warning')
    next ??= found
    return rest
  })
  return { ...step, branches: cleaned, ...(next !== undefined && { default_next: next }) }
}

function sayZod(error: z.ZodError, at: Path, keys: readonly string[], say: Say, of = ''): void {
  for (const issue of error.issues) {
    const path = [...at, ...issue.path.map((p) => (typeof p === 'symbol' ? String(p) : p))]
    if (issue.code === 'unrecognized_keys') {
      const known = issue.path.includes('branches') ? ['field', 'operator', 'value', 'target'] : keys
      for (const k of issue.keys)
        say([...path, k], `"${k}" is no key${of && !issue.path.length ? ` ${of}` : ''}${didYouMean(k, known)}`)
    } else say(path, issue.message)
  }
}
