import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseDuration } from '../../src/core/duration.ts'

describe('an ISO 8601 duration', () => {
  it.each([
    ['PT1M', 60_000],
    ['PT30S', 30_000],
    ['PT0.5S', 500],
    ['PT1H30M', 5_400_000],
    ['P1D', 86_400_000],
    ['P1DT1S', 86_401_000],
    ['P2W', 1_209_600_000],
    ['PT90M', 5_400_000],
    ['P366D', 31_622_400_000],
  ])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms))

  it.each(['P1Y', 'P1M', 'P1Y2D', 'P1Y6MT1H', 'P0.5Y', 'P2M1D'])('%s varies', (text) =>
    expect(parseDuration(text)).toMatch(/years or months/),
  )

  it.each(['', 'P', 'PT', 'P1DT', 'pt1m', '1m', '60', 'PT1M ', 'PT1S1M', 'P1H', 'P1W1D', '-PT1M', 'PT1.5M', 'PT1,5S'])(
    '"%s" is none',
    (text) => expect(parseDuration(text)).toMatch(/no ISO 8601 duration/),
  )

  it('is neither nothing nor longer than a year', () => {
    expect(parseDuration('PT0S')).toMatch(/no time at all/)
    expect(parseDuration('P367D')).toMatch(/longer than a year/)
    expect(parseDuration(`PT${'9'.repeat(400)}S`)).toMatch(/longer than a year/)
  })

  it('is the sum of its parts, whichever are there', () => {
    const part = fc.option(fc.integer({ min: 0, max: 90 }), { nil: undefined })
    fc.assert(
      fc.property(part, part, part, part, (d, h, m, s) => {
        const of = (n: number | undefined, unit: string) => (n === undefined ? '' : `${n}${unit}`)
        const time = of(h, 'H') + of(m, 'M') + of(s, 'S')
        const ms = (((d ?? 0) * 24 + (h ?? 0)) * 60 + (m ?? 0)) * 60_000 + (s ?? 0) * 1000
        fc.pre(ms > 0)
        expect(parseDuration(`P${of(d, 'D')}${time === '' ? '' : `T${time}`}`)).toBe(ms)
      }),
    )
  })
})
