import type { Scope } from '../core/action.ts'
import type { AuditFilter, AuditOld, AuditRecord, AuditRows, AuditStore } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import { joinParts, uuidv7Floor } from '../core/ids.ts'

/** Rows looked at for one page: a filter that matches nothing costs this much and no more. */
const LOOKS = 2000
/** The same for one go of a purge: what was held long and has ended just now stands among the oldest, and stays. */
const PURGE_LOOKS = 10_000

/** The audit over any backend's rows. A cursor is the id the page ended at: ids sort by time, so later records never shift a page. */
export function auditStore(rows: AuditRows): AuditStore {
  return {
    async query(scope, filter, page) {
      const { from, to, ...match } = filter
      const below = lower(page.cursor, to === undefined ? undefined : uuidv7Floor(to))
      const found = await rows.scan({
        scope,
        match: given(match),
        ...(from === undefined ? {} : { from: uuidv7Floor(from) }),
        ...(below === undefined ? {} : { below }),
        limit: page.limit,
        looks: Math.max(LOOKS, page.limit),
      })
      return {
        records: found.rows.map((r) => JSON.parse(r.json) as AuditRecord),
        ...(found.below === undefined ? {} : { nextCursor: found.below }),
      }
    },
    purge: purging(rows),
    scopes: (after, limit) => rows.scopes(after, limit),
    follow: (follow) => rows.follow(follow),
    close: () => rows.close(),
  }
}

/** A purge goes on where its last go ended, and begins anew when it has come to the end: rows that stay keep none behind them. */
function purging(rows: Pick<AuditRows, 'purge'>): AuditStore['purge'] {
  const places = new Map<string, string>()
  return async (scope: Scope, before: number, limit: number) => {
    const key = joinParts(scope)
    const [below, completedBefore] = [uuidv7Floor(before), isoTime(before)]
    let gone = 0
    for (let left = PURGE_LOOKS; gone < limit && left > 0; ) {
      const looks = Math.min(limit - gone, left)
      const after = places.get(key)
      const old: AuditOld = { below, completedBefore, ...(after !== undefined && after < below && { after }) }
      const done = await rows.purge(scope, old, looks)
      gone += done.gone
      left -= looks
      if (done.after === undefined) {
        places.delete(key)
        break
      }
      places.set(key, done.after)
    }
    return gone
  }
}

const lower = (a: string | undefined, b: string | undefined) => (a === undefined || (b !== undefined && b < a) ? b : a)
/** A filter left undefined is no filter. */
const given = (match: AuditFilter): AuditFilter =>
  Object.fromEntries(Object.entries(match).filter(([, v]) => v !== undefined))
