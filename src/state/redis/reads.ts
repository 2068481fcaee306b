import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import { type Depth, type Entry, PAGE_CHARS, type Peeked, type StateStore } from '../../core/state.ts'
import type { Spread } from './keys.ts'
import { entryOf } from './rows.ts'
import { fromText, scopeLine, scopeOfLine, tagOf, toLine } from './text.ts'

type Reads = Pick<StateStore, 'get' | 'list' | 'scopes' | 'peek' | 'nextDue' | 'depths'>

/** Nothing was done by a read: whatever became of it, it may be made again. */
async function read<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (e) {
    if (e instanceof StateUnknown) throw new StateUnavailable(e.message, { cause: e })
    throw e
  }
}
/** Told apart from "none" by a mark before it. */
const marked = (text: string | undefined): string => (text === undefined ? '' : `.${text}`)

export function reads({ link, clock, prefix, look }: Spread): Reads {
  return {
    async get(keys) {
      const found: (Entry | undefined)[] = keys.map(() => undefined)
      const places = keys.map((k, at) => {
        const scope = scopeLine(k.scope)
        const tag = tagOf(scope)
        return { at, tag, name: `${prefix(tag)}e${toLine(k.kind)}\n${scope}\n${toLine(k.id)}` }
      })
      await read(
        Promise.all(
          [...Map.groupBy(places, (p) => p.tag).values()].map(async (part) => {
            const rows = await link.mget(part.map((p) => p.name))
            const now = clock.now()
            for (const [i, { at }] of part.entries()) {
              const { kind, scope, id } = keys[at]!
              const row = rows[i]
              if (row != null) found[at] = entryOf(kind, scope, id, row, now)
            }
          }),
        ),
      )
      return found
    },

    async list(kind, scope, { tag, limit, after, descending }) {
      const line = scopeLine(scope)
      const now = clock.now()
      const args = [String(now), toLine(kind), line, marked(tag && toLine(tag)), String(limit + 1)]
      args.push(marked(after === undefined ? undefined : toLine(after)), descending ? '1' : '', String(PAGE_CHARS))
      const found = (await read(link.script('list', [prefix(tagOf(line))], args))) as string[]
      const entries: Entry[] = []
      for (let i = 0; i + 1 < found.length && entries.length < limit; i += 2) {
        const entry = entryOf(kind, scope, fromText(found[i]!), found[i + 1]!, now)
        if (entry) entries.push(entry)
      }
      const more = found.length > limit * 2 || found.length % 2 === 1
      const next = more ? entries.at(-1)?.key.id : undefined
      return { entries, ...(next !== undefined && { next }) }
    },

    async scopes(kind, { limit, after }) {
      const args = [toLine(kind), marked(after && scopeLine(after)), String(limit)]
      const found = (await read(look('scopes', args))) as string[][]
      // As Redis sorts them: by their bytes.
      const sorted = found.flat().sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      return sorted.slice(0, limit).map(scopeOfLine)
    },

    async peek(what, scope, ids) {
      if (ids.length === 0) return []
      const line = scopeLine(scope)
      const args = [String(clock.now()), what, line, ...ids.map(toLine)]
      const found = (await read(link.script('peek', [prefix(tagOf(line))], args))) as string[][]
      return found.map((f) => (f.length === 0 ? undefined : peeked[what](f)))
    },

    async nextDue(kind) {
      const found = (await read(look('nextDue', ['', toLine(kind)]))) as string[]
      const times = found.filter((t) => t !== '').map(Number)
      return times.length === 0 ? undefined : Math.min(...times)
    },

    async depths() {
      const found = (await read(look('depths', [String(clock.now())]))) as (string | number)[][]
      const all = new Map<string, Depth>()
      for (const list of found)
        for (let i = 0; i < list.length; i += 4) {
          const kind = fromText(String(list[i]))
          const [waiting, due, oldest] = [1, 2, 3].map((n) => Number(list[i + n])) as [number, number, number]
          const sum = all.get(kind) ?? { kind, waiting: 0, due: 0 }
          all.set(kind, {
            kind,
            waiting: sum.waiting + waiting,
            due: sum.due + due,
            oldestDueAt: Math.min(sum.oldestDueAt ?? oldest, oldest),
          })
        }
      return [...all.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1))
    },
  }
}

const peeked: { readonly [what in 'count' | 'admit' | 'buffer']: (found: readonly string[]) => Peeked } = {
  count: ([n, expiresAt]) => ({ n: Number(n), expiresAt: Number(expiresAt) }),
  admit: ([n]) => ({ n: Number(n) }),
  buffer: ([n, bytes, dueAt, value, items]) => ({
    n: Number(n),
    bytes: Number(bytes),
    dueAt: Number(dueAt),
    value: JSON.parse(fromText(value!)) as string,
    items: JSON.parse(fromText(items!)) as { itemId: string; item: string }[],
  }),
}
