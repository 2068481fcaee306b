import { describe, expect, test } from 'vitest'
import { type Loop, startLoops } from '../../src/loops/loop.ts'
import { periodic } from '../../src/loops/periodic.ts'
import { testEnv } from '../fakes/env.ts'

interface Counted extends Loop {
  ticks: number
}
const counting = (name: string, tick: (n: number) => Promise<number>, more: Partial<Loop> = {}): Counted => {
  const loop: Counted = {
    ticks: 0,
    ...periodic({ name, everyMs: 1_000, batch: 10, tick: () => tick(++loop.ticks), ...more }),
  }
  return loop
}
const gate = () => {
  let open: () => void = () => {}
  const opened = new Promise<void>((r) => {
    open = r
  })
  return { open, opened }
}

describe('startLoops', () => {
  test('PITFALLS 25: a slow loop, and one that always fails, hold up nobody', async () => {
    const env = testEnv()
    const { open, opened } = gate()
    const slow = counting('slow', () => opened.then(() => 0))
    const broken = counting('broken', () => Promise.reject(new Error('no')))
    const quick = counting('quick', async () => 0)
    const loops = startLoops([slow, broken, quick], env)
    await env.clock.advance(60_000)
    expect(slow.ticks).toBe(1)
    expect(quick.ticks).toBeGreaterThanOrEqual(59)
    open()
    await env.clock.settle()
    const stopped = loops.stop()
    await env.clock.advance(0)
    await stopped
  })
  test('a full batch means again at once', async () => {
    const env = testEnv()
    const loop = counting('full', async (n) => (n < 5 ? 10 : 3))
    const loops = startLoops([loop], env)
    await env.clock.advance(1_000)
    expect(loop.ticks).toBe(5)
    await loops.stop()
  })
  test('failures wait longer each time, are logged, and are forgotten after a success', async () => {
    const env = testEnv()
    const loop = counting('flaky', (n) => (n <= 6 ? Promise.reject(new Error('down')) : Promise.resolve(0)))
    const loops = startLoops([loop], env)
    await env.clock.advance(10_000)
    const early = loop.ticks
    expect(early).toBeLessThanOrEqual(5)
    expect(env.logged.filter((l) => l.level === 'error').length).toBe(early)
    await env.clock.advance(120_000)
    const later = loop.ticks
    expect(later).toBeGreaterThan(6)
    await env.clock.advance(10_000)
    expect(loop.ticks - later).toBe(10)
    await loops.stop()
  })
  test('a nudge runs the next tick now, also one that comes while a tick is running, but not while the loop fails', async () => {
    const env = testEnv()
    let fail = false
    const gates = [gate(), gate(), gate()]
    const loop = counting(
      'n',
      async (n) => {
        if (fail) throw new Error('down')
        await gates[n - 1]?.opened
        return 0
      },
      { everyMs: 60_000 },
    )
    const loops = startLoops([loop], env)
    await env.clock.settle()
    loops.nudge('n')
    loops.nudge('nobody')
    await env.clock.settle()
    expect(loop.ticks).toBe(1)
    loops.nudge('n')
    gates[0]!.open()
    await env.clock.settle()
    expect(loop.ticks).toBe(2)
    gates[1]!.open()
    await env.clock.settle()
    expect(loop.ticks).toBe(2)
    fail = true
    loops.nudge('n')
    await env.clock.settle()
    for (let i = 0; i < 10; i++) {
      loops.nudge('n')
      await env.clock.settle()
    }
    expect(loop.ticks).toBe(3)
    await loops.stop()
  })
  test('stop begins no further tick and waits for those under way', async () => {
    const env = testEnv()
    const { open, opened } = gate()
    const loop = counting('slow', () => opened.then(() => 10))
    const loops = startLoops([loop], env)
    await env.clock.advance(1_000)
    let stopped = false
    const stopping = loops.stop().then(() => {
      stopped = true
    })
    await env.clock.advance(5_000)
    expect(stopped).toBe(false)
    open()
    await stopping
    expect(loop.ticks).toBe(1)
    expect(env.clock.pending).toBe(0)
  })
})
