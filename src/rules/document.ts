import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, Scalar } from 'yaml'
import type { Finding } from '../core/errors.ts'
import { type Json, narrow, setOwn } from '../core/json.ts'
import { kindOf, type Located, type LocatedField, type Report, scalar } from './located.ts'

/** Values one file may hold, aliases counted as often as they are used: a few lines of aliases can mean billions. */
const MAX_VALUES = 200_000
const MAX_DEPTH = 64

export type Environment = { readonly [name: string]: string | undefined }
export interface Document {
  /** Undefined when the text is not YAML, and for a file of comments. */
  readonly root: Located | undefined
  readonly report: Report
  position(at: number): { readonly line: number; readonly column: number }
  /** `NAME=value` of every reference, so that the set's version changes with them. */
  readonly references: readonly string[]
}

/**
 * Parses a rule file's text. Everything wrong with it goes to `findings`, with its place; nothing is thrown. Without an environment,
 * as for a text that a caller sent, a reference stands as it is written and whatever holds one is taken for good: only its default,
 * which is the text's own, is put in.
 */
export function readDocument(
  file: string,
  text: string,
  environment: Environment | undefined,
  findings: Finding[],
): Document {
  const lines = new LineCounter()
  const position = (at: number) => {
    const { line, col } = lines.linePos(at)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const push = (severity: Finding['severity']) => (at: number, message: string) =>
    void findings.push({ file, ...position(at), severity, message })
  const fail = push('error')
  const doubt = push('warning')
  /** Where values stand that nobody knows here, so that nothing is wrong with them. */
  const unknown = new Set<number>()
  const report: Report = {
    error: (at, message) => (unknown.has(at) ? undefined : fail(at, message)),
    warn: (at, message) => (unknown.has(at) ? undefined : doubt(at, message)),
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, version: '1.2' })
  for (const e of [...document.errors, ...document.warnings]) report.error(e.pos[0], yamlMessage(e.code, e.message))
  const references: string[] = []
  if (findings.some((f) => f.file === file)) return { root: undefined, report, position, references }
  if (!document.contents) {
    // A write that was cut off looks like this too, and takes every rule of the file with it.
    report.warn(0, 'there is nothing in the file; "rules: []" says that it has no rules')
    return { root: undefined, report, position, references }
  }

  let values = 0
  let flooded = false
  const expand = (source: string, at: number): string =>
    expandReferences(source, environment, references, (written, name) => {
      if (environment)
        fail(at, `the environment variable ${name} is not set; "\${${name}:-default}" gives it a default`)
      else unknown.add(at)
      return environment ? '' : written
    })

  function walk(node: Node | null | undefined, depth: number, nearby: number): Located {
    const at = node?.range?.[0] ?? nearby
    if (flooded || ++values > MAX_VALUES || depth > MAX_DEPTH) {
      if (!flooded)
        fail(at, `the file holds more than ${MAX_VALUES} values or ${MAX_DEPTH} levels once aliases are expanded`)
      flooded = true
      return { value: null, at }
    }
    if (!node) return { value: null, at }
    if (isAlias(node)) {
      const target = walk(node.resolve(document), depth + 1, at)
      if (unknown.has(target.at)) unknown.add(at)
      return { ...target, at }
    }
    if (isScalar(node)) return walkScalar(node, at)
    if (isSeq(node)) {
      const items = node.items.map((item) => walk(item as Node | null, depth + 1, at))
      return { value: items.map((i) => i.value), at, items }
    }
    if (!isMap(node)) return { value: null, at }
    const fields = new Map<string, LocatedField>()
    const value: Record<string, Json> = {}
    for (const pair of node.items) {
      const keyNode = pair.key as Node | null
      const keyAt = keyNode?.range?.[0] ?? at
      const key = isScalar(keyNode) ? narrow(String(keyNode.value)) : undefined
      if (key === undefined || key === '__proto__') {
        report.error(keyAt, key === undefined ? NO_KEY + unquoted(text, at) : 'the key "__proto__" is refused')
        continue
      }
      const child = walk(pair.value as Node | null, depth + 1, keyAt)
      fields.set(key, { keyAt, node: child })
      setOwn(value, key, child.value)
    }
    return { value, at, fields }
  }

  function walkScalar(node: Scalar, at: number): Located {
    const v = node.value
    if (typeof v === 'string') {
      if (!v.includes('${')) return { value: narrow(v), at }
      const text = narrow(expand(v, at))
      const put = { at, ...(text !== v && { written: narrow(v) }) }
      if (!WHOLE.test(v)) return { value: text, ...put }
      return { value: node.type === Scalar.PLAIN ? scalar(text) : text, ...put, reference: text }
    }
    if (v === null || typeof v === 'boolean' || (typeof v === 'number' && Number.isFinite(v))) return { value: v, at }
    report.error(at, `${String(node.source ?? v)} is no value that JSON knows`)
    return { value: null, at }
  }

  const root = walk(document.contents, 0, 0)
  // What was not read is nothing to complain of: a file of thirty thousand rules had eight thousand more findings.
  return { root: flooded ? undefined : root, report, position, references }
}

const REFERENCE = /(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g
const WHOLE = /^\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\}$/

/** `${NAME}` and `${NAME:-default}`; `$${NAME}` stands for itself. What was put in is not looked at again. */
function expandReferences(
  source: string,
  environment: Environment = {},
  used: string[],
  unset: (written: string, name: string) => string,
): string {
  return source.replace(REFERENCE, (whole, dollar: string, name: string, fallback: string | undefined) => {
    if (dollar !== '') return whole.slice(1)
    const set = Object.hasOwn(environment, name) ? environment[name] : undefined
    const value = set === undefined || set === '' ? (fallback ?? set) : set
    if (value === undefined) return unset(whole, name)
    used.push(`${name}=${value}`)
    return value
  })
}

const NO_KEY = 'a key must be plain text'
/** YAML reads `{{x}}` as a mapping whose key is a mapping. */
const unquoted = (text: string, at: number): string =>
  text.slice(0, at + 1).endsWith('{{') || text.startsWith('{{', at)
    ? '; a text that begins with {{ is written in quotes'
    : ''

/** What comes of a text with a colon and a space in it that stands without quotes, or of one line too far to the right. */
const COLON_INSIDE: ReadonlySet<string> = new Set(['BLOCK_AS_IMPLICIT_KEY', 'BLOCK_IN_FLOW'])

function yamlMessage(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'this key stands twice in one mapping'
  if (code === 'MULTIPLE_DOCS') return 'a rule file holds one document; "---" begins a second'
  const hint = COLON_INSIDE.has(code)
    ? '; a text with ": " in it needs quotes, or the next line is indented too far'
    : ''
  return `not YAML: ${message.split('\n', 1)[0]}${hint}`
}

/** The items of a list under a key, or a finding in its place. */
export function listOf(node: Located, what: string, report: Report): readonly Located[] {
  if (node.items) return node.items
  report.error(node.at, `${what} must be a list, not ${kindOf(node.value)}`)
  return []
}
