import { z } from 'zod'
import { MISMATCH, NO, type Operator, YES } from '../operator.ts'
import { compilePattern } from '../pattern.ts'

/** Finds the pattern anywhere; `^` and `$` tie it down. */
export const matches: Operator = {
  name: 'matches',
  operand: z.string(),
  expects: 'a regular expression (RE2 syntax)',
  ignoresCase: true,
  compile(operand, ignoreCase) {
    const pattern = compilePattern(String(operand), ignoreCase)
    if (typeof pattern !== 'function') return { refused: `"matches" has a bad regular expression: ${pattern.refused}` }
    return (v) => (typeof v !== 'string' ? MISMATCH : pattern(v) ? YES : NO)
  },
}
