import type { Json } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Redact } from '../core/redact.ts'
import { operators, operatorWords } from './conditions/index.ts'
import { compileField, type Field, shownValue } from './fields.ts'
import { kindOf, type Located, type Report, scalar, shownOperand } from './located.ts'
import {
  allOf,
  type Condition,
  type ConditionContext,
  LEAF_KEYS,
  NEVER,
  NOTHING_REQUIRED,
  type Required,
  type Scalar,
  SHAPES,
  type Test,
} from './logic.ts'
import { type Compare, MISMATCH, type Operator, YES } from './operator.ts'
import type { Notes } from './stage.ts'

/** `field:` with one or more operators, all of which must hold. */
export function compileLeaf(node: Located, context: ConditionContext): Condition {
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
    const names = operators.map((o) => o.name).join(', ')
    const expected = `expected ${names} or one of these with not_ before it`
    report.error(keyAt, `unknown operator "${word}"; ${expected}${didYouMean(word, known)}`)
    return undefined
  }
  const { operator, negated } = found
  if (ignoreCase && !operator.ignoresCase) {
    report.error(keyAt, `"ignore_case" does not go with "${word}", only with operators on text`)
    return undefined
  }
  const range = typeof field === 'string' ? undefined : field.range
  const value = operator.ordered || range ? numbers(operand) : operand.value
  const parsed = operator.operand.safeParse(value)
  if (!parsed.success) {
    report.error(operand.at, `"${word}" expects ${operator.expects}, not ${kindOf(value)}`)
    return undefined
  }
  if (typeof field === 'string') return undefined
  if (field.words && (operator.name === 'eq' || operator.name === 'in'))
    for (const item of operand.items ?? [operand]) checkWord(item, field.text, field.words, report)
  if (range) checkNumbers(operand, operator, field.text, range, report)
  const folded = ignoreCase || (field.words !== undefined && operator.ignoresCase)
  const compare = operator.compile(parsed.data, folded)
  if (typeof compare !== 'function') {
    const round = range ? '; a span over the end, as over midnight, is two in an any' : ''
    report.error(operand.at, compare.refused + round)
    return undefined
  }
  const said = `${field.text} ${word} ${show(asked(field, operator, operand, redact))}`
  const required = negated || folded ? NOTHING_REQUIRED : equality(operator.name, field, value)
  return { required, test: leafTest(field, compare, negated, said, seen(field, redact)) }
}

/** What a field can never be would make a condition that never holds, or always. */
function checkWord({ value, at }: Located, field: string, words: readonly string[], report: Report): void {
  const word = typeof value === 'string' ? value.toLowerCase() : ''
  if (!words.includes(word))
    report.error(at, `"${field}" is one of ${words.join(', ')}, not ${kindOf(value)}${didYouMean(word, words)}`)
}

/** The same of a number: text, as a quoted "8" is, or an hour there is none of. */
function checkNumbers(
  operand: Located,
  { name, ordered, ignoresCase }: Operator,
  field: string,
  [least, most]: readonly [number, number],
  report: Report,
): void {
  const equal = name === 'eq' || name === 'in'
  if (!equal && !ordered) {
    if (ignoresCase) report.error(operand.at, `"${name}" looks into text, and "${field}" is a number`)
    return
  }
  for (const item of operand.items ?? [operand]) {
    const value = numbers(item)
    const possible =
      typeof value === 'number' && (ordered || (Number.isInteger(value) && value >= least && value <= most))
    if (!possible) report.error(item.at, `"${field}" is a whole number from ${least} to ${most}, not ${kindOf(value)}`)
  }
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

/** What is compared with, as a trace shows it: an equal text would tell what a hidden field holds. Limits are shown as the numbers they are. */
function asked(field: Field, { ordered }: Operator, operand: Located, redact: Redact): Json {
  const shown = shownOperand(operand)
  if (!ordered) return typeof shown === 'boolean' ? shown : shownValue(field, shown, redact)
  const limits = numbers(operand)
  return [limits].flat().every((n) => typeof n === 'number') ? limits : shown
}

const show = (v: Json): string => {
  const text = JSON.stringify(v)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
const seen =
  (field: Field, redact: Redact) =>
  (v: Json | undefined): string =>
    v === undefined ? 'nothing' : show(shownValue(field, v, redact))
