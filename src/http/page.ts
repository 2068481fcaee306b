import { Problem } from '../core/errors.ts'
import { type JsonObject, jsonOf } from '../core/json.ts'
import { json } from './answer.ts'
import type { Answered } from './answered.ts'
import { invalidParameter, type Query } from './query.ts'

export const PAGE = ['limit', 'cursor'] as const
const LIMIT = { default: 100, most: 1000 }

export interface Asked {
  readonly limit: number
  /** Where the page before ended. */
  readonly after?: string
}

/**
 * Reads `limit` and `cursor`. A cursor says which list it belongs to (`of`: its name, and the scope if it has one), so that one
 * list's is not taken for a place in another. Throws Problem 400 `invalid_query`, `invalid_cursor`.
 */
export function readPage(q: Query<'limit' | 'cursor'>, of: readonly string[]): Asked {
  const { limit: text, cursor } = q
  const limit = text === undefined ? LIMIT.default : /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > LIMIT.most)
    throw invalidParameter('limit', `expected a whole number from 1 to ${LIMIT.most}`)
  return { limit, ...(cursor !== undefined && { after: open(cursor, of) }) }
}

const seal = (after: string, of: readonly string[]): string =>
  Buffer.from(JSON.stringify([...of, after])).toString('base64url')

function open(cursor: string, of: readonly string[]): string {
  const parts = parse(Buffer.from(cursor, 'base64url').toString())
  const after = parts?.at(-1)
  if (after === undefined || seal(after, of) !== cursor) throw badCursor()
  return after
}
function parse(text: string): readonly string[] | undefined {
  const read: unknown = jsonOf(text)
  return Array.isArray(read) && read.every((p) => typeof p === 'string') ? read : undefined
}
const badCursor = (): Problem =>
  new Problem(400, 'invalid_cursor', 'the cursor is none of this list; leave it out to begin again', {
    errors: [{ pointer: '?cursor', message: 'expected the next_cursor of the page before' }],
  })

/** A list as it is answered: the items under their name, and where to go on. */
export function pageOf(
  name: string,
  items: readonly object[],
  next: string | undefined,
  of: readonly string[],
  more: JsonObject = {},
): Answered {
  return json(200, { [name]: items, next_cursor: next === undefined ? null : seal(next, of), ...more })
}

/** A page of a list that is in memory. A cursor names the last item seen; one that has gone since begins nowhere. */
export function cut<T>(
  all: readonly T[],
  nameOf: (item: T) => string,
  { limit, after }: Asked,
): { readonly items: readonly T[]; readonly next?: string } {
  const start = after === undefined ? 0 : all.findIndex((i) => nameOf(i) === after) + 1
  if (after !== undefined && start === 0) throw badCursor()
  const items = all.slice(start, start + limit)
  const last = items.at(-1)
  return { items, ...(last !== undefined && start + limit < all.length && { next: nameOf(last) }) }
}
