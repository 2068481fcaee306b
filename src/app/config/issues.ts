import type { z } from 'zod'
import { didYouMean } from '../../core/nearest.ts'
import { type Draft, follow, report, schemaAt, showPath } from './draft.ts'
import { UNSET } from './expand.ts'
import type { Path } from './places.ts'
import { keysOf } from './shape.ts'

type Issue = z.core.$ZodIssue

/** Sections that will mean protection one day. Accepting them before they work would run open while looking closed. */
const REFUSED: ReadonlySet<string> = new Set(['auth', 'encryption'])
/** More keys than this are not listed in a message. */
const FEW = 16

/** Turns what a schema found at `base` into findings in words of our own, so that they do not change with the library. */
export function reportIssues(draft: Draft, base: Path, issues: readonly Issue[]): void {
  for (const issue of issues) {
    const path: Path = [...base, ...issue.path.map((k) => (typeof k === 'number' ? k : String(k)))]
    if (follow(draft.root, path) === UNSET) continue
    if (issue.code === 'unrecognized_keys') for (const key of issue.keys) reportUnknown(draft, path, key)
    else if (issue.code === 'invalid_union' && issue.errors.length > 0) reportUnion(draft, path, issue.errors)
    else if (issue.code === 'invalid_type' && follow(draft.root, path) === undefined)
      report(draft, 'error', path.slice(0, -1), `${showPath(draft.root, path)} is missing`, 'key')
    else report(draft, 'error', path, `${showPath(draft.root, path)}: ${words(draft, path, issue)}`, 'value')
  }
}

function reportUnknown(draft: Draft, path: Path, key: string): void {
  const known = keysOf(schemaAt(draft, path))
  const at = [...path, key]
  if (path.length === 0 && REFUSED.has(key)) {
    const message = `[${key}] is refused until it is built: accepting it would run open while looking closed`
    report(draft, 'error', at, message, 'key')
    return
  }
  const what = path.length === 0 ? `unknown section "${key}"` : `unknown key "${key}" in ${showPath(draft.root, path)}`
  const list = known.length > 0 && known.length <= FEW ? `; it has ${known.join(', ')}` : ''
  report(draft, 'error', at, what + (didYouMean(key, known) || list), 'key')
}

/** A union's alternatives: what they all expect at this very place, else the complaints of the one that came closest. */
function reportUnion(draft: Draft, path: Path, errors: readonly (readonly Issue[])[]): void {
  const here = errors.map((e) => (e[0]?.code === 'invalid_type' && e[0].path.length === 0 ? e[0].expected : undefined))
  if (here.every((e) => e !== undefined)) {
    const expected = [...new Set(here.map(expectedWord))].join(' or ')
    const got = gotWord(follow(draft.root, path))
    report(draft, 'error', path, `${showPath(draft.root, path)}: expected ${expected}, got ${got}`, 'value')
    return
  }
  const closest = errors.filter((_, i) => here[i] === undefined).sort((a, b) => a.length - b.length)[0]
  reportIssues(draft, path, closest ?? [])
}

function words(draft: Draft, path: Path, issue: Issue): string {
  const value = follow(draft.root, path)
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${expectedWord(issue.expected)}, got ${gotWord(value)}${headOf(draft, path, issue.expected)}`
    case 'too_small':
      return sized(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)
    case 'too_big':
      return sized(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)
    case 'invalid_value': {
      const valid = issue.values.map(String)
      const hint = typeof value === 'string' ? didYouMean(value, valid) : ''
      return `expected one of ${valid.join(', ')}${hint}`
    }
    case 'invalid_format':
      return issue.format === 'url' ? 'expected a URL with its scheme' : issue.message
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message
    default:
      return issue.message
  }
}

function sized(origin: string, bound: string, n: number | bigint): string {
  if (origin === 'string')
    return bound === 'at least' && n === 1 ? 'must not be empty' : `must have ${bound} ${n} characters`
  if (origin === 'array')
    return bound === 'at least' && n === 1 ? 'must not be empty' : `must have ${bound} ${n} entries`
  return `must be ${bound} ${n}`
}

const EXPECTED: { readonly [type: string]: string } = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'a table',
  record: 'a table',
}
const expectedWord = (type: string): string => (Object.hasOwn(EXPECTED, type) ? EXPECTED[type]! : type)

/** `[providers]` for `[[providers]]`: TOML's list of tables is easily taken for a table. */
function headOf(draft: Draft, path: Path, expected: string): string {
  if (expected !== 'array' || gotWord(follow(draft.root, path)) !== 'a table') return ''
  const ofTables = keysOf(schemaAt(draft, [...path, 0])).length > 0
  return ofTables ? `; each entry begins with [[${path.filter((p) => typeof p === 'string').join('.')}]]` : ''
}

/** What was written instead: its kind, never the value, which may be a secret. */
function gotWord(v: unknown): string {
  if (typeof v === 'string') return 'a string'
  if (typeof v === 'number') return Number.isInteger(v) ? 'a number' : 'a fraction'
  if (typeof v === 'boolean') return 'a boolean'
  if (Array.isArray(v)) return 'an array'
  return v instanceof Date ? 'a date' : 'a table'
}
