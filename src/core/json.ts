/** Plain data as JSON has it. Objects may have any key, `__proto__` included: read them with `own`. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export type JsonObject = { readonly [key: string]: Json }

export const isObject = (v: unknown): v is JsonObject => typeof v === 'object' && v !== null && !Array.isArray(v)

/** An own property or undefined: a payload key named `constructor` is data, an absent one is absent. */
export const own = (o: object, key: string): Json | undefined =>
  Object.hasOwn(o, key) ? (o as Record<string, Json>)[key] : undefined

/** What a text says, or undefined where it is no JSON. */
export function jsonOf(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch (e) {
    if (e instanceof SyntaxError) return undefined
    throw e
  }
}

/** Sets an own property even when the key is `__proto__`. */
export function setOwn(o: object, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(o, key, { value, enumerable: true, configurable: true, writable: true })
  else (o as Record<string, unknown>)[key] = value
}

const LATIN1 = /^[\u0000-\u00ff]*$/

/**
 * The same text, kept in one byte a character where that is enough. What is cut out of a longer text is kept as that text is: one
 * arrow in a comment of a rule file makes its rules' names wide, and with them every record, log line and answer they stand in.
 */
export const narrow = (text: string): string =>
  LATIN1.test(text) ? Buffer.from(text, 'latin1').toString('latin1') : text

/** Follows a path through objects (keys) and arrays (decimal indexes); undefined where it is not there. */
export function follow(value: Json | undefined, path: readonly string[]): Json | undefined {
  let v: Json | undefined = value
  for (const key of path) {
    if (Array.isArray(v)) v = /^(0|[1-9]\d*)$/.test(key) ? (v as readonly Json[])[Number(key)] : undefined
    else if (isObject(v)) v = own(v, key)
    else return undefined
  }
  return v
}

/**
 * A dotted path cut at its dots. Metadata is flat, so below it they are its key's: `metadata.app.io/name` is `metadata`, `app.io/name`,
 * and so it is below an action by one of its names.
 */
export function pathOf(text: string): readonly string[] {
  const path = text.split('.')
  const at = path[0] === 'metadata' ? 1 : path[1] === 'metadata' && ACTIONS.includes(path[0]!) ? 2 : path.length
  return path.length <= at + 1 ? path : [...path.slice(0, at), path.slice(at).join('.')]
}
const ACTIONS = ['action', 'origin']

/** Nesting depth of JSON text counted without parsing it: brackets outside strings. */
export function jsonDepth(text: string): number {
  let depth = 0
  let deepest = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > deepest) deepest = depth
    } else if (c === 0x7d || c === 0x5d) depth--
  }
  return deepest
}

/** Whether it nests deeper than that. Few texts have so many brackets at all, and those are found without looking at each character. */
export function nestsDeeper(text: string, max: number): boolean {
  let left = max
  for (const bracket of '{[')
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1))
      if (--left < 0) return jsonDepth(text) > max
  return false
}

/** JSON with object keys sorted: equal data gives equal text. */
export function canonicalJson(v: Json | undefined): string {
  if (v === undefined) return 'null'
  if (Array.isArray(v)) return `[${v.map(canonicalJson).join(',')}]`
  if (isObject(v))
    return `{${Object.keys(v)
      .sort()
      .map((k) => `${JSON.stringify(k)}:${canonicalJson(own(v, k))}`)
      .join(',')}}`
  return JSON.stringify(v)
}

/** RFC 7396 merge patch: null deletes, objects merge, everything else replaces. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const out: Record<string, Json> = {}
  if (isObject(target)) for (const k of Object.keys(target)) setOwn(out, k, own(target, k)!)
  for (const k of Object.keys(patch)) {
    const p = own(patch, k)!
    if (p === null) delete out[k]
    else setOwn(out, k, mergePatch(own(out, k), p))
  }
  return out
}
