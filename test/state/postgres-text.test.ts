import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Op } from '../../src/core/state.ts'
import { inOrder, lockOf } from '../../src/state/postgres/locks.ts'
import { pack, type Ready } from '../../src/state/postgres/plain.ts'
import { fromPg, toPg } from '../../src/state/postgres/text.ts'
import { callOf } from '../../src/state/postgres/wire.ts'

const text = fc.string({
  unit: fc.constantFrom('a', 'u', '0', '\u0000', '\u0001', '\u0002', '\ud800', '\udc00', '😀', 'é'),
  maxLength: 8,
})

test('text comes back as it went, holds nothing PostgreSQL refuses, and no two become one (property)', () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      const kept = toPg(a)
      expect(fromPg(kept)).toBe(a)
      expect(kept.isWellFormed()).toBe(true)
      expect(kept).not.toMatch(/[\u0000\u0002]/)
      expect(toPg(a) === toPg(b)).toBe(a === b)
    }),
    { numRuns: 2000, seed: 7 },
  )
})

const ready = (ops: readonly Op[], more: { dry?: boolean } = {}): Ready => ({
  scope: '1:a1:b',
  ops,
  call: callOf('1:a1:b', ops, more.dry === true),
})
const put = (id: string, more: Partial<Extract<Op, { op: 'put' }>> = {}): Op => ({
  op: 'put',
  kind: 'k',
  id,
  value: '',
  version: 'v',
  ifVersion: null,
  ...more,
})
const count: Op = { op: 'count', id: 'n', by: 1, expiresAt: 1 }
const slowOf = (...batch: Ready[]) => pack(batch).slow

test('locks are in one order, each once, and the same for one key', () => {
  const locks = ['b', 'a', 'c', 'a'].map((id) => lockOf('1:a1:b', put(id)))
  expect(locks[1]).toBe(locks[3])
  expect(inOrder(new Set(locks))).toEqual([...new Set(locks)].sort((x, y) => x - y))
  expect(lockOf('1:a1:b', { op: 'seal', id: 'g', into: { kind: 'f', idPrefix: '' } })).toBe(
    lockOf('1:a1:b', { ...put('g'), kind: 'buffer' } as Op),
  )
})

test('plain is what only adds; an entry, or a key of a commit that is not plain, that another had first is taken in its turn', () => {
  expect(slowOf(ready([put('a'), count]), ready([put('b'), count]))).toEqual([])
  expect(slowOf(ready([put('x', { ifVersion: 'v', orSkip: true }), count]), ready([put('a'), count]))).toEqual([])
  expect(slowOf(ready([put('a')]), ready([put('a')]), ready([put('b')]))).toEqual([1])
  expect(slowOf(ready([put('a'), put('a')]))).toEqual([0])
  expect(
    slowOf(ready([put('x', { ifVersion: 'v', tags: ['t'] }), count]), ready([put('a'), count]), ready([put('b')])),
  ).toEqual([0, 1])
  expect(slowOf(ready([put('a')], { dry: true }), ready([{ ...put('d'), kind: 'control:t' } as Op]))).toEqual([0, 1])
  expect(slowOf(ready([{ ...count, by: 0 } as Op]), ready([{ op: 'delete', kind: 'k', id: 'a' }]), ready([]))).toEqual([
    0, 1, 2,
  ])
  const claimed = { op: 'delete', kind: 'k', id: 'a', ifClaim: { owner: 'o', number: 1 } } as const
  expect(slowOf(ready([claimed]), ready([put('b', { orSkip: true })]))).toEqual([1])
})
