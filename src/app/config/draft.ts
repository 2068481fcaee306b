import { parse, TomlError } from 'smol-toml'
import { z } from 'zod'
import type { Finding } from '../../core/errors.ts'
import type { Environment } from '../../core/expand.ts'
import { narrow, setOwn } from '../../core/json.ts'
import type { ProviderType } from '../../core/provider.ts'
import { type Path, type Places, readPlaces } from './places.ts'
import { breakerShape, chainKeys, providerCommon, sections } from './schema.ts'
import { childOf } from './shape.ts'

/** A TOML table. Keys are data, `__proto__` included: read with `follow`, written with `setOwn`. */
export type Table = { [key: string]: unknown }
/** A TOML date is an object too, and no table. */
export const isTable = (v: unknown): v is Table =>
  typeof v === 'object' && v !== null && !Array.isArray(v) && !(v instanceof Date)

/** A configuration on its way from text to `Config`: each stage changes `root` and adds what it found. */
export interface Draft {
  readonly root: Table
  readonly places: Places
  readonly findings: Finding[]
  /** Absolute: what relative paths start from. */
  readonly directory: string
  readonly env: Environment
  readonly types: readonly ProviderType[]
  /** The text of a file, by absolute path; throws as `readFileSync` does. */
  readonly readFile: (path: string) => string
}

/** smol-toml's tables have no prototype, which zod's messages stumble over when a key is named `constructor`. */
export const plain = (v: unknown): unknown =>
  Array.isArray(v) ? v.map(plain) : isTable(v) ? plainTable(v) : typeof v === 'string' ? narrow(v) : v
function plainTable(table: Table): Table {
  const made: Table = {}
  for (const key of Object.keys(table)) setOwn(made, key, plain(table[key]))
  return made
}

/** Parses the text; `undefined` and one finding when it is not TOML. */
export function readDraft(
  source: string,
  file: string,
  given: Pick<Draft, 'directory' | 'env' | 'types' | 'readFile'>,
): Draft | Finding {
  const text = source.replace(/^\uFEFF/, '')
  try {
    return { ...given, root: plainTable(parse(text)), places: readPlaces(text, file), findings: [] }
  } catch (e) {
    if (!(e instanceof TomlError)) throw e
    // The library's message carries an excerpt of the file after its first line: that may be a secret.
    const message = e.message.split('\n')[0]!.replace(/^Invalid TOML document: /, '')
    const hint = message === 'invalid value' ? '; a text needs quotes' : ''
    return { file, line: e.line, column: e.column, severity: 'error', message: `not valid TOML: ${message}${hint}` }
  }
}

/** The name an array element goes by in `providers.NAME.key`. */
export const nameOf = (v: unknown): string | undefined =>
  isTable(v) && typeof v.name === 'string' ? v.name : undefined

export function follow(root: Table, path: Path): unknown {
  let v: unknown = root
  for (const key of path) {
    if (Array.isArray(v)) v = v[Number(key)]
    else if (isTable(v) && Object.hasOwn(v, key)) v = v[key]
    else return undefined
  }
  return v
}

/** A path as an operator writes it: `providers.alert-fanout.topic_arn`. */
export function showPath(root: Table, path: Path): string {
  let shown = ''
  path.forEach((key, i) => {
    const name = typeof key === 'number' ? nameOf(follow(root, path.slice(0, i + 1))) : key
    if (name === undefined) shown += `[${key}]`
    else shown += `${i === 0 ? '' : '.'}${/^[\w-]+$/.test(name) ? name : JSON.stringify(name)}`
  })
  return shown
}

export function report(draft: Draft, severity: Finding['severity'], path: Path, message: string, at: 'key' | 'value') {
  draft.findings.push({ ...draft.places[at](path), severity, message })
}

/** The schema of what stands at a path; a provider's keys are those of its type. Undefined where nothing is known. */
export function schemaAt(draft: Pick<Draft, 'root' | 'types'>, path: Path): z.core.$ZodType | undefined {
  const [schema, rest] = rootOf(draft, path)
  return rest.reduce<z.core.$ZodType | undefined>(childOf, schema)
}
function rootOf(draft: Pick<Draft, 'root' | 'types'>, path: Path): [z.core.$ZodType, Path] {
  if (path[0] === 'providers' && path.length > 1) {
    const written = follow(draft.root, [...path.slice(0, 2), 'type'])
    const type = draft.types.find((t) => t.type === written)
    return [type ? z.union([providerCommon, type.config]) : providerCommon, path.slice(2)]
  }
  if (path[0] === 'chains' && path[1] === 'definitions' && path.length > 2) return [chainKeys, path.slice(3)]
  if (path[0] === 'circuit_breaker' && path[1] === 'providers' && path.length > 2) return [breakerShape, path.slice(3)]
  return [sections, path]
}
