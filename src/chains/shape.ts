import { z } from 'zod'
import { isObject, type Json } from '../core/json.ts'

/** A name of a provider, chain or action type, as everywhere on the wire. */
export const label = z
  .string()
  .min(1)
  .max(128)
  .refine((s) => !/[\u0000-\u001f\u007f]/.test(s), 'must have no control characters')

/** Step names stand in dotted paths and templates. */
export const stepName = label.refine((s) => !/[.{}\s]/.test(s), 'must have no dots, braces or spaces')

const DEEPEST = 64

/** TOML has values JSON has not (dates, infinity), and zod's records lose `__proto__`: so checked, not copied. */
function isJson(v: unknown, depth = 0): v is Json {
  if (depth > DEEPEST) return false
  if (v === null || typeof v === 'string' || typeof v === 'boolean') return true
  if (typeof v === 'number') return Number.isFinite(v)
  if (Array.isArray(v)) return v.every((x) => isJson(x, depth + 1))
  if (!isObject(v)) return false
  const proto: unknown = Object.getPrototypeOf(v)
  return (proto === null || proto === Object.prototype) && Object.keys(v).every((k) => isJson(v[k], depth + 1))
}
export const json = z.custom<Json>((v) => isJson(v), 'must be JSON data: text, numbers, true, false, lists and tables')

/** Up to a year. */
export const timeoutSeconds = z.number().positive().max(31_536_000)

export const commonStep = {
  name: stepName,
  branches: z
    .array(
      z.strictObject({
        field: z.string().min(1),
        operator: z.string().min(1),
        value: json.optional(),
        target: z.string().min(1),
      }),
    )
    .optional(),
  default_next: z.string().min(1).optional(),
  timeout_seconds: timeoutSeconds.optional(),
}

/** A chain with its steps not yet looked at: they are checked one by one, each by its kind. */
export const chainShape = z.strictObject({
  name: label,
  timeout_seconds: timeoutSeconds.optional(),
  steps: z.array(z.unknown()).min(1).max(50),
})
