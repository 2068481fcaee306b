import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Json } from '../../src/core/json.ts'
import { largeNumber } from '../../src/http/large-number.ts'

const found = (text: string): string | undefined => largeNumber(text, JSON.parse(text) as Json)

it('finds every number that is read as Infinity, however it is written, and no other', () => {
  const digits = fc
    .integer({ min: 1, max: 420 })
    .chain((length) => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: length, maxLength: length }))
  const number = fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.constantFrom('1', '9'),
      digits,
      fc.option(digits, { nil: undefined }),
      fc.option(fc.integer({ min: -420, max: 420 }), { nil: undefined }),
      fc.constantFrom('e', 'E', 'e0', 'E00'),
    )
    .map(([sign, first, whole, fraction, exponent, e]) => {
      const mantissa = `${sign}${first}${whole}${fraction === undefined ? '' : `.${fraction}`}`
      if (exponent === undefined) return mantissa
      return `${mantissa}${exponent < 0 ? `${e[0]}-` : e}${Math.abs(exponent)}`
    })
  fc.assert(
    fc.property(fc.string(), number, (beside, n) => {
      const pointer = Number.isFinite(Number(n)) ? undefined : '/1/a'
      expect(found(`[${JSON.stringify(beside)},{"a":${n}}]`)).toBe(pointer)
    }),
    { numRuns: 2000 },
  )
})

it('text that only looks so is no number', () => {
  expect(found(`{"a":"1e400","b":"${'9'.repeat(400)}","c":1e307}`)).toBeUndefined()
})
