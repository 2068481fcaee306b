import { didYouMean } from '../core/nearest.ts'
import { compileCel } from './cel.ts'
import { operatorWords } from './conditions/index.ts'
import { listOf } from './document.ts'
import { compileLeaf } from './leaf.ts'
import { kindOf, type Located } from './located.ts'
import {
  allOf,
  anyOf,
  type Condition,
  type ConditionContext,
  LEAF_KEYS,
  NEVER,
  NOTHING_REQUIRED,
  negated,
  SHAPES,
} from './logic.ts'

export const MAX_NESTING = 16

/** Compiles a condition tree once. Everything wrong is reported at its place; the result is then never used. */
export function compileCondition(node: Located, context: ConditionContext, depth = 1): Condition {
  const { report } = context
  const fail = (at: number, message: string): Condition => {
    report.error(at, message)
    return NEVER
  }
  if (depth > MAX_NESTING) return fail(node.at, `conditions nest to ${MAX_NESTING} levels, not more`)
  const { fields } = node
  if (!fields)
    return fail(node.at, `a condition must be a mapping with ${SHAPES.join(', ')}, not ${kindOf(node.value)}`)
  const shapes = SHAPES.filter((s) => fields.has(s))
  const [shape] = shapes
  if (shape === undefined) return fail(...noShape(node))
  if (shapes.length > 1)
    return fail(
      fields.get(shapes[1]!)!.keyAt,
      `"${shapes[1]}" beside "${shape}": a condition has one of ${SHAPES.join(', ')}`,
    )
  if (shape === 'field') return compileLeaf(node, context)
  for (const [key, { keyAt }] of fields)
    if (key !== shape) report.error(keyAt, `unknown key "${key}" beside "${shape}"${didYouMean(key, [shape])}`)
  const inner = fields.get(shape)!.node
  if (shape === 'cel') return compileCelCondition(inner, context)
  if (shape === 'not') {
    const { test } = compileCondition(inner, context, depth + 1)
    return { required: NOTHING_REQUIRED, test: (d) => negated(d, test) }
  }
  const items = listOf(inner, `"${shape}"`, report)
  if (inner.items && items.length === 0) return fail(inner.at, `"${shape}" must hold at least one condition`)
  const parts = items.map((item) => compileCondition(item, context, depth + 1))
  return shape === 'all' ? allOf(parts) : anyOf(parts)
}

function noShape(node: Located): [number, string] {
  for (const [key, { keyAt }] of node.fields ?? []) {
    const near = didYouMean(key, [...SHAPES, ...LEAF_KEYS])
    return operatorWords.has(key)
      ? [keyAt, `"${key}" needs a "field" beside it`]
      : [keyAt, `unknown key "${key}"; a condition has one of ${SHAPES.join(', ')}${near}`]
  }
  return [node.at, `a condition must have one of ${SHAPES.join(', ')}; leave "condition" out for always`]
}

function compileCelCondition(node: Located, { report, zone, env }: ConditionContext): Condition {
  if (typeof node.value !== 'string') {
    report.error(node.at, `"cel" must be text, not ${kindOf(node.value)}`)
    return NEVER
  }
  const source = node.value
  const run = compileCel(source, { zone, env })
  if ('refused' in run) {
    report.error(node.at, run.refused)
    return NEVER
  }
  return {
    required: NOTHING_REQUIRED,
    test(d) {
      const answer = run.evaluate(d)
      if (typeof answer === 'string') d.failure ??= answer
      if (d.notes) d.notes.why = `cel is ${typeof answer === 'string' ? `in error: ${answer}` : answer}`
      return answer === true
    },
  }
}
