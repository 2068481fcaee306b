import { z } from 'zod'
import { isObject, type Json, setOwn } from '../core/json.ts'
import { didYouMean } from '../core/nearest.ts'

/** A value of a rule file together with where it stands: offsets into the text. */
export interface Located {
  readonly value: Json
  readonly at: number
  /** The text of a value that was one `${…}` reference: it takes the type its key expects. */
  readonly reference?: string
  /** The text as it stands in the file, where something was put in for a `${…}` of it. */
  readonly written?: string
  readonly fields?: ReadonlyMap<string, LocatedField>
  readonly items?: readonly Located[]
}
export interface LocatedField {
  readonly keyAt: number
  readonly node: Located
}
/** Collects what is wrong with one file; offsets become lines and columns. */
export interface Report {
  error(at: number, message: string): void
  warn(at: number, message: string): void
}

/** A value as those may see it who ask the gateway: what the environment holds is not theirs to know. */
export function shownOperand({ value, items, fields, written }: Located): Json {
  if (items) return items.map(shownOperand)
  if (fields) {
    const out: Record<string, Json> = {}
    for (const [key, { node }] of fields) setOwn(out, key, shownOperand(node))
    return out
  }
  return written ?? value
}

/** The node at a path, or the last that is there: a missing key is reported at the mapping that lacks it. */
export function locate(root: Located, path: readonly PropertyKey[]): Located {
  let node = root
  for (const key of path) {
    const next = typeof key === 'number' ? node.items?.[key] : node.fields?.get(String(key))?.node
    if (!next) return node
    node = next
  }
  return node
}

/** A value in the words of a rule file. */
export function kindOf(v: Json | undefined): string {
  if (v === undefined) return 'nothing'
  if (v === null) return 'null'
  if (Array.isArray(v)) return 'a list'
  if (isObject(v)) return 'a mapping'
  if (typeof v === 'string') return `the text ${JSON.stringify(v.length > 40 ? `${v.slice(0, 40)}…` : v)}`
  return typeof v === 'number' ? `the number ${v}` : `${v}`
}

/** What an unquoted scalar says: a number or boolean as JSON writes it, otherwise text. */
export function scalar(text: string): Json {
  if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) return Number(text)
  return text === 'true' ? true : text === 'false' ? false : text
}

/**
 * Parses with a zod schema and reports every issue where it stands in the file. `keys` are the words an unknown key is
 * compared with. Undefined when something was reported.
 */
export function readAs<S extends z.ZodType>(
  schema: S,
  node: Located,
  report: Report,
  keys: readonly string[],
): z.output<S> | undefined {
  let value = node.value
  let parsed = schema.safeParse(value)
  if (!parsed.success) {
    const recast = parsed.error.issues.filter(
      (i) => i.code === 'invalid_type' && locate(node, i.path).reference !== undefined,
    )
    for (const i of recast) value = put(value, i.path, typed(locate(node, i.path).reference!, expected(i)))
    if (recast.length > 0) parsed = schema.safeParse(value)
  }
  if (parsed.success) return parsed.data
  const { issues } = parsed.error
  // Of what is of the wrong type, its length says nothing.
  for (const [i, issue] of issues.entries())
    if (issue.code !== 'too_big' || !issues.some((x, n) => n < i && samePath(x.path, issue.path)))
      reportIssue(issue, node, report, issue.path.length === 0 ? keys : keysAt(schema, issue.path))
  return undefined
}

const samePath = (a: readonly PropertyKey[], b: readonly PropertyKey[]): boolean =>
  a.length === b.length && a.every((key, i) => key === b[i])

/** The keys of the mapping at a path, as far as the schema tells. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: z.core.$ZodType | undefined = schema
  for (const key of path) {
    const object = bare(at)
    at = object instanceof z.ZodObject ? (object.shape as z.core.$ZodShape)[String(key)] : undefined
  }
  const object = bare(at)
  return object instanceof z.ZodObject ? Object.keys(object.shape) : []
}
const bare = (s: z.core.$ZodType | undefined): z.core.$ZodType | undefined =>
  s instanceof z.ZodOptional || s instanceof z.ZodDefault ? bare(s.unwrap()) : s

const expected = (issue: z.core.$ZodIssue): string => (issue.code === 'invalid_type' ? issue.expected : '')

function typed(text: string, type: string): Json {
  if (type === 'string') return text
  const v = scalar(text.trim())
  const wanted = type === 'int' ? 'number' : type
  return typeof v === wanted ? v : text
}

function put(root: Json, [key, ...rest]: readonly PropertyKey[], value: Json): Json {
  if (key === undefined) return value
  if (Array.isArray(root)) return root.map((v: Json, i) => (i === key ? put(v, rest, value) : v))
  const out: Record<string, Json> = {}
  for (const [k, v] of Object.entries(isObject(root) ? root : {}))
    setOwn(out, k, k === String(key) ? put(v, rest, value) : v)
  return out
}

const WORDS: { readonly [type: string]: string } = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

function reportIssue(issue: z.core.$ZodIssue, root: Located, report: Report, keys: readonly string[]): void {
  const node = locate(root, issue.path)
  const last = issue.path.findLast((k) => typeof k === 'string')
  const name = last === undefined ? 'this' : `"${String(last)}"`
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) report.error(node.fields?.get(key)?.keyAt ?? node.at, unknownKey(key, keys))
    return
  }
  const missing = typeof last === 'string' && issue.path.at(-1) === last && isMissing(root, issue.path)
  report.error(node.at, `${name} ${missing ? 'is missing' : complaint(issue, node)}`)
}

export const unknownKey = (key: string, known: readonly string[]): string =>
  `unknown key "${key}"${known.length > 0 ? `; expected ${known.join(', ')}${didYouMean(key, known)}` : ''}`

const isMissing = (root: Located, path: readonly PropertyKey[]): boolean => {
  const parent = locate(root, path.slice(0, -1))
  return parent.fields !== undefined && !parent.fields.has(String(path.at(-1)))
}

function complaint(issue: z.core.$ZodIssue, node: Located): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${WORDS[issue.expected] ?? issue.expected}, not ${kindOf(node.value)}`
    case 'invalid_value': {
      const words = issue.values.map((v) => String(v))
      const near = typeof node.value === 'string' ? didYouMean(node.value, words) : ''
      return `must be ${words.join(' or ')}, not ${kindOf(node.value)}${near}`
    }
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}, not ${kindOf(node.value)}`
        : `must not be empty`
    case 'too_big':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `must be at most ${issue.maximum}, not ${kindOf(node.value)}`
        : `is too long: at most ${issue.maximum}`
    default:
      return issue.message
  }
}
