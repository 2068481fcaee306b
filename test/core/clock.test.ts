import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Clock, deadline, deadlineSignal, isoTime, monotonicClock, systemClock } from '../../src/core/clock.ts'
import { fakeClock } from '../fakes/clock.ts'

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

/** The machine's two clocks, set by the test. */
function machine(wall = 1_700_000_000_000) {
  const at = { wall, passed: 500.25 }
  vi.spyOn(Date, 'now').mockImplementation(() => at.wall)
  vi.spyOn(performance, 'now').mockImplementation(() => at.passed)
  const go = (ms: number): void => {
    at.wall += ms
    at.passed += ms
  }
  return { at, go }
}
afterEach(() => void vi.restoreAllMocks())

describe('the time', () => {
  it('is that of the machine, in whole milliseconds', () => {
    const { go } = machine()
    const clock = systemClock()
    expect(clock.now()).toBe(1_700_000_000_000)
    go(10.5)
    expect(clock.now()).toBe(1_700_000_000_010)
  })

  it('never goes back when the machine is set back, and goes on', () => {
    const { at, go } = machine()
    const clock = systemClock()
    go(1000)
    const before = clock.now()
    at.wall -= 3_600_000
    expect(clock.now()).toBe(before)
    go(20)
    expect(clock.now()).toBe(before + 20)
  })

  it('follows the machine forward, as after it slept, and does not come back from there', () => {
    const { at, go } = machine()
    const clock = systemClock()
    at.wall += 8 * 3_600_000 // asleep: the monotonic clock stood still
    expect(clock.now()).toBe(at.wall)
    at.wall -= 5000
    const before = clock.now()
    go(5)
    expect(clock.now()).toBe(before + 5)
  })

  it('a monotonic clock follows no change of the machine, neither back nor forward', () => {
    const { at, go } = machine()
    const clock = monotonicClock()
    expect(clock.now()).toBe(1_700_000_000_000)
    at.wall += 8 * 3_600_000
    go(10.5)
    expect(clock.now()).toBe(1_700_000_000_010)
    at.wall -= 9 * 3_600_000
    go(10)
    expect(clock.now()).toBe(1_700_000_000_020)
  })

  it('never goes back on this machine', () => {
    const clock = systemClock()
    let last = clock.now()
    for (let i = 0; i < 50_000; i++) {
      const now = clock.now()
      if (now < last) expect(now).toBeGreaterThanOrEqual(last)
      last = now
    }
    expect(Math.abs(last - Date.now())).toBeLessThan(1000)
  })
})

describe('a deadline', () => {
  /** Its time and its timers go as the test says. */
  function stopped() {
    const timers: { readonly ms: number; readonly fn: () => void; cancelled: boolean }[] = []
    const at = { now: 0 }
    const timer: Clock['timer'] = (ms, fn) => {
      const one = { ms, fn, cancelled: false }
      timers.push(one)
      return {
        cancel() {
          one.cancelled = true
        },
      }
    }
    return { at, timers, clock: { now: () => at.now, timer, sleep: async () => {} } satisfies Clock }
  }

  it('that comes in time is the end', () => {
    const { at, timers, clock } = stopped()
    const fn = vi.fn()
    deadline(clock, 500, fn)
    at.now = 700
    timers[0]!.fn()
    expect(fn).toHaveBeenCalledTimes(1)
    expect(timers).toHaveLength(1)
  })

  it('after a standstill leaves a moment to read what has arrived, and can be cancelled in it', () => {
    const { at, timers, clock } = stopped()
    const fn = vi.fn()
    const answered = deadline(clock, 500, fn)
    deadline(clock, 500, fn)
    at.now = 30_000
    for (const { fn } of timers.slice(0, 2)) fn()
    expect(fn).not.toHaveBeenCalled()
    answered.cancel()
    expect(timers.map((t) => [t.ms, t.cancelled])).toEqual([
      [500, false],
      [500, false],
      [100, true],
      [100, false],
    ])
    timers[3]!.fn()
    expect(fn).toHaveBeenCalledTimes(1)
  })
})

describe('timers and sleeps', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  it('a timer fires once, when it is time', () => {
    const fn = vi.fn()
    systemClock().timer(50, fn)
    vi.advanceTimersByTime(49)
    expect(fn).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1000)
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('a cancelled one never', () => {
    const fn = vi.fn()
    const t = systemClock().timer(50, fn)
    t.cancel()
    t.cancel()
    expect(vi.getTimerCount()).toBe(0)
  })

  it.each([2 ** 31, 1e12, Number.POSITIVE_INFINITY])('a delay of %d does not fire at once', (ms) => {
    const fn = vi.fn()
    systemClock().timer(ms, fn)
    vi.advanceTimersByTime(2 ** 31 - 2)
    expect(fn).not.toHaveBeenCalled()
  })

  it('one in the past fires at the next turn', () => {
    const fn = vi.fn()
    systemClock().timer(-5, fn)
    vi.advanceTimersByTime(1)
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('a sleep that ends leaves no listener on its signal', async () => {
    const { signal } = new AbortController()
    const sleeping = systemClock().sleep(50, signal)
    expect(listeners(signal)).toBe(1)
    vi.advanceTimersByTime(50)
    await sleeping
    expect(listeners(signal)).toBe(0)
  })

  it('a sleep that is cut short leaves neither timer nor listener, and does not reject', async () => {
    const abort = new AbortController()
    const sleeping = systemClock().sleep(50, abort.signal)
    abort.abort(new Error('why'))
    await expect(sleeping).resolves.toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
    expect(listeners(abort.signal)).toBe(0)
  })

  it('a sleep whose signal has fired already does not begin', async () => {
    await systemClock().sleep(1e9, AbortSignal.abort())
    expect(vi.getTimerCount()).toBe(0)
  })
})

it('a timer alone does not keep the process alive', () => {
  const before = process.getActiveResourcesInfo().filter((r) => r === 'Timeout').length
  const t = systemClock().timer(60_000, () => {})
  expect(process.getActiveResourcesInfo().filter((r) => r === 'Timeout').length).toBe(before)
  t.cancel()
})

describe('a deadline', () => {
  it('aborts as a time-out, on the given clock', async () => {
    const clock = fakeClock()
    const { signal } = deadlineSignal(clock, 100)
    await clock.advance(99)
    expect(signal.aborted).toBe(false)
    await clock.advance(1)
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' })
  })

  it('cleared, it never does and leaves no timer', async () => {
    const clock = fakeClock()
    const { signal, clear } = deadlineSignal(clock, 100)
    clear()
    expect(clock.pending).toBe(0)
    await clock.advance(1000)
    expect(signal.aborted).toBe(false)
  })
})

it('times are written as RFC 3339, to the millisecond, in UTC', () =>
  expect(isoTime(1_700_000_000_001)).toBe('2023-11-14T22:13:20.001Z'))
