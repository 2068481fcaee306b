import { type Action, actionFields } from '../core/action.ts'
import { follow, isObject, type Json, own } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Redact } from '../core/redact.ts'
import { isTimeField, timeFields, timeRanges, WEEKDAYS, type Zone } from './time.ts'

/** Where a condition or a key reads. Missing is undefined, at any depth. */
export interface Field {
  /** The whole path, as in `action.payload.floor`. */
  readonly text: string
  /** The path cut at its dots, below `action`; undefined for `time.*` and `env.*`. */
  readonly path?: readonly string[]
  /** The only texts it can be; they are compared without regard to case. */
  readonly words?: readonly string[]
  /** The least and the greatest whole number it can be, where it is always one. */
  readonly range?: readonly [number, number]
  read(at: { readonly action: Action; readonly now: number }): Json | undefined
}
export interface FieldContext {
  readonly zone: Zone
  /** The allow-listed names, each with its value if it has one. */
  readonly env: ReadonlyMap<string, string | undefined>
}

type ActionField = (typeof actionFields)[number]
const isActionField = (s: string): s is ActionField => (actionFields as readonly string[]).includes(s)

/** `action.…`, `time.…` or `env.NAME`; what is wrong with it as text otherwise. */
export function compileField(text: string, context: FieldContext): Field | string {
  const [root = '', ...path] = text.split('.')
  if (path.includes('')) return `"${text}" has an empty part between its dots`
  if (root === 'action') return actionField(text, path)
  const [name = ''] = path
  if (path.length !== 1 || (root !== 'time' && root !== 'env')) return unknownRoot(text, root)
  if (root === 'time') {
    if (!isTimeField(name))
      return `there is no "${text}"; time has ${timeFields.join(', ')}${didYouMean(name, timeFields)}`
    const { zone } = context
    const range = timeRanges[name]
    const only = { ...(name === 'weekday' && { words: WEEKDAYS }), ...(range && { range }) }
    return { text, ...only, read: (at) => zone.field(name, at.now) }
  }
  if (!context.env.has(name))
    return `the environment variable ${name} is not in [rules].env${didYouMean(name, context.env.keys())}`
  const value = context.env.get(name)
  return { text, read: () => value }
}

const ROOTS = ['action', 'time', 'env']
function unknownRoot(text: string, root: string): string {
  if (root === 'payload' || root === 'metadata') return `"${text}" is written "action.${text}" here`
  if (ROOTS.includes(root)) return `"${text}" is not a field; "${root}." is followed by one name`
  const near = isActionField(root) ? `; did you mean "action.${text}"?` : didYouMean(root, ROOTS)
  return `"${text}" is not a field; fields begin with action., time. or env.${near}`
}

function actionField(text: string, path: readonly string[]): Field | string {
  const [first, ...rest] = path
  if (first === undefined || !isActionField(first))
    return `there is no field "${text}"${didYouMean(first ?? '', actionFields) || '; what callers add is below action.payload'}`
  if (first === 'metadata' && rest.length > 0) {
    // Metadata is flat, so the dots of `app.kubernetes.io/name` are its key's.
    const key = rest.join('.')
    return { text, path: ['metadata', key], read: ({ action }) => own(action.metadata, key) }
  }
  if (first !== 'payload') {
    if (rest.length > 0) return `"action.${first}" is text and has no parts`
    return { text, path: [first], read: ({ action }) => action[first] }
  }
  const [key, ...deeper] = rest
  if (key === undefined) return { text, path: ['payload'], read: ({ action }) => action.payload }
  const member = reader(key)
  if (deeper.length === 0) return { text, path, read: ({ action }) => member(action.payload) }
  return { text, path, read: ({ action }) => follow(member(action.payload), deeper) }
}

/** A payload is plain data: only keys that every object inherits need the slower question whether they are its own. */
const reader = (key: string): ((o: { readonly [key: string]: Json }) => Json | undefined) =>
  key in Object.prototype ? (o) => own(o, key) : (o) => o[key]

/** `payload.x` and `metadata.x` in a list of keys mean `action.payload.x` and `action.metadata.x`. */
export const wholePath = (text: string): string => (/^(payload|metadata)(\.|$)/.test(text) ? `action.${text}` : text)

/** A field's value as people may see it: redacted as if it stood in the record, under its own path. */
export function shownValue(field: Field, value: Json, redact: Redact): Json {
  const path = field.path ?? []
  let nested: Json = value
  for (const key of path.toReversed()) nested = { [key]: nested }
  nested = redact(nested)
  for (const key of path) {
    if (!isObject(nested)) return nested // hidden further up
    nested = own(nested, key) ?? null
  }
  return nested
}
