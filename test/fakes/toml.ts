import { isObject, type Json } from '../../src/core/json.ts'

/** A value as TOML writes it inside a line. TOML has no null. */
export function inline(value: Json): string {
  if (value === null) throw new Error('TOML has no null')
  if (Array.isArray(value)) return `[${value.map((v: Json) => inline(v)).join(', ')}]`
  if (!isObject(value)) return JSON.stringify(value)
  return `{ ${Object.entries(value)
    .map(([key, v]) => `${JSON.stringify(key)} = ${inline(v)}`)
    .join(', ')} }`
}
export const chainsToml = (definitions: readonly Json[]): string => `[chains]\ndefinitions = ${inline(definitions)}\n`
