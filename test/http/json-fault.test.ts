import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonFault } from '../../src/http/json-fault.ts'

test.each([
  ['', 1, 1, 'a value'],
  ['{"a": }', 1, 7, 'a value'],
  ['{"a" 1}', 1, 6, '":"'],
  ['{"a": 1,}', 1, 9, 'a key in double quotes'],
  ["{'a': 1}", 1, 2, 'a key in double quotes'],
  ['[1 2]', 1, 4, '"," or "]"'],
  ['[1,\n 2,\n x]', 3, 2, 'a value'],
  ['{} {}', 1, 4, 'the end of the text'],
  ['"abc', 1, 5, 'the end of a string'],
  ['"a\tb"', 1, 3, 'a character that may stand in a string'],
  ['"\\x"', 1, 2, 'a character that may stand in a string'],
  ['01', 1, 2, 'the end of the text'],
  ['[nul]', 1, 2, 'a value'],
  ['NaN', 1, 1, 'a value'],
])('%j goes wrong at %i:%i', (text, line, column, expected) => {
  expect(() => JSON.parse(text)).toThrow(SyntaxError)
  expect(jsonFault(text)).toEqual({ line, column, expected })
})
test('it agrees with the engine about what is JSON', () => {
  const damaged = fc
    .tuple(
      fc.json({ maxDepth: 5 }),
      fc.nat(),
      fc.constantFrom('', ',', '"', '}', ']', ':', '\\', ' ', '1', 'x', '\n', '\u0001'),
    )
    .map(([text, at, put]) => {
      const i = at % (text.length + 1)
      return text.slice(0, i) + put + text.slice(i + 1)
    })
  fc.assert(
    fc.property(damaged, (text) => {
      const fault = jsonFault(text)
      const lines = text.split('\n')
      const atEnd = fault.line === lines.length && fault.column === lines.at(-1)!.length + 1
      const isJson = atEnd && fault.expected === 'the end of the text'
      let parses = true
      try {
        JSON.parse(text)
      } catch {
        parses = false
      }
      expect(isJson).toBe(parses)
    }),
    { numRuns: 2000, seed: 3 },
  )
})
