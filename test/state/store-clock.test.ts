import { describe, expect, it } from 'vitest'
import { type StoreClock, storeClock } from '../../src/state/store-clock.ts'
import { fakeClock } from '../fakes/clock.ts'

/** A server whose clock differs by `ahead`, and takes `there` and `back` to be asked. */
async function shared(opts: { ahead?: number; there?: number; back?: number } = {}) {
  const local = fakeClock()
  const server = { ahead: opts.ahead ?? 0, there: opts.there ?? 0, back: opts.back ?? 0, down: false, asked: 0 }
  const jumps: number[] = []
  const opening = storeClock(local, {
    async ask() {
      server.asked++
      if (server.there > 0) await local.sleep(server.there)
      if (server.down) throw new Error('down')
      const time = local.now() + server.ahead
      if (server.back > 0) await local.sleep(server.back)
      return time
    },
    onJump: (ms) => jumps.push(ms),
    everyMs: 10_000,
  })
  await local.advance((server.there + server.back) * 5)
  const clock: StoreClock = await opening
  return { local, server, clock, jumps, off: () => clock.now() - local.now() - server.ahead }
}

describe('the clock of a shared store', () => {
  it('tells the time of the store, whatever the machine believes', async () => {
    for (const ahead of [-3_600_000, -7, 0, 42, 86_400_000]) {
      const s = await shared({ ahead })
      expect(s.off()).toBe(0)
      await s.local.advance(1234)
      expect(s.off()).toBe(0)
      expect(s.clock.offsetMs).toBe(ahead)
      expect(s.clock.unsteady()).toBeUndefined()
    }
  })
  it('takes the answer for as old as half of the way, and is off by no more than that', async () => {
    expect((await shared({ ahead: 100, there: 40, back: 40 })).off()).toBe(0)
    expect(Math.abs((await shared({ ahead: 100, there: 80, back: 0 })).off())).toBeLessThanOrEqual(40)
    expect(Math.abs((await shared({ ahead: 100, there: 0, back: 80 })).off())).toBeLessThanOrEqual(40)
  })
  it('follows a drift without being told a jump', async () => {
    const s = await shared({ ahead: 1000 })
    s.server.ahead = 1100
    await s.local.advance(10_000)
    expect(s.off()).toBe(0)
    expect(s.jumps).toEqual([])
  })
  it('never goes back: it stands until the store has caught up', async () => {
    const s = await shared({ ahead: 1000 })
    const before = s.clock.now()
    s.server.ahead = 700
    await s.local.advance(10_000)
    expect(s.off()).toBe(0)
    const last = s.clock.now()
    expect(last).toBe(before + 9700)
    s.server.ahead = 400
    await s.local.advance(9999)
    const high = s.clock.now()
    await s.local.advance(1)
    expect(s.clock.now()).toBe(high)
    expect(s.off()).toBe(299)
    await s.local.advance(300)
    expect(s.off()).toBe(0)
  })
  it('a jump is told and leaves the node unsteady until a second look agrees', async () => {
    const s = await shared()
    s.server.ahead = 60_000
    await s.local.advance(10_000)
    expect(s.jumps).toEqual([60_000])
    expect(s.clock.unsteady()).toBe("the clock was 60000 ms off the store's")
    expect(s.off()).toBe(0)
    await s.local.advance(1000)
    expect(s.clock.unsteady()).toBeUndefined()
    expect(s.jumps).toEqual([60_000])
  })
  it('a jump back leaves the node unsteady for as long as it is ahead', async () => {
    const s = await shared()
    await s.local.advance(9999)
    s.clock.now()
    s.server.ahead = -5000
    await s.local.advance(1001)
    expect(s.jumps).toEqual([-5000])
    const now = s.clock.now()
    expect(s.clock.unsteady()).toBe("the clock is 3999 ms ahead of the store's")
    await s.local.advance(3000)
    expect(s.clock.now()).toBe(now)
    await s.local.advance(1000)
    expect(s.clock.unsteady()).toBeUndefined()
    expect(s.off()).toBe(0)
  })
  it('a slow answer is no jump, and does not spoil what is known better', async () => {
    const s = await shared({ ahead: 100 })
    s.server.back = 1800
    await s.local.advance(12_000)
    expect(s.jumps).toEqual([])
    expect(s.off()).toBe(0)
    s.server.back = 300
    await s.local.advance(20_000)
    expect(s.off()).toBe(0)
    expect(s.clock.unsteady()).toBeUndefined()
  })
  it('a store that is away changes nothing, and is asked again soon', async () => {
    const s = await shared({ ahead: 100 })
    s.server.down = true
    await s.local.advance(10_000)
    const { asked } = s.server
    await s.local.advance(3000)
    expect(s.server.asked).toBe(asked + 3)
    expect(s.off()).toBe(0)
    s.server.down = false
    s.server.ahead = 5000
    await s.local.advance(1000)
    expect(s.jumps).toEqual([4900])
  })
  it('measures no more once it is stopped', async () => {
    const s = await shared()
    const { asked } = s.server
    s.clock.stop()
    await s.local.advance(60_000)
    expect(s.server.asked).toBe(asked)
    expect(s.local.pending).toBe(0)
  })
})
