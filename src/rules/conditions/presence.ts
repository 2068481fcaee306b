import { z } from 'zod'
import { isObject, type Json } from '../../core/json.ts'
import { type Compare, NO, type Operator, YES } from '../operator.ts'

function presence(name: string, is: (v: Json | undefined) => boolean): Operator {
  return {
    name,
    operand: z.boolean(),
    expects: 'true or false',
    ignoresCase: false,
    compile:
      (operand): Compare =>
      (v) =>
        is(v) === operand ? YES : NO,
  }
}

/** There and not null: a missing field is null, so the two are one. */
export const exists = presence('exists', (v) => v !== undefined && v !== null)

/** Missing, null, "", [] or {}. */
export const isEmpty = presence('is_empty', (v) => {
  if (v === undefined || v === null || v === '') return true
  if (Array.isArray(v)) return v.length === 0
  return isObject(v) && Object.keys(v).length === 0
})
