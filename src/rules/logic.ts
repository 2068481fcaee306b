import type { Redact } from '../core/redact.ts'
import type { Field, FieldContext } from './fields.ts'
import type { Report } from './located.ts'
import type { Draft, Notes } from './stage.ts'

export type Test = (draft: Draft) => boolean
/** Equalities without which a condition cannot hold: by field, the values of which one must be there. */
export type Required = ReadonlyMap<string, { readonly field: Field; readonly values: ReadonlySet<Scalar> }>
export type Scalar = string | number | boolean
export interface Condition {
  readonly test: Test
  readonly required: Required
}
export interface ConditionContext extends FieldContext {
  readonly report: Report
  readonly redact: Redact
}

export const NOTHING_REQUIRED: Required = new Map()
/** Stands in for what could not be compiled, and was reported. */
export const NEVER: Condition = { test: () => false, required: NOTHING_REQUIRED }
export const always: Condition = { test: () => true, required: NOTHING_REQUIRED }

export const SHAPES = ['all', 'any', 'not', 'field', 'cel'] as const
export const LEAF_KEYS: readonly string[] = ['field', 'ignore_case']

export function negated(d: Draft, test: Test): boolean {
  const held = test(d)
  if (d.notes) d.notes.why = `not (${d.notes.why})`
  return !held
}

/** With notes, the last part that was asked decided; when every part was needed, all are told. */
export function allOf(parts: readonly Condition[]): Condition {
  const tests = parts.map((p) => p.test)
  return {
    required: requiredByAll(parts),
    test(d) {
      if (d.notes) return noted(d, d.notes, tests, false, '; ')
      for (let i = 0; i < tests.length; i++) if (!tests[i]!(d)) return false
      return true
    },
  }
}
export function anyOf(parts: readonly Condition[]): Condition {
  const tests = parts.map((p) => p.test)
  return {
    required: requiredByAny(parts),
    test(d) {
      if (d.notes) return noted(d, d.notes, tests, true, ' | ')
      for (let i = 0; i < tests.length; i++) if (tests[i]!(d)) return true
      return false
    },
  }
}
const LONGEST_WHY = 600
function noted(d: Draft, notes: Notes, tests: readonly Test[], decisive: boolean, joint: string): boolean {
  const whys: string[] = []
  for (const test of tests) {
    if (test(d) === decisive) return decisive
    whys.push(notes.why)
  }
  const why = whys.join(joint)
  notes.why = why.length > LONGEST_WHY ? `${why.slice(0, LONGEST_WHY)}…` : why
  return !decisive
}

function requiredByAll(parts: readonly Condition[]): Required {
  const out = new Map<string, { field: Field; values: ReadonlySet<Scalar> }>()
  for (const { required } of parts)
    for (const [text, r] of required) {
      const other = out.get(text)
      if (!other || r.values.size < other.values.size) out.set(text, r)
    }
  return out
}
function requiredByAny(parts: readonly Condition[]): Required {
  const [first, ...rest] = parts
  const out = new Map<string, { field: Field; values: ReadonlySet<Scalar> }>()
  for (const [text, { field, values }] of first?.required ?? []) {
    const all = new Set(values)
    const everywhere = rest.every((p) => {
      const r = p.required.get(text)
      for (const v of r?.values ?? []) all.add(v)
      return r !== undefined
    })
    if (everywhere) out.set(text, { field, values: all })
  }
  return out
}
