import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Committed, Refused } from '../../../src/core/state.ts'
import { type OpenState, runs, subject } from './subject.ts'

export function guardsContract(open: OpenState): void {
  describe('guards', () => {
    const s = subject(open)
    const count = (by: number, limit?: number, ttl = 1000) =>
      ({ op: 'count', id: 'n', by, expiresAt: s.clock.now() + ttl, ...(limit === undefined ? {} : { limit }) }) as const
    const admit = (max: number, windowMs: number, id = 'w') => ({ op: 'admit', id, max, windowMs }) as const

    it('PITFALLS 14: a counter never passes its limit, however many race', async () => {
      const all = await Promise.all(Array.from({ length: 60 }, () => s.state.commit(s.scope, [count(1, 25)])))
      expect(all.filter((r) => r.ok)).toHaveLength(25)
      expect(all.filter((r) => !r.ok && r.n === 25)).toHaveLength(35)
    })
    it('counts by more than one, all or none', async () => {
      expect(await s.ok(count(7, 10))).toEqual([{ n: 7 }])
      expect(await s.no(count(4, 10))).toEqual({ ok: false, at: 0, n: 7 })
      expect(await s.ok(count(3, 10))).toEqual([{ n: 10 }])
      expect(await s.no(count(11, 10))).toMatchObject({ n: 10 })
    })
    it('PITFALLS 10, 12: the expiry of a counter is set when it begins, and never extended', async () => {
      await s.ok(count(1, 2, 1000))
      await s.clock.advance(600)
      await s.ok(count(1, 2, 1000))
      await s.no(count(1, 2, 1000))
      await s.clock.advance(399)
      await s.no(count(1, 2, 1000))
      await s.clock.advance(1)
      expect(await s.state.peek('count', s.scope, ['n'])).toEqual([undefined])
      expect(await s.ok(count(1, 2, 1000))).toEqual([{ n: 1 }])
    })
    it('a slot has at most max holders; the same holder renews; a freed one is free', async () => {
      const slot = (holder: string, ttl: number, max = 2) =>
        ({ op: 'slot', id: 's', holder, max, until: ttl === 0 ? 0 : s.clock.now() + ttl }) as const
      expect(await s.ok(slot('a', 100), slot('b', 200))).toEqual([{ n: 1 }, { n: 2 }])
      expect(await s.no(slot('c', 100))).toMatchObject({ n: 2, retryAt: s.clock.now() + 100 })
      expect(await s.ok(slot('a', 300))).toEqual([{ n: 2 }])
      expect((await s.no(slot('c', 100))).retryAt).toBe(s.clock.now() + 200)
      expect(await s.ok(slot('b', 0))).toEqual([{ n: 1 }])
      expect(await s.ok(slot('c', 100))).toEqual([{ n: 2 }])
      expect(await s.ok(slot('nobody', 0))).toEqual([{ n: 2 }])
    })
    it('a slot of which there are none is refused: at once where nobody holds one, until the last is free where somebody does', async () => {
      const slot = (holder: string, max: number) =>
        ({ op: 'slot', id: 's', holder, max, until: s.clock.now() + 100 }) as const
      expect(await s.no(slot('a', 0))).toEqual({ ok: false, at: 0, n: 0 })
      await s.ok(slot('a', 1))
      expect(await s.no(slot('b', 0))).toEqual({ ok: false, at: 0, n: 1, retryAt: s.clock.now() + 100 })
    })
    it('PITFALLS 71: a holder that died frees its slot when its time is over', async () => {
      const slot = (holder: string) => ({ op: 'slot', id: 's', holder, max: 1, until: s.clock.now() + 50 }) as const
      await s.ok(slot('dead'))
      await s.no(slot('next'))
      await s.clock.advance(50)
      expect(await s.ok(slot('next'))).toEqual([{ n: 1 }])
    })

    it('admits max in a window, and says truly when the next may come', async () => {
      const start = s.clock.now()
      await s.ok(admit(2, 1000))
      await s.clock.advance(300)
      await s.ok(admit(2, 1000))
      await s.clock.advance(300)
      expect(await s.no(admit(2, 1000))).toEqual({ ok: false, at: 0, n: 2, retryAt: start + 1000 })
      await s.clock.advance(399)
      await s.no(admit(2, 1000))
      await s.clock.advance(1)
      await s.ok(admit(2, 1000))
      expect((await s.no(admit(2, 1000))).retryAt).toBe(start + 1300)
    })
    it('PITFALLS 10: a source below the limit is never refused, however often others were', async () => {
      for (let i = 0; i < 40; i++) {
        expect((await s.state.commit(s.scope, [admit(1, 1000)])).ok).toBe(true)
        for (let j = 0; j < 5; j++) {
          await s.clock.advance(199)
          await s.no(admit(1, 1000))
        }
        await s.clock.advance(5)
      }
    })
    it('a changed max applies to what is stored', async () => {
      for (let i = 0; i < 5; i++) await s.ok(admit(5, 1000))
      expect((await s.no(admit(3, 1000))).n).toBe(5)
      await s.ok(admit(150, 1000))
      expect((await s.state.peek('admit', s.scope, ['w']))[0]?.n).toBe(6)
      expect((await s.no(admit(6, 1000))).n).toBe(6)
      await s.clock.advance(1010)
      expect(await s.ok(admit(6, 1000))).toEqual([{ n: 1 }])
    })
    it('max 0 admits nobody', async () => {
      expect((await s.no(admit(0, 1000))).retryAt).toBe(s.clock.now() + 1000)
    })

    const windowMs = 1000
    const gaps = (longest: number) => fc.array(fc.integer({ min: 0, max: longest }), { minLength: 30, maxLength: 120 })
    async function admissions(
      steps: readonly number[],
      max: number,
    ): Promise<{ at: number; r: Committed | Refused }[]> {
      const id = s.env.newId()
      const seen: { at: number; r: Committed | Refused }[] = []
      for (const gap of steps) {
        if (gap > 0) await s.clock.advance(gap)
        seen.push({ at: s.clock.now(), r: await s.state.commit(s.scope, [admit(max, windowMs, id)]) })
      }
      return seen
    }
    const most = (times: readonly number[], span: number): number =>
      Math.max(0, ...times.map((t) => times.filter((u) => u >= t && u < t + span).length))

    it('PITFALLS 11: never over max in any span, never refuses a conforming source, retry_at is the first moment (property, exact)', async () => {
      await fc.assert(
        fc.asyncProperty(gaps(300), fc.integer({ min: 1, max: 6 }), async (steps, max) => {
          const seen = await admissions(steps, max)
          const admitted = seen.filter((x) => x.r.ok).map((x) => x.at)
          expect(most(admitted, windowMs)).toBeLessThanOrEqual(max)
          for (const { at, r } of seen) {
            if (r.ok) continue
            const inside = admitted.filter((t) => t <= at && t > at - windowMs)
            expect(inside).toHaveLength(max)
            expect(r.retryAt).toBe(inside[0]! + windowMs)
          }
        }),
        { numRuns: runs(open, 15), seed: 11 },
      )
    })
    it('never over max in any span, and a source under 99 % is never refused (property, above 100)', async () => {
      const max = 120
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(7), { minLength: 250, maxLength: 300 }), async (steps) => {
          const seen = await admissions(steps, max)
          const admitted = seen.filter((x) => x.r.ok).map((x) => x.at)
          expect(most(admitted, windowMs)).toBeLessThanOrEqual(max)
          for (const { at, r } of seen) {
            if (r.ok) continue
            // It asked for at least 99 % of the limit within the last 1.01 windows.
            expect(admitted.filter((t) => t > at - windowMs * 1.01 && t <= at).length).toBeGreaterThanOrEqual(
              max * 0.99,
            )
            expect(r.retryAt!).toBeGreaterThan(at)
            expect(r.retryAt!).toBeLessThanOrEqual(at + windowMs * 1.01)
          }
        }),
        { numRuns: runs(open, 4), seed: 99 },
      )
    })
    it('above 100: asked again at retry_at, it is admitted; a moment before, it is not', async () => {
      for (let i = 0; i < 101; i++) await s.ok(admit(101, windowMs))
      const { retryAt } = await s.no(admit(101, windowMs))
      await s.clock.advance(retryAt! - s.clock.now() - 1)
      expect((await s.no(admit(101, windowMs))).retryAt).toBe(retryAt)
      await s.clock.advance(1)
      await s.ok(admit(101, windowMs))
    })
  })
}
