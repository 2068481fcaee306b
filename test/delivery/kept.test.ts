import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../src/core/json.ts'
import { kept } from '../../src/delivery/kept.ts'

const bytes = (v: Json): number => Buffer.byteLength(JSON.stringify(v))

test('an answer is kept whole where it fits, else the start of it, whatever it is made of (property)', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', '"', '\\', '\n', '\u0000', '\u00e9', '\u{1f600}', '\ud800'),
    maxLength: 400,
  })
  fc.assert(
    fc.property(text, fc.integer({ min: 100, max: 600 }), (said, most) => {
      const body = { said }
      const left = kept(body, most)
      expect(bytes(left)).toBeLessThanOrEqual(most)
      if (bytes(body) <= most) expect(left).toBe(body)
      else {
        const start = (left as { text: string }).text
        expect(left).toEqual({ text: start, truncated: true })
        expect(JSON.stringify(body).startsWith(start)).toBe(true)
      }
    }),
    { seed: 413 },
  )
})
test('without a limit it is not looked at', () => {
  const body = { said: 'x'.repeat(1000) }
  expect(kept(body, Number.POSITIVE_INFINITY)).toBe(body)
})
