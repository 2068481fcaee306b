import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Scope } from '../../src/core/action.ts'
import type { RunLimit } from '../../src/core/plan.ts'
import { runCounts } from '../../src/dispatch/run-counts.ts'
import { testEnv } from '../fakes/env.ts'

const limit = (count: number, windowMs: number, id = 'w'): RunLimit => ({
  rule: 'r',
  limit: 'rule_limit',
  id,
  count,
  windowMs,
  window: 'PT1S',
  mode: 'warn',
  since: '',
})
const HERE: Scope = ['default', 'default']

function counts() {
  const warned: string[] = []
  const env = testEnv()
  return { env, warned, counts: runCounts({ log: env.log, warned: (rule) => void warned.push(rule) }) }
}

describe('runs counted in memory', () => {
  it('never warns a rule within its limit, and always one that is over it in a hundredth less than the window (property)', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 12 }), (steps, count) => {
        const { counts: c } = counts()
        const of = limit(count, 1000)
        const times: number[] = []
        let now = 1_700_000_000_000
        for (const gap of steps) {
          now += gap
          const over = c.of(HERE, of).warning(now) !== undefined
          const within = (span: number) => times.filter((t) => t > now - span).length
          if (within(1000) < count) expect(over).toBe(false)
          if (within(990) >= count) expect(over).toBe(true)
          c.ran([c.of(HERE, of)], now)
          times.push(now)
        }
      }),
    )
  })

  it('each scope and each limit for itself', () => {
    const { counts: c } = counts()
    const two = limit(1, 1000, 'x')
    c.ran([c.of(HERE, limit(1, 1000))], 5000)
    expect(c.of(HERE, limit(1, 1000)).warning(5000)).toBe('hot: rule "r" has had more than 1 run in PT1S')
    expect(c.of(HERE, two).warning(5000)).toBeUndefined()
    for (const scope of [
      ['default', 'x'],
      ['x', 'default'],
      ['default:', 'default'],
    ] as Scope[])
      expect(c.of(scope, limit(1, 1000)).warning(5000)).toBeUndefined()
  })

  it('a clock that goes back counts where it stood', () => {
    const { counts: c } = counts()
    const of = limit(2, 1000)
    c.ran([c.of(HERE, of)], 5000)
    c.ran([c.of(HERE, of)], 4000)
    expect(c.of(HERE, of).warning(5000)).toBeDefined()
  })

  it('a changed limit applies with its next count', () => {
    const { counts: c } = counts()
    c.ran([c.of(HERE, limit(1, 1000))], 5000)
    expect(c.of(HERE, limit(5, 1000)).warning(5000)).toBeUndefined()
  })

  it('keeps what is in use, however many scopes come by, and not every scope that ever came', () => {
    const { counts: c } = counts()
    const of = limit(3, 1_000_000)
    for (let i = 0; i < 30_000; i++) {
      c.ran([c.of([`n${i}`, 't'], of)], 5000)
      if (i % 1000 === 0 && i < 4000) c.ran([c.of(HERE, of)], 5000)
      else c.of(HERE, of)
    }
    expect(c.of(HERE, of).warning(5000)).toBeDefined()
    // Long gone: counted from nothing.
    for (let i = 0; i < 2; i++) c.ran([c.of(['n0', 't'], of)], 5000)
    expect(c.of(['n0', 't'], of).warning(5000)).toBeUndefined()
  })

  it('says so once a minute for a rule, whatever the number of scopes, and how many there were', () => {
    const { counts: c, env, warned } = counts()
    const of = limit(1, 1_000_000)
    const run = (n: number, now: number) => {
      for (let i = 0; i < n; i++) c.ran([c.of([`n${i % 3}`, 't'], of)], now)
    }
    run(10, 1000)
    run(10, 60_999)
    run(1, 61_000)
    expect(warned).toHaveLength(18)
    expect(env.logged.map((l) => (l.fields as { runs_over: number }).runs_over)).toEqual([1, 17])
  })
})
