import {
  type Depth,
  type Entry,
  type Key,
  PAGE_CHARS,
  type Page,
  type Peeked,
  type StateStore,
} from '../../core/state.ts'
import { scopeParts, scopeText } from '../scope.ts'
import type { Ask } from './connections.ts'
import { fromPg, toPg } from './text.ts'
import { type EntryRow, entryIn } from './wire.ts'

type Reads = Pick<StateStore, 'get' | 'list' | 'scopes' | 'peek' | 'nextDue' | 'depths'>

const COLUMNS = 'kind, scope, id, long_id, version, value, tags, due_at, expires_at, owner, number, until, attempts'
  .split(', ')
  .map((c) => `e.${c}`)
  .join(', ')
const LIVE = '(e.expires_at IS NULL OR e.expires_at > $1)'

/** Entries of a kind that are counted: what is beyond makes no difference to whoever watches, and millions would take longer than is waited for an answer. */
const COUNTED = 100_000

/** Everything that is looked at and not decided on: one statement each. */
export function readsOver(ask: Ask, s: string, now: () => number): Reads {
  async function get(keys: readonly Key[]): Promise<readonly (Entry | undefined)[]> {
    if (keys.length === 0) return []
    const at = now()
    const rows = await ask<EntryRow & { readonly place: number }>(
      `SELECT k.place::int AS place, ${COLUMNS} FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS k (kind, scope, id, place)
        JOIN ${s}.entry e ON e.kind = k.kind AND e.scope = k.scope AND e.id = ${s}.head(k.id) AND e.rest = ${s}.tail(k.id)
        WHERE ${LIVE}`,
      [at, keys.map((k) => toPg(k.kind)), keys.map((k) => toPg(scopeText(k.scope))), keys.map((k) => toPg(k.id))],
    )
    const found: (Entry | undefined)[] = keys.map(() => undefined)
    for (const row of rows) found[row.place - 1] = entryIn(row, at)
    return found
  }

  /** Ids too long for an index share their beginning: among them the whole decides. */
  async function list(...[kind, scope, opts]: Parameters<StateStore['list']>): Promise<Page> {
    const at = now()
    const [than, order] = opts.descending ? ['<', 'DESC'] : ['>', 'ASC']
    const values: unknown[] = [at, toPg(kind), toPg(scopeText(scope)), opts.limit + 1]
    const value = (v: unknown): string => `$${values.push(v)}`
    let from = `${s}.entry e`
    let key = 'e'
    const where = ['k.kind = $2', 'k.scope = $3']
    if (opts.tag !== undefined) {
      from = `${s}.tag t JOIN ${s}.entry e USING (kind, scope, id, rest)`
      key = 't'
      where.push(`k.tag = ${s}.tight(${value(toPg(opts.tag))})`)
    }
    if (opts.after !== undefined) {
      const after = value(toPg(opts.after))
      where.push(`k.id ${than}= ${s}.head(${after})`)
      where.push(
        `(k.id ${than} ${s}.head(${after}) OR coalesce(e.long_id, '') ${than} (CASE WHEN ${s}.tail(${after}) = '' THEN '' ELSE ${after} END))`,
      )
    }
    const sorted = `ORDER BY ${key}.id ${order}, coalesce(e.long_id, '') ${order}`
    const rows = await ask<EntryRow & { readonly found: number }>(
      `WITH page AS (SELECT ${COLUMNS}, sum(octet_length(e.value)) OVER (${sorted} ROWS UNBOUNDED PRECEDING) - octet_length(e.value) AS before
          FROM ${from} WHERE ${where.join(' AND ').replaceAll('k.', `${key}.`)} AND ${LIVE} ${sorted} LIMIT $4)
        SELECT *, (SELECT count(*)::int FROM page) AS found FROM page WHERE before < ${PAGE_CHARS}
        ORDER BY id ${order}, coalesce(long_id, '') ${order}`,
      values,
    )
    const entries = rows.slice(0, opts.limit).map((r) => entryIn(r, at))
    const next = (rows[0]?.found ?? 0) > entries.length ? entries.at(-1)?.key.id : undefined
    return { entries, ...(next !== undefined && { next }) }
  }

  async function peek(...[what, scope, ids]: Parameters<StateStore['peek']>): Promise<(Peeked | undefined)[]> {
    const rows = await ask<{ readonly place: number; readonly seen: object | null }>(
      `SELECT k.place::int AS place, (${PEEKS[what](s)}) AS seen
        FROM (SELECT $1::bigint AS now_ms, $2::text AS scope, ${s}.tight(u.id) AS id, u.id AS whole_id, u.place
          FROM unnest($3::text[]) WITH ORDINALITY AS u (id, place)) k`,
      [now(), toPg(scopeText(scope)), ids.map(toPg)],
    )
    const found: (Peeked | undefined)[] = ids.map(() => undefined)
    for (const { place, seen } of rows) if (seen !== null) found[place - 1] = peeked(seen)
    return found
  }

  return {
    get,
    list,
    peek,
    async scopes(kind, { limit, after }) {
      const rows = await ask<{ readonly scope: string }>(seekScopes(`${s}.entry`, 'kind = $3 AND'), [
        after === undefined ? '' : toPg(scopeText(after)),
        limit,
        toPg(kind),
      ])
      return rows.map((r) => scopeParts(fromPg(r.scope)))
    },
    async nextDue(kind) {
      const [row] = await ask<{ readonly due: number | null }>(
        `SELECT min(due_at) AS due FROM ${s}.entry WHERE kind = $1 AND due_at IS NOT NULL`,
        [toPg(kind)],
      )
      return row?.due ?? undefined
    },
    async depths() {
      const rows = await ask<Depth>(
        `WITH RECURSIVE k AS (
            (SELECT kind FROM ${s}.entry WHERE due_at IS NOT NULL ORDER BY kind LIMIT 1)
            UNION ALL
            SELECT (SELECT e.kind FROM ${s}.entry e WHERE e.due_at IS NOT NULL AND e.kind > k.kind ORDER BY e.kind LIMIT 1)
              FROM k WHERE k.kind IS NOT NULL)
          SELECT k.kind, c.* FROM k CROSS JOIN LATERAL (
            SELECT count(*) AS waiting, count(*) FILTER (WHERE x.due_at <= $1) AS due, min(x.due_at) AS "oldestDueAt" FROM (
              SELECT e.due_at FROM ${s}.entry e WHERE e.kind = k.kind AND e.due_at IS NOT NULL ORDER BY e.due_at LIMIT ${COUNTED}) x) c
          WHERE k.kind IS NOT NULL`,
        [now()],
      )
      return rows.map((r) => ({ ...r, kind: fromPg(r.kind) }))
    },
  }
}

