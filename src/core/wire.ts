import { z } from 'zod'
import { CENTURY_SECONDS } from './duration.ts'
import { type FieldError, Problem } from './errors.ts'
import { isObject, type JsonObject, own } from './json.ts'
import { didYouMean } from './nearest.ts'
import { IN_WORDS } from './words.ts'

/** A name as callers may choose it: 1 to 128 characters, none of them a control character. */
export const wireName = z
  .string()
  .min(1, 'must not be empty')
  .max(128, 'longer than 128 characters')
  .refine((s) => !/[\u0000-\u001f\u007f-\u009f]/.test(s), 'holds a control character')
  .refine((s) => s.isWellFormed(), 'is not well-formed Unicode')

/** The same, of what has an address that ends in it: those two are ways through folders, and never arrive. */
export const wirePathName = wireName.refine((s) => s !== '.' && s !== '..', 'could not stand in an address')

/** A count, from 1 up. */
export const wireCount = z.int('expected a whole number').min(1, 'must be at least 1')

/** How long something ended is kept, in whole seconds: a moment so far away must still be one that can be written down. */
export const wireAge = wireCount.max(CENTURY_SECONDS, `must be at most ${CENTURY_SECONDS}, a hundred years`)

const pointer = (path: readonly PropertyKey[]): string =>
  path.map((p) => `/${String(p).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')

/**
 * Reads a request body; throws Problem 400 `invalid_<what>` that names every field at fault, unknown ones with the nearest known.
 * `further` judges what only meanings and names can tell: it is asked of the fields that are right by themselves, whatever is wrong
 * with the others, so that all is said at once. `told`: pointers of what has been said already.
 */
export function parseWire<S extends z.ZodObject>(
  schema: S,
  body: unknown,
  what: string,
  further?: (fields: Partial<z.output<S>>, told: ReadonlySet<string>) => readonly FieldError[],
): z.output<S> {
  const fields = isObject(body) ? given(body) : body
  const read = schema.safeParse(fields, { ...IN_WORDS, reportInput: true })
  if (read.success) {
    const errors = further?.(read.data, new Set()) ?? []
    if (errors.length > 0) throw invalid(what, errors)
    return read.data
  }
  const known = Object.keys(schema.shape)
  const errors = read.error.issues.flatMap((issue): FieldError[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          pointer: pointer([...issue.path, key]),
          message: `unknown field${issue.path.length === 0 ? didYouMean(key, known) : ''}`,
        }))
      : [{ pointer: pointer(issue.path), message: missing(issue) ? 'is required' : issue.message }],
  )
  if (further && isObject(fields)) {
    const told = new Set(errors.map((e) => e.pointer))
    const more = further(rightOnes(schema, fields) as Partial<z.output<S>>, told)
    errors.push(...more.filter((e) => !told.has(e.pointer)))
  }
  throw invalid(what, errors)
}

/** The fields that their own schemas take, defaults filled in. */
export function rightOnes(schema: z.ZodObject, fields: JsonObject | object): object {
  const right: { [key: string]: unknown } = {}
  for (const [key, field] of Object.entries(schema.shape)) {
    const read = (field as z.ZodType).safeParse(own(fields as JsonObject, key), IN_WORDS)
    if (read.success && read.data !== undefined) right[key] = read.data
  }
  return right
}

export const invalid = (what: string, errors: readonly FieldError[]): Problem =>
  new Problem(400, `invalid_${what}`, errors.length === 1 ? 'a field is wrong' : 'fields are wrong', { errors })

/** A field that is null is one that is not there, as in an action. */
const given = (body: JsonObject): object => Object.fromEntries(Object.entries(body).filter(([, v]) => v !== null))

const MISSING: readonly (string | undefined)[] = ['invalid_type', 'invalid_value', 'invalid_union']
const missing = (issue: z.core.$ZodIssue): boolean => MISSING.includes(issue.code) && issue.input === undefined

/** An edit whose `If-Match` names another version than the one in force. */
export const preconditionFailed = (what: string): Problem =>
  new Problem(412, 'precondition_failed', `the ${what} has changed since it was read; read it again`)
