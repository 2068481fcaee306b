import { z } from 'zod'
import { isObject, type Json, own, setOwn } from '../../core/json.ts'
import { compileTemplate } from '../../core/template.ts'
import type { BranchTests, SetStep } from '../model/definition.ts'
import { failed, good, opening } from '../model/outcomes.ts'
import { json } from '../model/shape.ts'
import { itemRoots, type StepKind, templateRoots } from '../model/step-kind.ts'
import { type Variables, variables } from '../model/variables.ts'

const ROOTS = [...templateRoots, ...itemRoots]
const MAX_FIELDS = 100

/** Computes fields and sends nothing: its body is what they came to. */
export const setStep: StepKind<SetStep> = {
  kind: 'set',
  key: 'set',
  leaf: true,
  chooses: false,
  shape: {
    set: z
      .custom<SetStep['set']>(
        (v) =>
          json.safeParse(v).success && isObject(v) && Object.keys(v).length > 0 && Object.keys(v).length <= MAX_FIELDS,
        `must be a table of 1 to ${MAX_FIELDS} fields`,
      )
      .meta({ type: 'object', minProperties: 1, maxProperties: MAX_FIELDS }),
  },
  check({ set }, at) {
    for (const [name, value] of Object.entries(set)) {
      const source = expressionOf(value)
      if (source === undefined) continue
      const compiled = at.tests.expression(source, ROOTS)
      if ('refused' in compiled) at.error(['set', name, 'cel'], compiled.refused)
    }
  },
  texts: ({ set }) =>
    Object.entries(set)
      .filter(([, v]) => expressionOf(v) === undefined)
      .map(([name, source]) => ({ path: ['set', name], source })),
  lookups: ({ set }, tests) =>
    Object.entries(set).flatMap(([name, value]) => {
      const source = expressionOf(value)
      const compiled = source === undefined ? undefined : tests.expression(source, ROOTS)
      return compiled && 'reads' in compiled
        ? compiled.reads.map((reads) => ({ path: ['set', name, 'cel'], reads }))
        : []
    }),
  prepare({ set }, tests) {
    const fields = Object.keys(set).map((name) => [name, compute(own(set, name)!, tests)] as const)
    return {
      enter(at) {
        const missing: string[] = []
        const seen = variables(at)
        const body: Record<string, Json> = {}
        for (const [name, value] of fields) {
          const is = value(seen, missing)
          if ('error' in is)
            return failed(opening(at, missing), { code: 'expression_failed', message: `${name}: ${is.error}` })
          setOwn(body, name, is.value)
        }
        return { to: 'end', record: opening(at, missing), over: { result: good(body) } }
      },
    }
  },
}

/** `{cel: "…"}` and nothing else. */
function expressionOf(value: Json): string | undefined {
  if (!isObject(value) || Object.keys(value).join() !== 'cel') return undefined
  const source = own(value, 'cel')
  return typeof source === 'string' ? source : undefined
}

type Computed = { readonly value: Json } | { readonly error: string }
function compute(value: Json, tests: BranchTests): (seen: Variables, missing: string[]) => Computed {
  const source = expressionOf(value)
  if (source === undefined) {
    const template = compileTemplate(value)
    return (seen, missing) => ({ value: template.render(seen, missing) })
  }
  const expression = tests.expression(source, ROOTS)
  if ('refused' in expression) return () => ({ error: expression.refused })
  return (seen) => expression.evaluate(seen)
}
