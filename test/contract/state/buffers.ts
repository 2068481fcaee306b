import { describe, expect, it } from 'vitest'
import { type OpenState, subject } from './subject.ts'

interface Sealed {
  readonly buffer: string
  readonly value: string
  readonly seal: number
  readonly sealed_at: number
  readonly items: readonly { readonly itemId: string; readonly item: string; readonly at: number }[]
}

export function buffersContract(open: OpenState): void {
  describe('buffers', () => {
    const s = subject(open)
    const into = () => ({ kind: s.kind, idPrefix: 'flush/', tags: ['group:g'] })
    const append = (
      itemId: string,
      more: { item?: string; maxItems?: number; maxBytes?: number; value?: string } = {},
    ) =>
      ({
        op: 'append',
        id: 'g',
        itemId,
        item: `item ${itemId}`,
        value: 'head',
        maxItems: 100,
        maxBytes: 10_000,
        waitMs: 30,
        intervalMs: 100,
        into: into(),
        ...more,
      }) as const
    const seal = (more: { ifDue?: boolean; dueAt?: number } = {}) =>
      ({ op: 'seal', id: 'g', into: into(), ...more }) as const
    const peek = async () => (await s.state.peek('buffer', s.scope, ['g']))[0]
    const sealed = async (id: string): Promise<Sealed | undefined> => {
      const e = await s.get(id)
      return e && (JSON.parse(e.value) as Sealed)
    }
    const ids = (f: Sealed | undefined) => f?.items.map((i) => i.itemId)

    it('the first item opens it; the same item twice is once; the value is the first one\u2019s', async () => {
      const dueAt = s.clock.now() + 30
      expect(await s.ok(append('a'))).toEqual([{ n: 1, dueAt }])
      await s.clock.advance(5)
      expect(await s.ok(append('b', { value: 'other' }))).toEqual([{ n: 2, dueAt }])
      expect(await s.ok(append('a', { item: 'again' }))).toEqual([{ n: 2, dueAt, skipped: true }])
      expect(await peek()).toEqual({
        n: 2,
        dueAt,
        bytes: 12,
        value: 'head',
        items: [
          { itemId: 'a', item: 'item a', at: dueAt - 30 },
          { itemId: 'b', item: 'item b', at: dueAt - 25 },
        ],
      })
    })
    it('PITFALLS 19, 63: sealing makes a frozen entry and empties the buffer in one step', async () => {
      await s.ok(append('a'), append('b'))
      const now = s.clock.now()
      expect(await s.ok(seal())).toEqual([{ n: 2, sealed: ['flush/1'] }])
      expect(await s.get('flush/1')).toMatchObject({ dueAt: now, attempts: 0, tags: ['group:g'] })
      expect(await sealed('flush/1')).toEqual({
        buffer: 'g',
        value: 'head',
        seal: 1,
        sealed_at: now,
        items: [
          { itemId: 'a', item: 'item a', at: now },
          { itemId: 'b', item: 'item b', at: now },
        ],
      })
      expect(await peek()).toBeUndefined()
      expect(await s.ok(seal())).toEqual([{ skipped: true }])
      // An event that arrives while the flush is under way is in the next buffer, and the flush does not change.
      await s.ok(append('c'))
      expect(ids(await sealed('flush/1'))).toEqual(['a', 'b'])
      expect((await peek())?.items?.map((i) => i.itemId)).toEqual(['c'])
    })
    it('the next buffer is due an interval after the last seal, or a wait after its first item', async () => {
      await s.ok(append('a'), seal())
      const sealedAt = s.clock.now()
      await s.clock.advance(20)
      expect((await s.ok(append('b')))[0]?.dueAt).toBe(sealedAt + 100)
      await s.clock.advance(80)
      await s.ok(seal({ ifDue: true }))
      await s.clock.advance(90)
      expect((await s.ok(append('c')))[0]?.dueAt).toBe(s.clock.now() + 30)
    })
    it('PITFALLS 23: a full buffer is sealed at once, and drops nothing', async () => {
      const all = await s.ok(...['a', 'b', 'c', 'd', 'e'].map((i) => append(i, { maxItems: 2 })))
      expect(all.map((r) => r.n)).toEqual([1, 2, 1, 2, 1])
      expect(all.map((r) => r.sealed)).toEqual([undefined, ['flush/1'], undefined, ['flush/2'], undefined])
      expect(all[1]?.dueAt).toBe(s.clock.now())
      expect([ids(await sealed('flush/1')), ids(await sealed('flush/2'))]).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ])
      expect((await peek())?.n).toBe(1)
    })
    it('the same item is once also where both travel together, and comes again where the buffer it was in is sealed', async () => {
      const [[first], [second]] = await Promise.all([s.ok(append('a')), s.ok(append('a'))])
      expect([first!.n, second!.n]).toEqual([1, 1])
      expect([first, second].filter((r) => r!.skipped)).toHaveLength(1)
      expect((await peek())?.items?.map((i) => i.itemId)).toEqual(['a'])
      await s.ok(append('b'))
      const [, c, again] = await s.ok(seal(), append('c'), append('a'))
      expect([c!.n, again!.n, again!.skipped]).toEqual([1, 2, undefined])
      expect(ids(await sealed('flush/1'))).toEqual(['a', 'b'])
      expect((await peek())?.items?.map((i) => i.itemId)).toEqual(['c', 'a'])
    })
    it('a limit that was lowered since is kept: what is there is sealed, and the item begins anew', async () => {
      await s.ok(append('a'), append('b'), append('c'))
      const dueAt = s.clock.now() + 100
      expect(await s.ok(append('d', { maxItems: 2 }))).toEqual([{ n: 1, dueAt, sealed: ['flush/1'] }])
      expect(ids(await sealed('flush/1'))).toEqual(['a', 'b', 'c'])
      expect((await peek())?.items?.map((i) => i.itemId)).toEqual(['d'])
    })
    it('an item that does not fit seals what is there first; one alone over the bytes is sealed alone', async () => {
      const item = (n: number) => 'é'.repeat(n / 2)
      await s.ok(append('a', { item: item(60), maxBytes: 100 }))
      expect(await s.ok(append('b', { item: item(50), maxBytes: 100 }))).toMatchObject([{ n: 1, sealed: ['flush/1'] }])
      expect(await s.ok(append('big', { item: item(200), maxBytes: 100 }))).toMatchObject([
        { n: 1, sealed: ['flush/2', 'flush/3'] },
      ])
      expect(ids(await sealed('flush/2'))).toEqual(['b'])
      expect(ids(await sealed('flush/3'))).toEqual(['big'])
      expect(await peek()).toBeUndefined()
    })
    it('is claimed and listed as an entry of kind buffer; ifDue asks for its own due time, which no claim moves', async () => {
      await s.ok(append('a'))
      expect(await s.ok(seal({ ifDue: true }))).toEqual([{ skipped: true }])
      const page = await s.state.list('buffer', s.scope, { limit: 9 })
      expect(page.entries).toMatchObject([{ key: { id: 'g' }, value: 'head', dueAt: s.clock.now() + 30 }])
      await s.clock.advance(30)
      const claimed = await s.state.claim('buffer', { owner: 'w', leaseMs: 1000, limit: 1000 })
      expect(claimed.filter((c) => c.key.scope[1] === s.scope[1]).map((c) => c.key.id)).toEqual(['g'])
      await s.ok(append('b'))
      expect(await s.ok(seal({ ifDue: true }))).toEqual([{ n: 2, sealed: ['flush/1'] }])
      expect((await s.state.list('buffer', s.scope, { limit: 9 })).entries).toEqual([])
      // Opened again before the claim would have ended: its own time, unclaimed.
      await s.ok(append('c'))
      expect(await s.ok(seal({ ifDue: true }))).toEqual([{ skipped: true }])
    })
    it('what is sealed is due at once, or when it was asked to be', async () => {
      const later = s.clock.now() + 50
      await s.ok(append('a'))
      await s.ok(seal({ dueAt: later }))
      expect(await s.get('flush/1')).toMatchObject({ dueAt: later, attempts: 0, tags: ['group:g'] })
      await s.ok(append('b'))
      await s.ok(seal())
      expect((await s.claim()).map((c) => c.key.id)).toEqual(['flush/2'])
      await s.clock.advance(50)
      expect((await s.claim()).map((c) => c.key.id)).toEqual(['flush/1'])
    })
    it('a refused commit leaves items and seals as they were', async () => {
      await s.ok(append('a'))
      await s.no(append('b'), seal(), append('c'), { op: 'delete', kind: s.kind, id: 'flush/1', ifVersion: 'no' })
      expect((await peek())?.items?.map((i) => i.itemId)).toEqual(['a'])
      expect(await s.get('flush/1')).toBeUndefined()
      expect(await s.ok(append('b'), seal())).toMatchObject([{ n: 2 }, { n: 2, sealed: ['flush/1'] }])
      expect(ids(await sealed('flush/1'))).toEqual(['a', 'b'])
    })
    it('what a buffer sealed is never overwritten, even after the buffer was forgotten', async () => {
      await s.ok(append('a'), seal())
      await s.clock.advance(30 * 86_400_000)
      await s.ok(append('b'))
      await s.clock.advance(2000)
      await s.ok(append('c'), seal())
      const flushes = (await s.state.list(s.kind, s.scope, { limit: 9 })).entries
      expect(flushes.map((e) => ids(JSON.parse(e.value) as Sealed))).toEqual([['a'], ['b', 'c']])
    })
    it('PITFALLS 20: many callers, one buffer: each event in exactly one place', async () => {
      await Promise.all(Array.from({ length: 50 }, (_, i) => s.ok(append(`e${i}`, { maxItems: 7 }))))
      const flushes = (await s.state.list(s.kind, s.scope, { limit: 99 })).entries
      const all = [
        ...flushes.flatMap((e) => ids(JSON.parse(e.value) as Sealed)!),
        ...(await peek())!.items!.map((i) => i.itemId),
      ]
      expect(all.sort()).toEqual(Array.from({ length: 50 }, (_, i) => `e${i}`).sort())
    })
  })
}
