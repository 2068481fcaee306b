import { sha256 } from '../core/ids.ts'
import { canonicalJson, type Json } from '../core/json.ts'
import { compileTemplate } from '../core/template.ts'
import type { BranchTests, ChainDefinition } from './definition.ts'
import type { ChainStep } from './step-kind.ts'
import { kindOf } from './steps/index.ts'

/** A definition ready to run. */
export interface Chain {
  readonly name: string
  readonly version: string
  readonly definition: ChainDefinition
  readonly first: string
  readonly steps: ReadonlyMap<string, ChainStep>
}

/** Equal content, equal version, whatever the order of keys. */
export const versionOf = (d: ChainDefinition): string =>
  sha256(canonicalJson(JSON.parse(JSON.stringify(d)) as Json)).slice(0, 16)

/** Of a definition that was checked; throws when a branch of it no longer compiles here. */
export function compileChain(definition: ChainDefinition, tests: BranchTests): Chain {
  const steps = new Map<string, ChainStep>()
  definition.steps.forEach((step, i) => {
    const kind = kindOf(step)
    const source = kind.template(step)
    steps.set(step.name, {
      name: step.name,
      definition: step,
      kind,
      payload: source === undefined ? undefined : compileTemplate(source),
      branches: (step.branches ?? []).map((b) => {
        const test = tests.compile(b.operator, b.value)
        if (typeof test === 'string') throw new Error(`chain "${definition.name}", step "${step.name}": ${test}`)
        return { path: b.field.split('.'), test, target: b.target }
      }),
      next: step.default_next ?? definition.steps[i + 1]?.name,
      judgesFailure: step.default_next !== undefined || (step.branches ?? []).length > 0,
    })
  })
  return { name: definition.name, version: versionOf(definition), definition, first: definition.steps[0]!.name, steps }
}
