import type { Json } from '../../core/json.ts'
import { compileExpression } from '../cel.ts'
import { type Operator, YES } from '../operator.ts'
import { eq, isIn } from './equality.ts'
import { matches } from './matches.ts'
import { between, gt, gte, lt, lte } from './ordering.ts'
import { exists, isEmpty } from './presence.ts'
import { contains, endsWith, startsWith } from './text.ts'

/** Every condition operator. To add one: write it in its family's file, add it here. */
export const operators: readonly Operator[] = [
  eq,
  gt,
  gte,
  lt,
  lte,
  between,
  contains,
  startsWith,
  endsWith,
  matches,
  isIn,
  exists,
  isEmpty,
]

/** An operator's word in a rule file. `negated`: the exact negation, whatever the value. */
export interface OperatorWord {
  readonly operator: Operator
  readonly negated: boolean
}

function wordTable(): ReadonlyMap<string, OperatorWord> {
  const words = new Map<string, OperatorWord>()
  for (const operator of operators) {
    words.set(operator.name, { operator, negated: false })
    words.set(`not_${operator.name}`, { operator, negated: true })
  }
  const alias = (word: string, operator: Operator, negated = false) => words.set(word, { operator, negated })
  alias('ne', eq, true)
  alias('not_ne', eq)
  alias('neq', eq, true)
  alias('equals', eq)
  alias('not_equals', eq, true)
  alias('greater_than', gt)
  alias('less_than', lt)
  alias('regex', matches)
  alias('in_list', isIn)
  alias('not_in_list', isIn, true)
  alias('is_not_empty', isEmpty, true)
  return words
}
export const operatorWords = wordTable()

/** Operators and CEL for those who compare outside of rules, as chains do. `compile` answers what is wrong as text. */
export const comparisons = {
  operators: [...operatorWords.keys()],
  compile(word: string, operand: Json | undefined): ((value: Json | undefined) => boolean) | string {
    const found = operatorWords.get(word)
    if (!found) return `there is no operator "${word}"`
    const { operator, negated } = found
    const parsed = operator.operand.safeParse(operand)
    if (!parsed.success) return `"${word}" expects ${operator.expects}`
    const compare = operator.compile(parsed.data, false)
    if (typeof compare !== 'function') return compare.refused
    return (value) => (compare(value) === YES) !== negated
  },
  expression: compileExpression,
}
