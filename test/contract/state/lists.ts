import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Scope } from '../../../src/core/action.ts'
import type { Key } from '../../../src/core/state.ts'
import { type OpenState, runs, type Subject, subject } from './subject.ts'

type ListOptions = Parameters<Subject['state']['list']>[2]

/** All ids by pages, the way a caller walks them. */
async function walk(s: Subject, opts: ListOptions, scope: Scope = s.scope): Promise<string[][]> {
  const pages: string[][] = []
  for (let after: string | undefined, more = true; more; ) {
    const page = await s.state.list(s.kind, scope, { ...opts, ...(after === undefined ? {} : { after }) })
    pages.push(page.entries.map((e) => e.key.id))
    after = page.next
    more = after !== undefined
  }
  return pages
}

export function listsContract(open: OpenState): void {
  describe('keys and lists', () => {
    const s = subject(open)

    it('PITFALLS 50: lists one kind of one scope by id, in pages, both ways', async () => {
      await s.ok(...['b', 'a', 'd', 'c', 'e'].map((id) => s.put(id)))
      await s.state.commit(['contract', 'other'], [s.put('not mine')])
      await s.ok({ ...s.put('x'), kind: `${s.kind}x` } as never)
      expect(await walk(s, { limit: 2 })).toEqual([['a', 'b'], ['c', 'd'], ['e']])
      expect(await walk(s, { limit: 5 })).toEqual([['a', 'b', 'c', 'd', 'e']])
      expect(await walk(s, { limit: 3, descending: true })).toEqual([
        ['e', 'd', 'c'],
        ['b', 'a'],
      ])
    })
    it('PITFALLS 16: names the scopes that have entries of a kind, each once, in pages', async () => {
      const scopes: Scope[] = [
        ['a', 'b:c'],
        ['a:b', 'c'],
        ['a_', '%'],
        ['a*', '\u0000é'],
        ['default', 'default'],
      ]
      for (const scope of scopes) await s.state.commit(scope, [s.put('x'), s.put('y')])
      await s.state.commit(['of another', 'kind'], [{ ...s.put('x'), kind: `${s.kind}x` } as never])
      const found: Scope[] = []
      for (let after: Scope | undefined, more = true; more; after = found.at(-1)) {
        const page = await s.state.scopes(s.kind, { limit: 2, ...(after && { after }) })
        found.push(...page)
        more = page.length === 2
      }
      expect(found.toSorted()).toEqual(scopes.toSorted())
      await s.state.commit(
        ['a_', '%'],
        [
          { op: 'delete', kind: s.kind, id: 'x' },
          { op: 'delete', kind: s.kind, id: 'y' },
        ],
      )
      expect(await s.state.scopes(s.kind, { limit: 9 })).toHaveLength(scopes.length - 1)
    })
    it('lists by tag; tags follow the entry', async () => {
      await s.ok(s.put('a', { tags: ['red', 'big'] }), s.put('b', { tags: ['red'] }), s.put('c', { tags: ['blue'] }))
      expect(await walk(s, { limit: 9, tag: 'red' })).toEqual([['a', 'b']])
      expect(await walk(s, { limit: 1, tag: 'red', descending: true })).toEqual([['b'], ['a']])
      await s.ok(s.put('a', { tags: ['blue'] }), { op: 'delete', kind: s.kind, id: 'b' })
      expect(await walk(s, { limit: 9, tag: 'red' })).toEqual([[]])
      expect(await walk(s, { limit: 9, tag: 'big' })).toEqual([[]])
      expect(await walk(s, { limit: 9, tag: 'blue' })).toEqual([['a', 'c']])
    })
    it('a page and a claim end by their size too, and the next goes on from there', async () => {
      const large = 'x'.repeat(300_000)
      const ids = Array.from({ length: 17 }, (_, i) => `id${String(i).padStart(2, '0')}`)
      for (const id of ids) await s.ok(s.put(id, { value: large, tags: ['large'], dueAt: 1 }))
      for (const opts of [{}, { tag: 'large' }, { descending: true }]) {
        const pages = await walk(s, { limit: 100, ...opts })
        expect(pages.length).toBeGreaterThan(1)
        expect(pages[0]!.length).toBeGreaterThan(9)
        expect(pages.flat()).toEqual('descending' in opts ? ids.toReversed() : ids)
      }
      const claimed = [await s.claim(), await s.claim()].map((c) => c.map((e) => e.key.id))
      expect(claimed[0]!.length).toBeGreaterThan(9)
      expect(claimed.flat().toSorted()).toEqual(ids)
      expect(await s.claim()).toEqual([])
    })
    it('PITFALLS 48: expired entries hide no live ones behind them', async () => {
      const soon = s.clock.now() + 10
      await s.ok(
        ...Array.from({ length: 20 }, (_, i) => s.put(`a${i}`, { expiresAt: soon })),
        s.put('b', { dueAt: soon }),
      )
      await s.clock.advance(10)
      expect((await walk(s, { limit: 1 })).flat()).toEqual(['b'])
      expect((await s.claim({ limit: 1 })).map((e) => e.key.id)).toEqual(['b'])
    })
    it('PITFALLS 16: tenants and ids of any text never meet', async () => {
      const awkward = [
        'a',
        'b:c',
        'a:b',
        'c',
        '%',
        '_',
        '*',
        'a%',
        '1:a',
        '',
        ' ',
        "'",
        '\u0000',
        'é',
        'e\u0301',
        '\ud800',
        '\ufffd',
        '😀',
      ]
      const keys: Key[] = awkward.flatMap((x) =>
        awkward.map((y) => ({ kind: s.kind, scope: [x, `${y}`] as const, id: `${x}${y}` })),
      )
      await Promise.all(
        keys.map((k, i) =>
          s.state.commit(k.scope, [
            { op: 'put', kind: k.kind, id: k.id, value: String(i), version: `${i}`, ifVersion: null },
          ]),
        ),
      )
      const found = await s.state.get(keys)
      expect(found.map((e) => e?.value)).toEqual(keys.map((_, i) => String(i)))
      expect(found.map((e) => e?.key)).toEqual(keys)
      expect((await walk(s, { limit: 9 }, ['%', '_'])).flat()).toEqual(['%_'])
      expect((await walk(s, { limit: 9 }, ['a', 'b:c'])).flat()).toEqual(['ab:c'])
    })
    it('PITFALLS 16: no two keys collide (property)', async () => {
      const text = fc.string({
        unit: fc.constantFrom('a', ':', '1', '%', '\u0000', '\ud800', '\udc00', '/'),
        maxLength: 4,
      })
      const key = fc.tuple(text, text, text)
      await fc.assert(
        fc.asyncProperty(key, key, async (a, b) => {
          fc.pre(JSON.stringify(a) !== JSON.stringify(b))
          const run = s.env.newId()
          const k = (t: readonly string[]): Key => ({ kind: `${s.kind}${run}`, scope: [t[0]!, t[1]!], id: t[2]! })
          for (const t of [a, b]) {
            const { kind, scope, id } = k(t)
            const done = await s.state.commit(scope, [
              { op: 'put', kind, id, value: JSON.stringify(t), version: s.env.newId(), ifVersion: null },
              { op: 'count', id: `${run}${id}`, by: 1, limit: 1, expiresAt: 1e15 },
            ])
            expect(done.ok).toBe(true)
          }
          const found = await s.state.get([k(a), k(b)])
          expect(found.map((e) => e?.value)).toEqual([JSON.stringify(a), JSON.stringify(b)])
        }),
        { numRuns: runs(open, 60), seed: 16 },
      )
    })
    it('long ids are kept whole', async () => {
      const long = 'x'.repeat(3000)
      await s.ok(s.put(`${long}a`), s.put(`${long}b`))
      expect((await s.get(`${long}b`))?.value).toBe(`value of ${long}b`)
      expect((await walk(s, { limit: 9 })).flat()).toEqual([`${long}a`, `${long}b`])
    })
  })
}
