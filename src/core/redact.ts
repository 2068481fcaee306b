import { isObject, type Json, own, setOwn } from './json.ts'

export interface RedactConfig {
  readonly enabled: boolean
  /** A bare name hides that key at any depth; a dotted path hides that one place (array indexes are skipped over). */
  readonly fields: readonly string[]
  readonly placeholder: string
}
/** Copies with the named fields replaced. It covers what people and other systems read, never what delivery needs. */
export type Redact = <T extends Json>(value: T) => T

export function compileRedact(config: RedactConfig): Redact {
  const names = new Set(config.fields.filter((f) => !f.includes('.')))
  const paths = config.fields.filter((f) => f.includes('.')).map((f) => f.split('.'))
  if (!config.enabled || (names.size === 0 && paths.length === 0)) return (v) => v
  const { placeholder } = config
  // `live`: for each dotted path, what is left of it from here. Paths may begin anywhere under the record's root.
  const walk = (v: Json, live: readonly (readonly string[])[]): Json => {
    if (Array.isArray(v)) return v.map((x: Json) => walk(x, live))
    if (!isObject(v)) return v
    const out: Record<string, Json> = {}
    for (const k of Object.keys(v)) {
      const next = live.filter((p) => p[0] === k).map((p) => p.slice(1))
      const hidden = names.has(k) || next.some((p) => p.length === 0)
      setOwn(out, k, hidden ? placeholder : walk(own(v, k)!, next.length > 0 ? [...next, ...paths] : paths))
    }
    return out
  }
  return <T extends Json>(v: T): T => walk(v, paths) as T
}
