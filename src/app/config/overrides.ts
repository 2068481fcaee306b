import { parse, TomlError } from 'smol-toml'
import type { Finding } from '../../core/errors.ts'
import type { Environment } from '../../core/expand.ts'
import { setOwn } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import { coerceFlag, coerceVariable } from './coerce.ts'
import { type Draft, follow, isTable, nameOf, plain, schemaAt, showPath, type Table } from './draft.ts'
import { providerNames } from './names.ts'
import type { Path } from './places.ts'
import { keysOf, kindsOf } from './shape.ts'

/** One value given outside the file. */
export interface Override {
  /** How a finding names it: the flag or the variable, never its value. */
  readonly by: string
  readonly path: readonly string[]
  readonly text: string
  /** Variables are upper case and know no `-`, so their names are matched loosely. */
  readonly loose: boolean
}

const PREFIX = 'SIGNALBOX__'

/** `SIGNALBOX__SECTION__KEY` variables, in the order of their names. */
export const variableOverrides = (env: Environment): Override[] =>
  Object.keys(env)
    .filter((name) => name.startsWith(PREFIX))
    .sort()
    .map((name) => ({ by: name, path: name.slice(PREFIX.length).split('__'), text: env[name] ?? '', loose: true }))

/** `section.key=value`, as `--set` takes it; the key is a TOML key, so a name with a dot goes in quotes. */
export function flagOverride(set: string): Override | Finding {
  const refuse = (what: string): Finding => ({
    file: `--set ${what}`,
    line: 0,
    column: 0,
    severity: 'error',
    message: 'expected section.key=value',
  })
  const equals = keyEnd(set)
  if (equals === -1) return refuse(set)
  const key = set.slice(0, equals).trim()
  const path = tomlKey(key)
  if (!path) return refuse(key)
  return { by: `--set ${key}`, path, text: set.slice(equals + 1).trim(), loose: false }
}
/** The first `=` outside quotes, or -1. */
function keyEnd(set: string): number {
  const before = /^(?:"[^"]*"|'[^']*'|[^=])*?(?==)/.exec(set)
  return before ? before[0].length : -1
}
function tomlKey(key: string): string[] | undefined {
  if (key.includes('\n') || key.includes('#')) return undefined
  try {
    const path: string[] = []
    let at: unknown = parse(`${key} = 0`)
    while (isTable(at)) {
      const [k, ...others] = Object.keys(at)
      if (k === undefined || others.length > 0) return undefined
      path.push(k)
      at = at[k]
    }
    return path
  } catch (e) {
    if (e instanceof TomlError) return undefined
    throw e
  }
}

const same = (a: string, b: string) => a.toLowerCase().replaceAll('-', '_') === b.toLowerCase().replaceAll('-', '_')

/** Writes the value into the draft. What it cannot place is a finding under the override's name. */
export function applyOverride(draft: Draft, override: Override): void {
  const problem = place(draft, override)
  if (problem !== undefined)
    draft.findings.push({ file: override.by, line: 0, column: 0, severity: 'error', message: problem })
}

/** Makes the tables on the way that are not there. Answers what is wrong, if something is. */
function place(draft: Draft, override: Override): string | undefined {
  const path: (string | number)[] = []
  let at: unknown = draft.root
  for (const [i, segment] of override.path.entries()) {
    if (Array.isArray(at)) {
      const index = elementOf(at, segment, override.loose)
      if (index === undefined)
        return `there is no "${segment}" in ${showPath(draft.root, path)}${didYouMean(segment, namesOf(at))}`
      path.push(index)
    } else if (isTable(at)) path.push(override.loose ? keyOf(draft, at, path, segment) : segment)
    else return `${showPath(draft.root, path)} is not a table`
    if (i === override.path.length - 1) break
    if (isTable(at) && follow(draft.root, path) === undefined) {
      setOwn(at, segmentKey(path), {})
      draft.places.override(path, override.by)
    }
    at = follow(draft.root, path)
  }
  const kinds = kindsOf(schemaAt(draft, path))
  const value = plain(override.loose ? coerceVariable(override.text, kinds) : coerceFlag(override.text, kinds))
  if (Array.isArray(at)) at[Number(path.at(-1))] = value
  else if (isTable(at)) setOwn(at, segmentKey(path), value)
  draft.places.override(path, override.by)
  return undefined
}
const segmentKey = (path: Path): string => String(path.at(-1))
const namesOf = (array: readonly unknown[]): string[] => array.flatMap((v) => nameOf(v) ?? [])

function elementOf(array: readonly unknown[], segment: string, loose: boolean): number | undefined {
  const byName = array.findIndex((v) => nameOf(v) === segment)
  if (byName !== -1) return byName
  const index = loose ? array.findIndex((v) => same(nameOf(v) ?? '', segment)) : -1
  if (index !== -1) return index
  return /^\d+$/.test(segment) && Number(segment) < array.length ? Number(segment) : undefined
}

/** The key a variable means: one that is there, one the schema knows, for a breaker a provider's name, else its lower case. */
function keyOf(draft: Draft, table: Table, path: Path, segment: string): string {
  const isBreakers = path[0] === 'circuit_breaker' && path[1] === 'providers' && path.length === 2
  const known = [...Object.keys(table), ...keysOf(schemaAt(draft, path)), ...(isBreakers ? providerNames(draft) : [])]
  return known.find((k) => same(k, segment)) ?? segment.toLowerCase()
}
