import { z } from 'zod'
import { type Compare, lower, MISMATCH, NO, type Operator, sameJson, YES } from '../operator.ts'

/** Text holds a text, or a list holds a value. */
export const contains: Operator = {
  name: 'contains',
  operand: z.union([z.string(), z.number(), z.boolean(), z.null()]),
  expects: 'text, a number, true, false or null',
  ignoresCase: true,
  compile(operand, ignoreCase): Compare {
    const wanted = ignoreCase ? (lower(operand) ?? null) : operand
    const fold = ignoreCase ? lower : <T>(v: T): T => v
    return (v) => {
      if (typeof v === 'string') {
        if (typeof wanted !== 'string') return MISMATCH
        return (ignoreCase ? v.toLowerCase() : v).includes(wanted) ? YES : NO
      }
      return Array.isArray(v) ? (v.some((item) => sameJson(fold(item), wanted)) ? YES : NO) : MISMATCH
    }
  },
}

function affix(name: string, has: (text: string, part: string) => boolean): Operator {
  return {
    name,
    operand: z.string(),
    expects: 'text',
    ignoresCase: true,
    compile(operand, ignoreCase): Compare {
      const part = ignoreCase ? String(operand).toLowerCase() : String(operand)
      return (v) => (typeof v !== 'string' ? MISMATCH : has(ignoreCase ? v.toLowerCase() : v, part) ? YES : NO)
    },
  }
}
export const startsWith = affix('starts_with', (t, p) => t.startsWith(p))
export const endsWith = affix('ends_with', (t, p) => t.endsWith(p))
