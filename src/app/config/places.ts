import { type AST, parseTOML } from 'toml-eslint-parser'
import type { Position } from '../../core/errors.ts'

export type Path = readonly (string | number)[]

/** Where each key and value was written. A path that was not written is answered with its nearest written ancestor. */
export interface Places {
  key(path: Path): Position
  value(path: Path): Position
  /** From here on this path, and all below it, was written by a flag or a variable of that name. */
  override(path: Path, by: string): void
  /** `path` was written where `as` was, under that other name. */
  same(path: Path, as: Path): void
  /** The override's name, if one wrote this path or an ancestor of it. */
  overriddenBy(path: Path): string | undefined
}

interface Written {
  readonly key: Position
  readonly value: Position
}
const text = (path: Path): string => JSON.stringify(path)

/**
 * Reads positions only: values come from smol-toml, which gives none. TOML 1.1 is asked for because the gateway accepts inline tables
 * over several lines; text this parser refuses all the same leaves everything at the top of the file.
 */
export function readPlaces(source: string, file: string): Places {
  const written = new Map<string, Written>()
  const overrides = new Map<string, string>()
  const at = (node: AST.TOMLNode): Position => ({
    file,
    line: node.loc.start.line,
    column: node.loc.start.column + 1,
  })
  const note = (path: Path, key: AST.TOMLNode, value: AST.TOMLNode) => {
    if (!written.has(text(path))) written.set(text(path), { key: at(key), value: at(value) })
  }
  const content = (path: Path, node: AST.TOMLContentNode) => {
    if (node.type === 'TOMLInlineTable') for (const pair of node.body) keyValue(path, pair)
    if (node.type === 'TOMLArray')
      node.elements.forEach((e, i) => {
        note([...path, i], e, e)
        content([...path, i], e)
      })
  }
  const keyValue = (base: Path, pair: AST.TOMLKeyValue) => {
    let path = base
    for (const k of pair.key.keys) {
      path = [...path, k.type === 'TOMLBare' ? k.name : k.value]
      note(path, k, k === pair.key.keys.at(-1) ? pair.value : k)
    }
    content(path, pair.value)
  }
  const table = (node: AST.TOMLTable) => {
    let used = 0
    node.resolvedKey.forEach((part, i) => {
      const k = node.key.keys[typeof part === 'number' ? Math.max(used - 1, 0) : used++]
      if (k) note(node.resolvedKey.slice(0, i + 1), k, k)
    })
    for (const pair of node.body) keyValue(node.resolvedKey, pair)
  }
  try {
    for (const top of parseTOML(source, { tomlVersion: '1.1' }).body)
      for (const node of top.body) node.type === 'TOMLTable' ? table(node) : keyValue([], node)
  } catch {
    // smol-toml has the last word on what is TOML: without positions its findings are still true.
  }

  const overriddenBy = (path: Path): string | undefined => {
    for (let n = path.length; n > 0; n--) {
      const by = overrides.get(text(path.slice(0, n)))
      if (by !== undefined) return by
    }
    return undefined
  }
  const look = (path: Path): Written => {
    const by = overriddenBy(path)
    if (by !== undefined) {
      const place = { file: by, line: 0, column: 0 }
      return { key: place, value: place }
    }
    for (let n = path.length; n > 0; n--) {
      const w = written.get(text(path.slice(0, n)))
      // An ancestor stands for what it does not contain by its own key.
      if (w) return n === path.length ? w : { key: w.key, value: w.key }
    }
    const top = { file, line: 1, column: 1 }
    return { key: top, value: top }
  }
  return {
    key: (path) => look(path).key,
    value: (path) => look(path).value,
    override: (path, by) => void overrides.set(text(path), by),
    same: (path, as) => void written.set(text(path), look(as)),
    overriddenBy,
  }
}
