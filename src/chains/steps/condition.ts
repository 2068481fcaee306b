import { z } from 'zod'
import { isObject } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import { compileConditionNode } from '../condition.ts'
import type { ConditionStep } from '../definition.ts'
import { good, opening } from '../outcomes.ts'
import { json } from '../shape.ts'
import type { StepKind } from '../step-kind.ts'
import { conditionFields } from '../variables.ts'

/** Chooses where to go, and does nothing else. */
export const conditionStep: StepKind<ConditionStep> = {
  kind: 'condition',
  key: 'condition',
  leaf: false,
  chooses: true,
  shape: {
    condition: z.custom<ConditionStep['condition']>((v) => json.safeParse(v).success && isObject(v), 'must be a table'),
    // biome-ignore lint/suspicious/noThenProperty: a word of the language; nothing awaits a definition
    then: z.string().min(1).optional(),
    else: z.string().min(1).optional(),
  },
  check(step, at) {
    compileConditionNode(step.condition, at.tests, (path, message) => at.error(['condition', ...path], message))
    for (const key of ['then', 'else'] as const) {
      const target = step[key]
      if (target !== undefined && !at.steps.has(target))
        at.error([key], `there is no step "${target}"${didYouMean(target, at.steps)}`)
    }
    if (step.then === undefined && step.else === undefined)
      at.error(['condition'], 'a condition needs then, else or both: without, it chooses nothing')
  },
  texts: () => [],
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
