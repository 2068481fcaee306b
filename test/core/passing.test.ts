import { getHeapSpaceStatistics } from 'node:v8'
import { describe, expect, it } from 'vitest'
import { collectGarbage } from '../../src/app/after-start.ts'
import { Gathering, Passing } from '../../src/core/passing.ts'

describe('what comes and goes', () => {
  it('is found under its key until it leaves, in the order it came', () => {
    const all = new Passing<string, number>()
    all.set('a', 1)
    all.set('b', 2)
    all.set('c', 3)
    all.set('a', 4)
    expect(all.delete('b')).toBe(2)
    expect(all.delete('b')).toBeUndefined()
    expect([all.get('a'), all.get('b'), all.has('c'), all.has('b'), all.size]).toEqual([4, undefined, true, false, 2])
    all.set('b', 5)
    expect([...all.keys()]).toEqual(['a', 'c', 'b'])
    expect([...all.values()]).toEqual([4, 3, 5])
    all.clear()
    expect([all.size, [...all.values()]]).toEqual([0, []])
  })

  it('passes over what leaves while one goes through it', () => {
    const all = new Gathering<string>()
    const leave = ['a', 'b', 'c'].map((x) => all.enter(x))
    const seen: string[] = []
    for (const x of all) {
      seen.push(x)
      leave[0]!()
      leave[1]!()
    }
    expect([seen, all.size]).toEqual([['a', 'c'], 1])
    leave[1]!()
    expect(all.size).toBe(1)
  })

  it('keeps the same member twice, where it has come twice', () => {
    const all = new Gathering<string>()
    const first = all.enter('a')
    all.enter('a')
    first()
    expect([...all]).toEqual(['a'])
  })

  it('is not made old by the short collections when it is gone', () => {
    const old = (): number =>
      getHeapSpaceStatistics().reduce((sum, s) => sum + (/old|large/.test(s.space_name) ? s.space_used_size : 0), 0)
    /** How much is made old while so many come and go, a hundred at a time. */
    const madeOld = (put: (key: string, value: unknown) => void, remove: (key: string) => void): number => {
      for (let i = 0; i < 100; i++) put(`key-${i}`, [])
      collectGarbage()
      collectGarbage()
      const before = old()
      for (let i = 100; i < 20_100; i++) {
        put(
          `key-${i}`,
          Array.from({ length: 100 }, () => ({ i })),
        )
        remove(`key-${i - 100}`)
      }
      return old() - before
    }
    const passing = new Passing<string, unknown>()
    const made = madeOld(
      (k, v) => passing.set(k, v),
      (k) => passing.delete(k),
    )
    // Of some 60 MB that come and go. A Map has 36.
    expect(made).toBeLessThan(8_000_000)
  })
})
