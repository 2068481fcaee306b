import { RE2JS, RE2JSException } from 're2js'

/** Finds a pattern anywhere in a text, in time linear in the text. */
export type Pattern = (text: string) => boolean

/** Letters that mean themselves in every pattern, perhaps tied to an end: these need no automaton. */
const PLAIN = /^(\^?)([\w \-:,/@]+)(\$?)$/

/** RE2 syntax: no backtracking, so neither back-references nor look-around. Compiled once, at load. */
export function compilePattern(source: string, ignoreCase = false): Pattern | { readonly refused: string } {
  const plain = ignoreCase ? null : PLAIN.exec(source)
  if (plain) {
    const [, start, text = '', end] = plain
    if (start && end) return (t) => t === text
    if (start) return (t) => t.startsWith(text)
    return end ? (t) => t.endsWith(text) : (t) => t.includes(text)
  }
  try {
    const compiled = RE2JS.compile(source, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0)
    return (t) => compiled.test(t)
  } catch (e) {
    if (e instanceof RE2JSException) return { refused: e.message.replace('error parsing regexp: ', '') }
    throw e
  }
}
