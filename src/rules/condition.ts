import { type Json, own } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Redact } from '../core/redact.ts'
import { compileCel } from './cel.ts'
import { operatorWords } from './conditions/index.ts'
import { listOf } from './document.ts'
import { compileField, type Field, type FieldContext } from './fields.ts'
import { kindOf, type Located, type Report, scalar } from './located.ts'
import { type Compare, MISMATCH, YES } from './operator.ts'
import type { Draft, Notes } from './stage.ts'

export type Test = (draft: Draft) => boolean
/** Equalities without which a condition cannot hold: by field, the values of which one must be there. */
export type Required = ReadonlyMap<string, { readonly field: Field; readonly values: ReadonlySet<Scalar> }>
export type Scalar = string | number | boolean
export interface Condition {
  readonly test: Test
  readonly required: Required
}
export interface ConditionContext extends FieldContext {
  readonly report: Report
  readonly redact: Redact
}

export const MAX_NESTING = 16
const NOTHING_REQUIRED: Required = new Map()
const NEVER: Condition = { test: () => false, required: NOTHING_REQUIRED }
export const always: Condition = { test: () => true, required: NOTHING_REQUIRED }

const SHAPES = ['all', 'any', 'not', 'field', 'cel'] as const
const LEAF_KEYS = ['field', 'ignore_case']

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

function negated(d: Draft, test: Test): boolean {
  const held = test(d)
  if (d.notes) d.notes.why = `not (${d.notes.why})`
  return !held
}

/** With notes, the last part that was asked decided; when every part was needed, all are told. */
function allOf(parts: readonly Condition[]): Condition {
  const tests = parts.map((p) => p.test)
  return {
    required: requiredByAll(parts),
    test(d) {
      if (d.notes) return noted(d, d.notes, tests, false, '; ')
      for (let i = 0; i < tests.length; i++) if (!tests[i]!(d)) return false
      return true
    },
  }
}
function anyOf(parts: readonly Condition[]): Condition {
  const tests = parts.map((p) => p.test)
  return {
    required: requiredByAny(parts),
    test(d) {
      if (d.notes) return noted(d, d.notes, tests, true, ' | ')
      for (let i = 0; i < tests.length; i++) if (tests[i]!(d)) return true
      return false
    },
  }
}
const LONGEST_WHY = 600
function noted(d: Draft, notes: Notes, tests: readonly Test[], decisive: boolean, joint: string): boolean {
  const whys: string[] = []
  for (const test of tests) {
    if (test(d) === decisive) return decisive
    whys.push(notes.why)
  }
  const why = whys.join(joint)
  notes.why = why.length > LONGEST_WHY ? `${why.slice(0, LONGEST_WHY)}…` : why
  return !decisive
}

