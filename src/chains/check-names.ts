import type { Json } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import { compileTemplate } from '../core/template.ts'
import type { BranchTests, ChainDefinition, Path, Say, StepDefinition } from './definition.ts'
import { fieldRoots, templateRoots } from './step-kind.ts'
import { kindOf } from './steps/index.ts'

/** Branches: fields that exist, operators that are known, values they take. */
export function checkFields(
  step: StepDefinition,
  chain: ChainDefinition,
  tests: BranchTests,
  at: Path,
  say: Say,
): void {
  step.branches?.forEach((b, i) => {
    const here = [...at, 'branches', i]
    checkPath(b.field, fieldRoots, chain, 'a branch field', (m) => say([...here, 'field'], m))
    if (!tests.operators.includes(b.operator))
      say([...here, 'operator'], `there is no operator "${b.operator}"${didYouMean(b.operator, tests.operators)}`)
    else {
      const test = tests.compile(b.operator, b.value)
      if (typeof test === 'string') say([...here, 'value'], test)
    }
  })
}

/** Templates: roots that exist, steps that are there. */
export function checkReferences(step: StepDefinition, chain: ChainDefinition, at: Path, say: Say): void {
  const source = kindOf(step).template(step)
  if (source === undefined) return
  eachText(source, [...at, 'payload_template'], (text, path) => {
    for (const r of compileTemplate(text).references)
      checkPath(r.text, templateRoots, chain, 'a template reference', (m) => say(path, `{{${r.text}}}: ${m}`))
  })
}

function checkPath(
  text: string,
  roots: readonly string[],
  chain: ChainDefinition,
  what: string,
  say: (message: string) => void,
): void {
  const [root = '', name] = text.split('.')
  if (!roots.includes(root)) say(`${what} begins with one of ${roots.join(', ')}${didYouMean(root, roots)}`)
  if (root !== 'steps' || name === undefined) return
  const steps = chain.steps.map((s) => s.name)
  if (!steps.includes(name)) say(`chain "${chain.name}" has no step "${name}"${didYouMean(name, steps)}`)
}

function eachText(v: Json, path: Path, see: (text: string, path: Path) => void): void {
  if (typeof v === 'string') see(v, path)
  else if (Array.isArray(v)) for (const [i, x] of (v as readonly Json[]).entries()) eachText(x, [...path, i], see)
  else if (v !== null && typeof v === 'object') for (const [k, x] of Object.entries(v)) eachText(x, [...path, k], see)
}
