import { z } from 'zod'
import type { Json } from '../../core/json.ts'
import { type Compare, MISMATCH, NO, type Operator, YES } from '../operator.ts'

const size = z.union([z.number(), z.string()])

/** Numbers by value, text by its UTF-16 units; RFC 3339 times of one zone therefore in order of time. */
function ordered(name: string, n: (v: number, o: number) => boolean, s: (v: string, o: string) => boolean): Operator {
  return {
    name,
    operand: size,
    expects: 'a number or text',
    ignoresCase: false,
    ordered: true,
    compile(operand): Compare {
      if (typeof operand === 'number') return (v) => (typeof v !== 'number' ? MISMATCH : n(v, operand) ? YES : NO)
      const text = String(operand)
      return (v) => (typeof v !== 'string' ? MISMATCH : s(v, text) ? YES : NO)
    },
  }
}
export const gt = ordered(
  'gt',
  (v, o) => v > o,
  (v, o) => v > o,
)
export const gte = ordered(
  'gte',
  (v, o) => v >= o,
  (v, o) => v >= o,
)
export const lt = ordered(
  'lt',
  (v, o) => v < o,
  (v, o) => v < o,
)
export const lte = ordered(
  'lte',
  (v, o) => v <= o,
  (v, o) => v <= o,
)

export const between: Operator = {
  name: 'between',
  operand: z.union([z.tuple([z.number(), z.number()]), z.tuple([z.string(), z.string()])]),
  expects: 'a list of two numbers or two texts, both ends included',
  ignoresCase: false,
  ordered: true,
  compile(operand) {
    const [low, high] = operand as readonly Json[] // parsed by the schema above
    if (typeof low === 'number' && typeof high === 'number') {
      if (low > high) return { refused: `"between" expects the smaller end first, not [${low}, ${high}]` }
      return (v) => (typeof v !== 'number' ? MISMATCH : v >= low && v <= high ? YES : NO)
    }
    const from = String(low)
    const to = String(high)
    if (from > to) return { refused: `"between" expects the smaller end first, not ["${from}", "${to}"]` }
    return (v) => (typeof v !== 'string' ? MISMATCH : v >= from && v <= to ? YES : NO)
  },
}