function requiredByAll(parts: readonly Condition[]): Required {
  const out = new Map<string, { field: Field; values: ReadonlySet<Scalar> }>()
  for (const { required } of parts)
    for (const [text, r] of required) {
      const other = out.get(text)
      if (!other || r.values.size < other.values.size) out.set(text, r)
    }
  return out
}
function requiredByAny(parts: readonly Condition[]): Required {
  const [first, ...rest] = parts
  const out = new Map<string, { field: Field; values: ReadonlySet<Scalar> }>()
  for (const [text, { field, values }] of first?.required ?? []) {
    const all = new Set(values)
    const everywhere = rest.every((p) => {
      const r = p.required.get(text)
      for (const v of r?.values ?? []) all.add(v)
      return r !== undefined
    })
    if (everywhere) out.set(text, { field, values: all })
  }
  return out
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

function compileLeaf(node: Located, context: ConditionContext): Condition {
  const { report } = context
  const name = node.fields!.get('field')!.node
  if (typeof name.value !== 'string') {
    report.error(name.at, `"field" must be text, not ${kindOf(name.value)}`)
    return NEVER
  }
  const field = compileField(name.value, context)
  if (typeof field === 'string') report.error(name.at, field)
  const fold = node.fields!.get('ignore_case')?.node
  if (fold && typeof fold.value !== 'boolean')
    report.error(fold.at, `"ignore_case" must be true or false, not ${kindOf(fold.value)}`)
  const ignoreCase = fold?.value === true
  const parts: Condition[] = []
  for (const [word, { keyAt, node: operand }] of node.fields!) {
    if (LEAF_KEYS.includes(word)) continue
    const part = compileWord(word, keyAt, operand, field, ignoreCase, context)
    if (part) parts.push(part)
  }
  if (parts.length === 0 && node.fields!.size === (fold ? 2 : 1))
    report.error(node.at, `"field" needs an operator beside it, such as eq, gt or exists`)
  const [only] = parts
  return parts.length === 1 && only ? only : allOf(parts)
}

function compileWord(
  word: string,
  keyAt: number,
  operand: Located,
  field: Field | string,
  ignoreCase: boolean,
  { report, redact }: ConditionContext,
): Condition | undefined {
  const found = operatorWords.get(word)
  if (!found) {
    const known = [...operatorWords.keys(), ...LEAF_KEYS, ...SHAPES]
    report.error(keyAt, `unknown operator "${word}"${didYouMean(word, known)}`)
    return undefined
  }
  const { operator, negated } = found
  if (ignoreCase && !operator.ignoresCase) {
    report.error(keyAt, `"ignore_case" does not go with "${word}", only with operators on text`)
    return undefined
  }
  const value = operator.ordered ? numbers(operand) : operand.value
  const parsed = operator.operand.safeParse(value)
  if (!parsed.success) {
    report.error(operand.at, `"${word}" expects ${operator.expects}, not ${kindOf(value)}`)
    return undefined
  }
  if (typeof field === 'string') return undefined
  const folded = ignoreCase || (field.ignoresCase === true && operator.ignoresCase)
  const compare = operator.compile(parsed.data, folded)
  if (typeof compare !== 'function') {
    report.error(operand.at, compare.refused)
    return undefined
  }
  const said = `${field.text} ${word} ${show(value)}`
  const required = negated || folded ? NOTHING_REQUIRED : equality(operator.name, field, value)
  return { required, test: leafTest(field, compare, negated, said, seenBy(field, redact)) }
}

/** A quoted `${…}` behind an ordering operator is a number if it reads as one: in flow style it cannot stand unquoted. */
function numbers(node: Located): Json {
  if (node.items) return node.items.map(numbers)
  return node.reference === undefined ? node.value : scalar(node.reference)
}

function leafTest(
  field: Field,
  compare: Compare,
  negated: boolean,
  said: string,
  seen: (v: Json | undefined) => string,
): Test {
  const note = (notes: Notes, value: Json | undefined, mismatch: boolean) => {
    notes.why = `${said}, saw ${seen(value)}`
    if (mismatch) notes.mismatch = true
  }
  return (d) => {
    const value = field.read(d)
    const verdict = compare(value)
    if (d.notes) note(d.notes, value, verdict === MISMATCH)
    return (verdict === YES) !== negated
  }
}

function equality(operator: string, field: Field, operand: Json): Required {
  if (field.path === undefined) return NOTHING_REQUIRED
  const list: readonly Json[] =
    operator === 'eq' ? [operand] : operator === 'in' && Array.isArray(operand) ? operand : []
  const values = new Set<Scalar>()
  for (const v of list) {
    if (typeof v === 'object') return NOTHING_REQUIRED // null is met by what is missing
    values.add(v)
  }
  return values.size === 0 ? NOTHING_REQUIRED : new Map([[field.text, { field, values }]])
}

const show = (v: Json): string => {
  const text = JSON.stringify(v)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
/** The value as the trace may show it: redacted as if it stood in the record, under its own path. */
function seenBy(field: Field, redact: Redact): (v: Json | undefined) => string {
  const path = field.path ?? []
  return (v) => {
    if (v === undefined) return 'nothing'
    let nested: Json = v
    for (const key of path.toReversed()) nested = { [key]: nested }
    nested = redact(nested)
    for (const key of path) {
      if (typeof nested !== 'object' || nested === null || Array.isArray(nested)) return show(nested) // hidden further up
      nested = own(nested, key) ?? null
    }
    return show(nested)
  }
}
