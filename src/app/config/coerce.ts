import { parse, TomlError } from 'smol-toml'
import type { Kind } from './shape.ts'

/** A value in TOML syntax (`8080`, `true`, `["a"]`, `"text"`), or undefined when the text is none. */
export function tomlValue(text: string): unknown {
  try {
    const table = parse(`v = ${text}`)
    return Object.keys(table).length === 1 ? table.v : undefined
  } catch (e) {
    if (e instanceof TomlError) return undefined
    throw e
  }
}
const kindOfValue = (v: unknown): Kind | undefined => {
  if (typeof v === 'string' || typeof v === 'number' || typeof v === 'boolean') return typeof v as Kind
  if (Array.isArray(v)) return 'array'
  return typeof v === 'object' && v !== null && !(v instanceof Date) ? 'table' : undefined
}

/** What a variable holds, as its key expects it: text where text will do, else the value in TOML syntax, else still text. */
export function coerceVariable(text: string, kinds: ReadonlySet<Kind>): unknown {
  if (kinds.has('string') || kinds.has('any')) return text
  const value = tomlValue(text.trim())
  const kind = kindOfValue(value)
  return kind !== undefined && kinds.has(kind) ? value : text
}

/** What a flag says: TOML where that fits the key, else plain text, so that neither `--set a.port=1` nor `--set a.name=1` needs quotes. */
export function coerceFlag(text: string, kinds: ReadonlySet<Kind>): unknown {
  const value = tomlValue(text)
  const kind = kindOfValue(value)
  if (kind !== undefined && (kinds.has(kind) || kinds.has('any'))) return value
  return text
}
