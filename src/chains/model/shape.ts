import { z } from 'zod'
import { isObject, type Json } from '../../core/json.ts'
import { priorities } from './definition.ts'

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

/** Up to a day. */
const waitMs = z.int().min(0).max(86_400_000)

const retryPolicy = z.strictObject({
  max_attempts: z.int().min(1).max(100),
  backoff: z.enum(['fixed', 'linear', 'exponential']).optional(),
  initial_ms: waitMs.optional(),
  max_ms: waitMs.optional(),
})

/** What any step may have. Inside a group, what says where to go is refused afterwards, by name. */
export const commonStep = {
  name: stepName,
  needs: z.array(z.string().min(1)).optional(),
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
  delay_seconds: z.number().min(0).max(31_536_000).optional(),
  retry: retryPolicy.optional(),
  on_failure: z.string().min(1).optional(),
  allow_failure: z.boolean().optional(),
  compensate: z
    .strictObject({
      provider: label,
      action_type: label,
      payload_template: json.optional(),
      retry: retryPolicy.optional(),
    })
    .optional(),
  cache_ttl_seconds: timeoutSeconds.optional(),
  cache_key: z.string().min(1).optional(),
}

/** Members of a group: what is open is in the execution's record, and that stays small. */
const MOST_AT_ONCE = 100

/** What `parallel` and `for_each` have in common. */
export const groupKeys = {
  join: z.union([z.enum(['all', 'any']), z.int().min(1)], 'must be all, any or a number').optional(),
  on_failure: z.enum(['fail_fast', 'best_effort']).optional(),
  max_concurrency: z.int().min(1).max(MOST_AT_ONCE).optional(),
}

/** Steps of a chain, those inside groups included. */
export const MAX_STEPS = 50
const attributes = z
  .custom<{ readonly [name: string]: string }>(
    (v) =>
      isObject(v) &&
      Object.keys(v).length <= 10 &&
      // A search asks for name:value.
      Object.entries(v).every(([k, x]) => label.safeParse(k).success && !k.includes(':') && typeof x === 'string'),
    'must be a table of at most 10 names without a colon, each with a text',
  )
  .meta({ type: 'object' })
  .optional()

/** A chain with its steps not yet looked at: they are checked one by one, each by its kind. */
export const chainShape = z.strictObject({
  name: label,
  description: z.string().max(1000).optional(),
  enabled: z.boolean().optional(),
  timeout_seconds: timeoutSeconds.optional(),
  priority: z.enum(priorities).optional(),
  max_concurrent: z.int().min(1).max(10_000).optional(),
  lock_by: z.string().min(1).max(256).optional(),
  reentrant: z.boolean().optional(),
  attributes,
  steps: z.array(z.unknown()).min(1).max(MAX_STEPS),
})
