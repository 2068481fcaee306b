import type { z } from 'zod'
import { isObject, type Json, own } from '../core/json.ts'

/** What a comparison says. MISMATCH is a no because the kinds differ: the trace tells. */
export const NO = 0
export const YES = 1
export const MISMATCH = 2
export type Verdict = typeof NO | typeof YES | typeof MISMATCH
/** Never throws; a missing value is null. */
export type Compare = (value: Json | undefined) => Verdict
export interface Refused {
  readonly refused: string
}

/** A condition operator: one file of its family, one line in conditions/index.ts. Its negation `not_<name>` comes of itself. */
export interface Operator {
  readonly name: string
  /** What may stand behind it in a rule file. */
  readonly operand: z.ZodType<Json>
  /** The same in words, for the message of a bad one. */
  readonly expects: string
  /** Whether `ignore_case: true` may stand beside it. */
  readonly ignoresCase: boolean
  /** Compares by size, so a quoted `${…}` that reads as a number is one. */
  readonly ordered?: boolean
  /** Runs once, at load, with an operand of the schema. */
  compile(operand: Json, ignoreCase: boolean): Compare | Refused
}

/** Equality by value: int and float alike, objects whatever the order of their keys. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b || (a ?? null) === (b ?? null)) return true
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((x: Json, i) => sameJson(x, (b as readonly Json[])[i]))
  if (!isObject(a) || !isObject(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((k) => Object.hasOwn(b, k) && sameJson(own(a, k), own(b, k)))
}

export type Kind = 'null' | 'text' | 'number' | 'boolean' | 'list' | 'mapping'
export function kind(v: Json | undefined): Kind {
  if (v === undefined || v === null) return 'null'
  if (typeof v === 'string') return 'text'
  if (typeof v === 'number') return 'number'
  if (typeof v === 'boolean') return 'boolean'
  return Array.isArray(v) ? 'list' : 'mapping'
}
export const lower = (v: Json | undefined): Json | undefined => (typeof v === 'string' ? v.toLowerCase() : v)