/** One seek a scope. $1: the last scope of the page before, $2: how many. */
export const seekScopes = (table: string, where = ''): string =>
  `WITH RECURSIVE seek AS (
    (SELECT scope FROM ${table} WHERE ${where} scope > $1 ORDER BY scope LIMIT 1)
    UNION ALL
    SELECT (SELECT x.scope FROM ${table} x WHERE ${where} x.scope > seek.scope ORDER BY x.scope LIMIT 1)
      FROM seek WHERE seek.scope IS NOT NULL)
  SELECT scope FROM seek WHERE scope IS NOT NULL LIMIT $2`

/** What is seen of each, as JSON; NULL = nothing there. */
const PEEKS: { readonly [K in Parameters<StateStore['peek']>[0]]: (s: string) => string } = {
  count: (s) => `SELECT json_build_object('n', c.n, 'expiresAt', c.expires_at) FROM ${s}.counter c
    WHERE c.scope = k.scope AND c.id = k.id AND c.expires_at > k.now_ms`,
  admit: (
    s,
  ) => `SELECT json_build_object('n', coalesce(sum(t.n) FILTER (WHERE t.leaves_at > k.now_ms), 0)) FROM ${s}.stamp t
    WHERE t.scope = k.scope AND t.id = k.id HAVING count(*) > 0`,
  buffer: (s) => `SELECT json_build_object('n', b.n, 'bytes', b.bytes, 'dueAt', b.due_at, 'opening', b.opening || '}',
      'items', (SELECT json_agg(x.item || ',"at":' || x.at || '}' ORDER BY x.seq) FROM ${s}.item x WHERE x.scope = b.scope AND x.buffer = b.id))
    FROM ${s}.buffer b WHERE b.scope = k.scope AND b.id = k.id AND b.n > 0`,
}
function peeked(seen: object): Peeked {
  const { opening, items, dueAt, ...rest } = seen as Omit<Peeked, 'items' | 'dueAt'> & {
    readonly opening?: string
    readonly items?: readonly string[]
    readonly dueAt?: number | null
  }
  if (opening === undefined) return rest
  const { value } = JSON.parse(opening) as { readonly value: string }
  return {
    ...rest,
    ...(dueAt != null && { dueAt }),
    value,
    items: items?.map((i) => JSON.parse(i) as NonNullable<Peeked['items']>[number]) ?? [],
  }
}
