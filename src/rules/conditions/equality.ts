import { z } from 'zod'
import { type Compare, kind, lower, MISMATCH, NO, type Operator, sameJson, YES } from '../operator.ts'

const anything = z.json()

export const eq: Operator = {
  name: 'eq',
  operand: anything,
  expects: 'a value',
  ignoresCase: true,
  compile(operand, ignoreCase): Compare {
    if (operand === null) return (v) => (v === undefined || v === null ? YES : NO)
    if (typeof operand === 'string') {
      if (!ignoreCase) return (v) => (v === operand ? YES : typeof v === 'string' ? NO : MISMATCH)
      const folded = operand.toLowerCase()
      return (v) => (typeof v !== 'string' ? MISMATCH : v.toLowerCase() === folded ? YES : NO)
    }
    const type = kind(operand)
    if (typeof operand !== 'object') return (v) => (v === operand ? YES : kind(v) === type ? NO : MISMATCH)
    return (v) => (kind(v) !== type ? MISMATCH : sameJson(v, operand) ? YES : NO)
  },
}

export const isIn: Operator = {
  name: 'in',
  operand: z.array(anything).min(1),
  expects: 'a list of values',
  ignoresCase: true,
  compile(operand, ignoreCase): Compare {
    const list = (Array.isArray(operand) ? operand : [operand]).map((o) => (ignoreCase ? (lower(o) ?? null) : o))
    const scalars = new Set(list.filter((o) => typeof o !== 'object' || o === null))
    const others = list.filter((o) => typeof o === 'object' && o !== null)
    const kinds = new Set(list.map(kind))
    return (value) => {
      const v = (ignoreCase ? lower(value) : value) ?? null
      if (scalars.has(v) || others.some((o) => sameJson(o, v))) return YES
      return kinds.has(kind(v)) ? NO : MISMATCH
    }
  },
}
