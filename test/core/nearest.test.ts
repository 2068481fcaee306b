import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { didYouMean, nearest } from '../../src/core/nearest.ts'
import { cpuMs } from '../fakes/cpu.ts'

const operators = ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'between', 'contains', 'starts_with', 'ends_with', 'matches']
const settings = ['max_retries', 'timeout_seconds', 'deadline_seconds', 'max_concurrent', 'backoff_initial_ms']

test.each([
  ['contians', operators, 'contains'], // a swap is one slip, not two
  ['start_with', operators, 'starts_with'],
  ['startsWith', operators, 'starts_with'],
  ['EQ', operators, 'eq'],
  ['eqq', operators, 'eq'],
  ['maxRetries', settings, 'max_retries'],
  ['timeout_second', settings, 'timeout_seconds'],
  ['timeout', settings, undefined],
  ['xyz', operators, undefined],
  ['', operators, undefined],
  ['anything', [], undefined],
  ['gtx', ['gt', 'gte'], 'gt'], // the first of two that are as near
  ['gtx', ['gte', 'gt'], 'gte'],
])('%s', (word, known, expected) => expect(nearest(word, known)).toBe(expected))

describe('didYouMean', () => {
  it('is made to be appended to a message', () =>
    expect(didYouMean('contians', operators)).toBe('; did you mean "contains"?'))
  it('gives hints to the first of very many slips, and to those of the next turn again', async () => {
    const known = Array.from({ length: 500 }, (_, i) => `word${i}`)
    const told = Array.from({ length: 100 }, () => didYouMean('wrd1', known))
    const first = told.indexOf('')
    expect(first).toBeGreaterThan(20)
    expect(told.slice(first).join('')).toBe('')
    await Promise.resolve()
    expect(didYouMean('wrd1', known)).toContain('word1')
  })
  it.each([
    ['and', ['all', 'any', 'not'], 'all'], // one letter from any, and the opposite of it
    ['or', ['all', 'any', 'not'], 'any'],
    ['ge', operators, 'gte'],
    ['dedup', ['deduplicate', 'group'], 'deduplicate'],
    ['drop', ['suppress', 'group'], 'suppress'],
    ['smtp', ['webhook', 'email'], 'email'],
    ['sns', ['aws-sns', 'aws-sqs'], 'aws-sns'],
    ['timeout', settings, 'timeout_seconds'],
    ['host', ['smtp_host', 'smtp_port', 'to'], 'smtp_host'],
  ])('knows what other tools call it, and a part of a word: %s', (word, known, expected) =>
    expect(didYouMean(word, known)).toBe(`; did you mean "${expected}"?`),
  )
  it('guesses by no part that several words have', () => expect(didYouMean('max', settings)).toBe(''))
  it('is nothing where nothing is near', () => expect(didYouMean('xyz', operators)).toBe(''))
})

/** The definition, every cell of it. */
function distance(a: string, b: string): number {
  const d = (i: number, j: number): number => table[i]![j]!
  const table = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_, j) => (i === 0 ? j : i)),
  )
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      let least = Math.min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, d(i - 2, j - 2) + 1)
      table[i]![j] = least
    }
  return d(a.length, b.length)
}

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '_'), maxLength: 26 })
test('it is the first of the nearest by the whole table, no further than half the word', () => {
  fc.assert(
    fc.property(word, fc.array(word, { maxLength: 8 }), (w, known) => {
      const limit = Math.min(10, Math.max(1, Math.floor(w.length / 2)))
      const all = known.map((k) => distance(w, k))
      const least = Math.min(...all)
      expect(nearest(w, known)).toBe(least <= limit ? known[all.indexOf(least)] : undefined)
    }),
    { numRuns: 500 },
  )
})

// Anybody may ask for a rule by a long wrong name; filling the whole table of each took seconds.
test.each([
  ['nothing like them', 'q'.repeat(200), undefined],
  ['the beginning in common', `rule-x${'abcdefgh'.repeat(14)}`, 'rule-0'.padEnd(120, 'abcdefgh')],
  ['longer than any name', 'r'.repeat(2_000_000), undefined],
])('ten thousand long names are looked through at once: %s', (_, w, expected) => {
  const known = Array.from({ length: 10_000 }, (_, i) => `rule-${i}`.padEnd(120, 'abcdefgh'))
  let told: string | undefined
  expect(cpuMs(() => (told = nearest(w, known)))).toBeLessThan(5000)
  expect(told).toBe(expected)
})
