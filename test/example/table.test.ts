import { expect, it } from 'vitest'
import { holds, same, table, tally } from '../../scripts/example/table.ts'

it('a row is right when both sides read the same', () => {
  expect(same('n', 2, 2).ok).toBe(true)
  expect(same('n', 2, '2').ok).toBe(true)
  expect(same('list', [1, 2], [1, 2]).ok).toBe(true)
  expect(same('list', [1, 2], [2, 1]).ok).toBe(false)
  expect(same('none', 0, undefined)).toMatchObject({ seen: 'undefined', ok: false })
})
it('tells values and how often, in one order', () => {
  expect(tally(['b', 'a', 'b'])).toBe('1 × a, 2 × b')
  expect(tally([])).toBe('')
})
it('marks what differs, and writes it out uncut', () => {
  const long = 'x'.repeat(60)
  const text = table([same('good', 1, 1), holds('bad', long, 7, false)])
  expect(text).toMatch(/^ok {2}good/m)
  expect(text).toMatch(/^NO {2}bad/m)
  expect(text).toContain(`expected  ${long}\n  seen      7`)
})
