import { describe, expect, it } from 'vitest'
import type { Entry, Op } from '../../../src/core/state.ts'
import { type OpenState, subject } from './subject.ts'

export function entriesContract(open: OpenState): void {
  describe('entries', () => {
    const s = subject(open)

    it('has nothing at first; gives back what was put, as it was put', async () => {
      expect(await s.get('a')).toBeUndefined()
      const value = '{"text":"\u0000 \ud83d\ude00 \ud800 \' \\" ","list":[1,2.5,null]}'
      await s.ok(s.put('a', { value, version: 'v1', tags: ['t', 'u'], attempts: 3 }))
      expect(await s.get('a')).toEqual<Entry>({
        key: { kind: s.kind, scope: s.scope, id: 'a' },
        value,
        version: 'v1',
        tags: ['t', 'u'],
        attempts: 3,
      })
    })
    it('answers gets in the order of the keys', async () => {
      await s.ok(s.put('a'), s.put('c'))
      const keys = ['c', 'b', 'a'].map((id) => ({ kind: s.kind, scope: s.scope, id }))
      const found = await s.state.get(keys)
      expect(found.map((e) => e?.key.id)).toEqual(['c', undefined, 'a'])
    })
    it('replaces value, version, tags, due time and expiry; keeps attempts', async () => {
      await s.ok(s.put('a', { tags: ['old'], attempts: 2, expiresAt: s.clock.now() + 1000 }))
      await s.ok(s.put('a', { value: 'new', version: 'v2' }))
      expect(await s.get('a')).toMatchObject({ value: 'new', version: 'v2', tags: [], attempts: 2 })
      await s.clock.advance(2000)
      expect((await s.get('a'))?.value).toBe('new')
    })
    it('one of fifty racing put-if-absent wins, and the others see it', async () => {
      const all = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          s.state.commit(s.scope, [s.put('race', { version: `v${i}`, ifVersion: null })]),
        ),
      )
      expect(all.filter((r) => r.ok)).toHaveLength(1)
      const winner = (await s.get('race'))!.version
      for (const r of all) if (!r.ok) expect(r).toMatchObject({ at: 0, saw: { version: winner } })
    })
    it('one of fifty racing compare-and-sets wins', async () => {
      await s.ok(s.put('a', { version: 'v0' }))
      const all = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          s.state.commit(s.scope, [s.put('a', { version: `w${i}`, ifVersion: 'v0' })]),
        ),
      )
      expect(all.filter((r) => r.ok)).toHaveLength(1)
    })
    it('PITFALLS 46: of many putting if absent on an expired entry, one wins', async () => {
      await s.ok(s.put('a', { expiresAt: s.clock.now() + 10 }))
      await s.clock.advance(10)
      const all = await Promise.all(
        Array.from({ length: 20 }, () => s.state.commit(s.scope, [s.put('a', { ifVersion: null })])),
      )
      expect(all.filter((r) => r.ok)).toHaveLength(1)
    })
    it('an expired entry is absent to get, list, conditions and delete', async () => {
      await s.ok(s.put('a', { version: 'v1', tags: ['t'], expiresAt: s.clock.now() + 10 }))
      await s.clock.advance(9)
      expect((await s.get('a'))?.expiresAt).toBe(s.clock.now() + 1)
      await s.clock.advance(1)
      expect(await s.get('a')).toBeUndefined()
      expect((await s.state.list(s.kind, s.scope, { limit: 9 })).entries).toEqual([])
      expect((await s.state.list(s.kind, s.scope, { limit: 9, tag: 't' })).entries).toEqual([])
      expect(await s.no(s.put('a', { ifVersion: 'v1' }))).toEqual({ ok: false, at: 0 })
      expect(await s.ok({ op: 'delete', kind: s.kind, id: 'a' })).toEqual([{ skipped: true }])
    })
    it('PITFALLS 47: a version of before a delete never holds again', async () => {
      await s.ok(s.put('a', { version: 'v1' }))
      await s.ok({ op: 'delete', kind: s.kind, id: 'a', ifVersion: 'v1' })
      await s.ok(s.put('a', { version: 'v2', ifVersion: null }))
      expect((await s.no(s.put('a', { ifVersion: 'v1' }))).saw?.version).toBe('v2')
      expect((await s.no({ op: 'delete', kind: s.kind, id: 'a', ifVersion: 'v1' })).saw?.version).toBe('v2')
    })
    it('PITFALLS 77: work never expires, whatever the put says', async () => {
      const soon = s.clock.now() + 10
      await s.ok(s.put('due', { dueAt: soon, expiresAt: soon }))
      await s.ok(s.put('born', { claim: { owner: 'w', until: soon }, expiresAt: soon }))
      await s.clock.advance(100_000)
      expect((await s.get('due'))?.expiresAt).toBeUndefined()
      expect((await s.claim()).map((e) => e.key.id)).toEqual(['born', 'due'])
    })
    it('all or nothing: the first op that refuses undoes those before it and is named with what it saw', async () => {
      await s.ok(s.put('held', { version: 'v1' }), { op: 'count', id: 'n', by: 1, expiresAt: s.clock.now() + 1000 })
      const refused = await s.no(
        s.put('new', { tags: ['t'] }),
        s.put('held', { value: 'changed' }),
        { op: 'count', id: 'n', by: 5, expiresAt: s.clock.now() + 1000 },
        { op: 'admit', id: 'w', max: 9, windowMs: 1000 },
        { op: 'slot', id: 's', holder: 'h', max: 1, until: s.clock.now() + 1000 },
        append(s.kind, 'b', 'i'),
        { op: 'seal', id: 'b', into: { kind: s.kind, idPrefix: 'b/' } },
        { op: 'delete', kind: s.kind, id: 'held', ifVersion: 'another' },
        s.put('after'),
      )
      expect(refused.at).toBe(7)
      expect(await s.get('new')).toBeUndefined()
      expect(await s.get('held')).toMatchObject({ version: 'v1', value: 'value of held' })
      expect(await s.state.peek('count', s.scope, ['n'])).toMatchObject([{ n: 1 }])
      expect((await s.state.peek('admit', s.scope, ['w']))[0]?.n ?? 0).toBe(0)
      expect(await s.state.peek('buffer', s.scope, ['b'])).toEqual([undefined])
      expect((await s.state.list(s.kind, s.scope, { limit: 9 })).entries.map((e) => e.key.id)).toEqual(['held'])
      expect(await s.ok({ op: 'slot', id: 's', holder: 'other', max: 1, until: s.clock.now() + 10 })).toEqual([
        { n: 1 },
      ])
    })
    it('later ops of a commit see the earlier ones', async () => {
      const done = await s.ok(
        s.put('a', { version: 'v1', ifVersion: null }),
        s.put('a', { version: 'v2', ifVersion: 'v1' }),
        { op: 'count', id: 'n', by: 2, expiresAt: s.clock.now() + 10 },
        { op: 'count', id: 'n', by: 3, limit: 5, expiresAt: s.clock.now() + 10 },
        { op: 'delete', kind: s.kind, id: 'a', ifVersion: 'v2' },
      )
      expect(done.map((r) => r.n)).toEqual([undefined, undefined, 2, 5, undefined])
      expect(await s.get('a')).toBeUndefined()
    })
    it('delete if absent: nothing where there is nothing, a refusal where there is something', async () => {
      await s.ok({ op: 'delete', kind: s.kind, id: 'a', ifVersion: null }, s.put('b'))
      expect(await s.get('a')).toBeUndefined()
      await s.ok(s.put('a'))
      expect(await s.no(s.put('b'), { op: 'delete', kind: s.kind, id: 'a', ifVersion: null })).toMatchObject({ at: 1 })
      expect(await s.get('a')).toBeDefined()
    })
    it('orSkip: a condition that fails skips the op and says so; the rest of the commit stands', async () => {
      await s.ok(s.put('a', { version: 'v1' }))
      const done = await s.ok(
        s.put('a', { ifVersion: null, orSkip: true }),
        { op: 'delete', kind: s.kind, id: 'a', ifVersion: 'other', orSkip: true },
        s.put('b'),
      )
      expect(done).toEqual([{ skipped: true }, { skipped: true }, {}])
      expect((await s.get('a'))?.version).toBe('v1')
      expect(await s.get('b')).toBeDefined()
    })
    it('dry: the same answer, and nothing written', async () => {
      const ops = [s.put('a', { ifVersion: null }), { op: 'count', id: 'n', by: 1, limit: 1, expiresAt: 1e15 }] as const
      const dry = await s.state.commit(s.scope, ops, { dry: true })
      expect(dry).toEqual({ ok: true, results: [{}, { n: 1 }] })
      expect(await s.get('a')).toBeUndefined()
      expect(await s.state.commit(s.scope, ops)).toEqual(dry)
      expect(await s.state.commit(s.scope, ops, { dry: true })).toMatchObject({ ok: false, at: 0 })
      const [counted] = await s.state.peek('count', s.scope, ['n'])
      expect(counted).toEqual({ n: 1, expiresAt: 1e15 })
    })
    it('a time or a count that could not be read again is refused, with nothing of its commit, and harms no other', async () => {
      const into = { kind: 'sealed', idPrefix: 'x/' }
      const append = { op: 'append', id: 'b', itemId: 'i', item: 'i', value: '', maxItems: 9, maxBytes: 9 } as const
      for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 60), 1e300]) {
        const wrong: Op[] = [
          s.put('a', { dueAt: odd }),
          s.put('a', { expiresAt: odd }),
          s.put('a', { attempts: odd }),
          s.put('a', { claim: { owner: 'me', until: odd } }),
          { op: 'touch', kind: s.kind, id: 'a', ifClaim: { owner: 'me', number: 1 }, dueAt: odd },
          { op: 'count', id: 'n', by: odd, expiresAt: 1e15 },
          { op: 'count', id: 'n', by: 1, expiresAt: odd },
          { op: 'admit', id: 'w', max: 1, windowMs: odd },
          { op: 'slot', id: 's', holder: 'me', max: 1, until: odd },
          { ...append, waitMs: odd, intervalMs: 1, into },
          { ...append, waitMs: 1, intervalMs: odd, into },
          { op: 'seal', id: 'b', into, dueAt: odd },
        ]
        const done = await Promise.allSettled([
          ...wrong.map((op) => s.state.commit(s.scope, [s.put('beside'), op])),
          s.state.commit(s.scope, [s.put(`good ${odd}`)]),
        ])
        for (const d of done.slice(0, -1)) expect(d).toMatchObject({ reason: { name: 'StateTooLarge' } })
        expect(done.at(-1)?.status).toBe('fulfilled')
      }
      expect([await s.get('a'), await s.get('beside')]).toEqual([undefined, undefined])
      expect((await s.state.list(s.kind, s.scope, { limit: 9 })).entries).toHaveLength(5)
      await s.ok({ op: 'count', id: 'n', by: 1, limit: Number.POSITIVE_INFINITY, expiresAt: 1e15 })
    })
    it('what was acknowledged is seen by every read begun after it', async () => {
      for (let i = 0; i < 30; i++) {
        await s.ok(s.put(`e${i}`), { op: 'count', id: 'n', by: 1, expiresAt: 1e15 })
        expect(await s.get(`e${i}`)).toBeDefined()
        expect((await s.state.list(s.kind, s.scope, { limit: 99 })).entries).toHaveLength(i + 1)
        expect((await s.state.peek('count', s.scope, ['n']))[0]?.n).toBe(i + 1)
      }
    })
    it('commits made together are applied in the order they were made', async () => {
      await Promise.all(Array.from({ length: 40 }, (_, i) => s.ok(s.put('a', { value: String(i) }))))
      expect((await s.get('a'))?.value).toBe('39')
    })
    it('commits made together are answered each for itself: those refused among them have counted nothing', async () => {
      const until = s.clock.now() + 500
      const commit = (id: string) =>
        s.state.commit(s.scope, [
          s.put(`once ${id}`, { ifVersion: null, version: `first ${id}`, expiresAt: s.clock.now() + 1000 }),
          { op: 'admit', id: 'w', max: 1000, windowMs: 1000 },
          { op: 'count', id: 'n', by: 2, limit: 1000, expiresAt: 1e15 },
          s.put(`born ${id}`, { ifVersion: null, claim: { owner: 'me', until }, tags: ['t'] }),
        ])
      await commit('0')
      const all = await Promise.all(Array.from({ length: 40 }, (_, i) => commit(String(i % 30))))
      const done = all.flatMap((d) => (d.ok ? [d.results] : []))
      expect(done).toHaveLength(29)
      expect(all.flatMap((d) => (d.ok ? [] : [[d.at, d.saw?.version]])).sort()).toEqual(
        [0, 0, ...Array.from({ length: 9 }, (_, i) => i + 1)].map((i) => [0, `first ${i}`]).sort(),
      )
      const sorted = (numbers: readonly (number | undefined)[]) => numbers.map(Number).sort((a, b) => a - b)
      expect(sorted(done.map((r) => r[1]?.n))).toEqual(Array.from({ length: 29 }, (_, i) => i + 2))
      expect(sorted(done.map((r) => r[2]?.n))).toEqual(Array.from({ length: 29 }, (_, i) => 2 * (i + 2)))
      expect(new Set(done.map((r) => r[3]?.claimNumber)).size).toBe(29)
      const born = (await s.state.list(s.kind, s.scope, { limit: 99, tag: 't' })).entries
      expect(born).toHaveLength(30)
      const ends = await Promise.all(
        born.map((e) =>
          s.state.commit(s.scope, [
            {
              op: 'delete',
              kind: s.kind,
              id: e.key.id,
              ifClaim: e.key.id === 'born 7' ? { owner: 'x', number: 1 } : e.claim!,
            },
            { op: 'count', id: 'ended', by: 1, expiresAt: 1e15 },
          ]),
        ),
      )
      expect(ends.filter((d) => d.ok)).toHaveLength(29)
      expect((await s.state.list(s.kind, s.scope, { limit: 99, tag: 't' })).entries.map((e) => e.key.id)).toEqual([
        'born 7',
      ])
      expect((await s.state.peek('count', s.scope, ['ended', 'n'])).map((p) => p?.n)).toEqual([29, 60])
      const replace = (i: number, orSkip: boolean) =>
        s.state.commit(s.scope, [
          s.put(`once ${i}`, {
            value: 'replaced',
            ifVersion: i % 3 === 0 ? 'another' : `first ${i}`,
            ...(orSkip && { orSkip }),
            expiresAt: s.clock.now() + 2000,
          }),
          { op: 'count', id: 'replaced', by: 1, expiresAt: 1e15 },
        ])
      const replaced = await Promise.all(Array.from({ length: 30 }, (_, i) => replace(i, i % 2 === 0)))
      expect(replaced.map((d) => (d.ok ? (d.results[0]?.skipped ?? false) : d.saw?.version))).toEqual(
        replaced.map((_, i) => (i % 3 !== 0 ? false : i % 2 === 0 ? true : `first ${i}`)),
      )
      expect(await s.state.peek('count', s.scope, ['replaced'])).toMatchObject([{ n: 25 }])
      await s.clock.advance(1000)
      expect((await s.get('once 1'))?.value).toBe('replaced')
      expect(await s.get('once 3')).toBeUndefined()
      expect((await commit('3')).ok).toBe(true)
      expect((await commit('31')).ok).toBe(true)
    })
    it('refuses nothing of an empty commit', async () => {
      expect(await s.ok()).toEqual([])
    })
  })
}

const append = (kind: string, id: string, itemId: string) =>
  ({
    op: 'append',
    id,
    itemId,
    item: 'x',
    value: '{}',
    maxItems: 10,
    maxBytes: 1000,
    waitMs: 10,
    intervalMs: 10,
    into: { kind, idPrefix: `${id}/` },
  }) as const
