import { z } from 'zod'
import { isObject } from '../../core/json.ts'
import { compileConditionNode, lookupsOf } from '../model/condition.ts'
import type { ConditionStep } from '../model/definition.ts'
import { good, opening } from '../model/outcomes.ts'
import { json } from '../model/shape.ts'
import type { StepKind } from '../model/step-kind.ts'
import { conditionFields } from '../model/variables.ts'

/** Chooses where to go, and does nothing else. */
export const conditionStep: StepKind<ConditionStep> = {
  kind: 'condition',
  key: 'condition',
  leaf: false,
  chooses: true,
  shape: {
    condition: z
      .custom<ConditionStep['condition']>((v) => json.safeParse(v).success && isObject(v), 'must be a table')
      .meta({ type: 'object' }),
    // biome-ignore lint/suspicious/noThenProperty: a word of the language; nothing awaits a definition
    then: z.string().min(1).optional(),
    else: z.string().min(1).optional(),
  },
  check(step, at) {
    compileConditionNode(step.condition, at.tests, (path, message) => at.error(['condition', ...path], message))
    if (step.then === undefined && step.else === undefined)
      at.error(['condition'], 'a condition needs then, else or both: without, it chooses nothing')
  },
  texts: () => [],
  targets: (step) => (['then', 'else'] as const).map((kind) => ({ kind, target: step[kind], path: [kind] })),
  lookups: (step, tests) =>
    lookupsOf(step.condition, tests).map((found) => ({ ...found, path: ['condition', ...found.path] })),
  prepare(step, tests) {
    const wrong: string[] = []
    const holds = compileConditionNode(step.condition, tests, (_, message) => wrong.push(message))
    if (wrong.length > 0) throw new Error(`step "${step.name}": ${wrong.join('; ')}`)
    return {
      enter(at) {
        const yes = holds(conditionFields(at))
        const next = yes ? step.then : step.else
        return {
          to: 'end',
          record: opening(at),
          over: { result: good({ holds: yes }), ...(next !== undefined && { next }) },
        }
      },
    }
  },
}
