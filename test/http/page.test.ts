import { expect, it } from 'vitest'
import { cut } from '../../src/http/page.ts'

it('a list in memory is cut into pages, the last of which leads nowhere, also where it is full', () => {
  const page = (limit: number, after?: string) =>
    cut(['a', 'b', 'c', 'd'], (name) => name, { limit, ...(after !== undefined && { after }) })
  expect(page(2)).toEqual({ items: ['a', 'b'], next: 'b' })
  expect(page(2, 'b')).toEqual({ items: ['c', 'd'] })
  expect(page(3, 'b')).toEqual({ items: ['c', 'd'] })
  expect(page(4)).toEqual({ items: ['a', 'b', 'c', 'd'] })
  expect(page(4, 'd')).toEqual({ items: [] })
  expect(() => page(2, 'gone')).toThrow('the cursor is none of this list')
})
