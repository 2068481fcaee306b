import { resolve } from 'node:path'
import { type Expanded, expandEnv } from '../../core/expand.ts'
import { setOwn } from '../../core/json.ts'
import { NotUtf8 } from '../../core/utf8.ts'
import { coerceVariable } from './coerce.ts'
import { type Draft, isTable, plain, report, schemaAt, showPath, type Table } from './draft.ts'
import type { Path } from './places.ts'
import { keysOf, kindsOf } from './shape.ts'

/** Resolves `${NAME}` in every string of the file, and `key_file` for every key that takes text. What flags and variables wrote is left as it is. */
export function expandDraft(draft: Draft): void {
  expandTable(draft, draft.root, [])
}

function expandTable(draft: Draft, table: Table, path: Path): void {
  for (const key of Object.keys(table)) setOwn(table, key, expanded(draft, table[key], [...path, key]))
  for (const key of Object.keys(table)) if (key.endsWith('_file')) readSecret(draft, table, path, key)
}

function expanded(draft: Draft, value: unknown, path: Path): unknown {
  if (Array.isArray(value)) return value.map((v, i) => expanded(draft, v, [...path, i]))
  if (isTable(value)) expandTable(draft, value, path)
  if (value instanceof Date && kindsOf(schemaAt(draft, path)).has('table')) {
    // A date is an object as well, and the schemas would take it for an empty table. Entries of lists are read by their own, which say it.
    if (typeof path.at(-1) === 'number') return value.toISOString()
    report(draft, 'error', path, `${showPath(draft.root, path)}: expected a table, got a date`, 'value')
    return UNSET
  }
  if (typeof value !== 'string' || draft.places.overriddenBy(path) !== undefined) return value
  const e = expandEnv(value, draft.env)
  for (const problem of problemsOf(e)) report(draft, 'error', path, problem, 'value')
  if (!e.whole) return e.text
  const kinds = kindsOf(schemaAt(draft, path))
  // Text in a number's place would only earn a second, misleading finding.
  if (e.missing.length > 0 && !kinds.has('any')) return UNSET
  return plain(coerceVariable(e.text, kinds))
}
/** Stands for a value whose reference has been reported already. */
export const UNSET = Symbol('unset')

function* problemsOf(e: Expanded): Iterable<string> {
  for (const name of e.missing)
    yield `the environment variable ${name} is not set; \${${name}:-…} would give it a default`
  // Not quoted: it may be a part of a secret.
  if (e.malformed !== undefined)
    yield 'not a reference: expected ${NAME} or ${NAME:-default}; $${ stands for a plain ${'
}

/** `signing_secret_file = "./secret"` stands for `signing_secret` with what the file holds, the last line break left out. */
function readSecret(draft: Draft, table: Table, path: Path, fileKey: string): void {
  const key = fileKey.slice(0, -'_file'.length)
  const known = keysOf(schemaAt(draft, path))
  if (known.includes(fileKey) || !known.includes(key) || NO_SECRETS.has(key)) return
  if (!kindsOf(schemaAt(draft, [...path, key])).has('string')) return
  const at = [...path, fileKey]
  const file = table[fileKey]
  delete table[fileKey]
  if (Object.hasOwn(table, key)) {
    report(draft, 'error', at, `give ${key} or ${fileKey}, not both`, 'key')
    return
  }
  draft.places.same([...path, key], at)
  const text = file === UNSET ? UNSET : textOf(draft, file)
  table[key] = typeof text === 'string' ? text.replace(/\r?\n$/, '') : UNSET
  if (typeof text === 'object') report(draft, 'error', at, `${fileKey}: ${text.problem}`, 'value')
}
function textOf(draft: Draft, file: unknown): string | { problem: string } {
  if (typeof file !== 'string' || file === '') return { problem: 'expected the path of a file' }
  try {
    return draft.readFile(resolve(draft.directory, file))
  } catch (e) {
    return { problem: `cannot read ${file}: ${whyUnreadable(e)}` }
  }
}
/** A file system error in words. */
export function whyUnreadable(e: unknown): string {
  if (e instanceof NotUtf8) return 'it is not UTF-8'
  const code = e instanceof Error && 'code' in e ? String(e.code) : String(e)
  return code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : code
}
const NO_SECRETS: ReadonlySet<string> = new Set(['name', 'type', 'backend', 'path', 'directory'])
