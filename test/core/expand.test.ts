import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expandEnv } from '../../src/core/expand.ts'
import { cpuMs } from '../fakes/cpu.ts'

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
  ['${GONE:-${A}}', { malformed: '${GONE:-${A}' }], // a default is not expanded: better said than taken as text
  ['${A ${A}', { malformed: '${A ${A}' }],
  ['a $${A} ${A}', { text: 'a ${A} a', whole: false }],
  ['$$${A}', { text: '$${A}' }],
  ['${A:-\n}', { text: 'a', whole: true }],
  ['${GONE:-a\nb}', { text: 'a\nb', whole: true }],
  ['${__proto__} ${constructor}', { missing: ['__proto__', 'constructor'] }],
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

// A pattern that backtracks would take hours.
test.each(['${'.repeat(200_000), '${A'.repeat(100_000), '$'.repeat(400_000), `\${A:-${' '.repeat(400_000)}`])(
  'huge input takes linear time',
  (source) => expect(cpuMs(() => expect(expandEnv(source, env).text).toBe(source))).toBeLessThan(5000),
)
