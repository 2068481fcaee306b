import { expect, it } from 'vitest'
import { eachEntry, firstEntries } from '../../src/core/pages.ts'
import type { Entry, StateStore } from '../../src/core/state.ts'

type List = StateStore['list']
const entry = (n: number): Entry => ({
  key: { kind: 'k', scope: ['a', 'b'], id: String(n).padStart(4, '0') },
  value: '',
  version: '',
  tags: [],
  attempts: 0,
})
const ids = (entries: readonly Entry[]): readonly number[] => entries.map((e) => Number(e.key.id))

/** So many entries, in pages that are shorter than asked for. */
function pages(count: number, page: number) {
  const asked: Parameters<List>[2][] = []
  const list: List = async (_kind, _scope, opts) => {
    asked.push(opts)
    const from = opts.after === undefined ? 0 : Number(opts.after) + 1
    const to = Math.min(from + Math.min(page, opts.limit), count)
    const entries = Array.from({ length: to - from }, (_, i) => entry(from + i))
    return { entries, ...(to < count && { next: entries.at(-1)!.key.id }) }
  }
  return { asked, list }
}

it('each entry is worked on once, page by page', async () => {
  const seen: number[] = []
  const all = await eachEntry(pages(1203, 500), 'k', ['a', 'b'], async (some) => seen.push(...ids(some)))
  expect(all).toBe(true)
  expect(seen).toEqual(Array.from({ length: 1203 }, (_, i) => i))
})

it('what is more than one go looks at is said to be left', async () => {
  let looks = 0
  const all = await eachEntry(pages(2001, 1), 'k', ['a', 'b'], async () => ++looks)
  expect([all, looks]).toEqual([false, 2000])
})

it('the first of a list are had over pages of any size, and no more is asked for than is wanted', async () => {
  const { asked, list } = pages(100, 3)
  const found = await firstEntries({ list }, 'k', ['a', 'b'], { tag: 't', limit: 8, descending: true })
  expect(ids(found)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  expect(asked.map((a) => a.limit)).toEqual([8, 5, 2])
  expect(asked.every((a) => a.tag === 't' && a.descending)).toBe(true)
  expect(await firstEntries(pages(2, 3), 'k', ['a', 'b'], { limit: 8 })).toHaveLength(2)
})
