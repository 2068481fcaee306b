/** What became of the `${NAME}` and `${NAME:-default}` references in a string of a file an operator wrote. */
export interface Expanded {
  readonly text: string
  /** The whole string was one reference, so its value takes the type its key expects. */
  readonly whole: boolean
  /** Names that are unset and have no default. */
  readonly missing: readonly string[]
  /** A `${` that is no reference, as written; one with another in its default is none either. */
  readonly malformed: string | undefined
}
export type Environment = { readonly [name: string]: string | undefined }

const REFERENCE = /\$?\$\{([^}]*)\}?/g
const BODY = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s

/**
 * Expands references as a shell does: `:-` also covers a variable that is set but empty. `$${` is a literal `${`.
 * One pass: what a variable holds is never expanded again. Never throws.
 */
export function expandEnv(source: string, env: Environment): Expanded {
  if (!source.includes('${')) return { text: source, whole: false, missing: [], malformed: undefined }
  const missing: string[] = []
  let malformed: string | undefined
  let whole = false
  const text = source.replace(REFERENCE, (written: string, body: string) => {
    if (written.startsWith('$$')) return written.slice(1)
    const m = written.endsWith('}') ? BODY.exec(body) : null
    if (!m || body.includes('${')) {
      malformed ??= written
      return written
    }
    whole = written.length === source.length
    const name = m[1]!
    const value = Object.hasOwn(env, name) ? env[name] : undefined
    if (m[2] !== undefined) return value === undefined || value === '' ? m[2] : value
    if (value === undefined) missing.push(name)
    return value ?? ''
  })
  return { text, whole, missing, malformed }
}
