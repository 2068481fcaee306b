/** Where JSON text goes wrong. Lines and columns count from 1, columns in UTF-16 units. */
export interface JsonFault {
  readonly line: number
  readonly column: number
  readonly expected: string
}

const SPACE = /[ \t\n\r]*/y
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const STRING_START = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/**
 * Finds the first fault of text that is no JSON, by the grammar of RFC 8259. The engine's own message is not used: it quotes the
 * text, which may hold what nobody should read in a log. The text must not nest deeper than the stack allows.
 */
export function jsonFault(text: string): JsonFault {
  let at = 0
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at
    if (!pattern.test(text)) return false
    at = pattern.lastIndex
    return true
  }
  const next = (character: string): boolean => {
    take(SPACE)
    if (text[at] !== character) return false
    at++
    return true
  }
  /** Undefined: a whole value was read. */
  function value(): string | undefined {
    take(SPACE)
    const first = text[at]
    if (first === '{') return members('}', () => string('a key in double quotes') ?? (next(':') ? value() : '":"'))
    if (first === '[') return members(']', value)
    if (first === '"') return string('')
    return take(SCALAR) ? undefined : 'a value'
  }
  function string(otherwise: string): string | undefined {
    take(SPACE)
    if (text[at] !== '"') return otherwise
    if (take(STRING)) return undefined
    take(STRING_START)
    return at >= text.length ? 'the end of a string' : 'a character that may stand in a string'
  }
  function members(end: '}' | ']', member: () => string | undefined): string | undefined {
    at++
    if (next(end)) return undefined
    for (;;) {
      const wrong = member()
      if (wrong !== undefined) return wrong
      if (next(end)) return undefined
      if (!next(',')) return `"," or "${end}"`
    }
  }
  const wrong = value()
  if (wrong === undefined) take(SPACE)
  const before = text.slice(0, at).split('\n')
  return { line: before.length, column: before.at(-1)!.length + 1, expected: wrong ?? 'the end of the text' }
}
