import type { AuditFilter, AuditRecord, AuditRows, AuditStore } from '../core/audit.ts'
import { uuidv7Floor } from '../core/ids.ts'

/** Rows looked at for one page: a filter that matches nothing costs this much and no more. */
const LOOKS = 2000

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
    purge: (scope, before, limit) => rows.purge(scope, uuidv7Floor(before), limit),
    scopes: (after, limit) => rows.scopes(after, limit),
    follow: (follow) => rows.follow(follow),
    close: () => rows.close(),
  }
}

const lower = (a: string | undefined, b: string | undefined) => (a === undefined || (b !== undefined && b < a) ? b : a)
/** A filter left undefined is no filter. */
const given = (match: AuditFilter): AuditFilter =>
  Object.fromEntries(Object.entries(match).filter(([, v]) => v !== undefined))
