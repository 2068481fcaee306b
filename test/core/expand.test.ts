import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expandEnv } from '../../src/core/expand.ts'

const env = { A: 'a', EMPTY: '', NESTED: '${A}' }

test.each([
  ['plain', { text: 'plain', whole: false }],
  ['${A}', { text: 'a', whole: true }],
  ['${A:-d}', { text: 'a', whole: true }],
  ['${EMPTY}', { text: '', whole: true }],
  ['${EMPTY:-d}', { text: 'd', whole: true }],
  ['${GONE:-}', { text: '', whole: true }],
  ['${GONE:-http://x:1/?a=b}', { text: 'http://x:1/?a=b', whole: true }],
  ['x${A}${A}y', { text: 'xaay', whole: false }],
  ['${NESTED}', { text: '${A}', whole: true }],
  ['$${A}', { text: '${A}', whole: false }],
  ['{{a}} $A $', { text: '{{a}} $A $', whole: false }],
  ['${GONE}', { missing: ['GONE'] }],
  ['${GONE} ${GONE2}', { missing: ['GONE', 'GONE2'] }],
  ['${toString}', { missing: ['toString'] }],
  ['${a b}', { malformed: '${a b}' }],
  ['${A', { malformed: '${A' }],
  ['${}', { malformed: '${}' }],
])('%s', (source, expected) => {
  expect(expandEnv(source, env)).toMatchObject({ missing: [], malformed: undefined, ...expected })
})

test('it never throws, and leaves text without references alone', () => {
  fc.assert(
    fc.property(fc.string(), (s) => {
      const e = expandEnv(s, env)
      if (!s.includes('${')) expect(e).toEqual({ text: s, whole: false, missing: [], malformed: undefined })
    }),
  )
})
