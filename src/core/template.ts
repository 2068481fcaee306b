import { follow, isObject, type Json, own, pathOf, setOwn } from './json.ts'

/** One `{{ … }}` reference: the path as written, and cut at its dots. */
export interface Reference {
  readonly text: string
  readonly path: readonly string[]
}
/** The names a template may begin with, each with its value; `follow` walks on from there. */
export type Variables = { readonly [root: string]: Json | undefined }

/** A JSON value with references, parsed once. Rendering is one pass: text that came from data is never expanded again. */
export interface Template {
  readonly references: readonly Reference[]
  /** Paths that are not there are null as a whole value, empty inside text, and pushed to `missing`; never an error. Throws TextTooLong. */
  render(variables: Variables, missing?: string[]): Json
}

type Part = string | Reference
type Node = (variables: Variables, missing: string[] | undefined, room: Room) => Json
/** Characters of text that one rendering may still put together. Values that are handed on whole cost nothing. */
interface Room {
  left: number
}
const MOST_TEXT = 64 * 1024 * 1024

/** A few references to a long text, repeated, would fill the memory. */
export class TextTooLong extends RangeError {}

/** White space is cut off afterwards: left to the pattern, a long run of it takes cubic time, and callers write templates too. */
const REFERENCE = /\{\{([^{}]*)\}\}/g

/** Text that is one reference gives whatever that leads to; other text gives text. */
export const isReference = (source: Json): boolean => typeof source === 'string' && ONLY_REFERENCE.test(source)
const ONLY_REFERENCE = new RegExp(`^${REFERENCE.source}$`)

/** What a text has that is meant as a template and is none: it goes out as it is, or comes to nothing. Undefined where all is well. */
export function notATemplate(source: string): string | undefined {
  if (source.replace(REFERENCE, ' ').includes('{{'))
    return '"{{" without its "}}" is no template, and goes out as it is'
  const filtered = source.match(REFERENCE)?.find((r) => r.includes('|'))
  return filtered && `"${filtered}": templates have no filters, and nothing is found under such a name`
}

export function compileTemplate(source: Json): Template {
  const references: Reference[] = []
  const node = compile(source, references)
  return { references, render: (variables, missing) => node(variables, missing, { left: MOST_TEXT }) }
}

function compile(source: Json, references: Reference[]): Node {
  if (typeof source === 'string') return compileText(source, references)
  if (Array.isArray(source)) {
    const nodes = source.map((s: Json) => compile(s, references))
    return (v, m, room) => nodes.map((n) => n(v, m, room))
  }
  if (isObject(source)) {
    const entries = Object.keys(source).map((k) => [k, compile(own(source, k)!, references)] as const)
    return (v, m, room) => {
      const out: Record<string, Json> = {}
      for (const [k, n] of entries) setOwn(out, k, n(v, m, room))
      return out
    }
  }
  return () => source
}

function compileText(source: string, references: Reference[]): Node {
  const parts: Part[] = []
  let at = 0
  for (const m of source.matchAll(REFERENCE)) {
    if (m.index > at) parts.push(source.slice(at, m.index))
    const text = m[1]!.trim()
    const reference = { text, path: pathOf(text) }
    references.push(reference)
    parts.push(reference)
    at = m.index + m[0].length
  }
  if (at < source.length || parts.length === 0) parts.push(source.slice(at))
  const only = parts.length === 1 ? parts[0]! : undefined
  if (typeof only === 'string') return () => only
  // A string that is one reference keeps the value's JSON type.
  if (only) return (v, m) => resolve(only, v, m) ?? null
  return (v, m, room) => {
    let text = ''
    for (const p of parts) {
      const part = typeof p === 'string' ? p : asText(resolve(p, v, m))
      room.left -= part.length
      if (room.left < 0) throw new TextTooLong('a template makes more text than 64 Mi characters')
      text += part
    }
    return text
  }
}

function resolve(r: Reference, variables: Variables, missing: string[] | undefined): Json | undefined {
  const [root, ...rest] = r.path
  const start = root !== undefined && Object.hasOwn(variables, root) ? variables[root] : undefined
  const value = follow(start, rest)
  if (value === undefined) missing?.push(r.text)
  return value
}

const asText = (v: Json | undefined): string =>
  v === undefined || v === null ? '' : typeof v === 'string' ? v : JSON.stringify(v)
