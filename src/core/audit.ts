import type { Scope } from './action.ts'
import type { Json, JsonObject } from './json.ts'

export const auditKinds = [
  'dispatch',
  'release',
  'flush',
  'copy',
  'occurrence',
  'chain',
  'chain_step',
  'redrive',
  'hold',
  'breaker',
  'admin',
] as const
export type AuditKind = (typeof auditKinds)[number]

/**
 * One record per dispatch, chain step, release, occurrence, copy, breaker that opens or closes and administrative change, in its wire
 * names. Redacted before it is one. Its times are near the end of its text: what may be long comes before.
 */
export interface AuditRecord {
  /** UUIDv7 fixed at admission: it sorts by `received_at`, and writing it twice is once. */
  readonly id: string
  readonly kind: AuditKind
  readonly namespace: string
  readonly tenant: string
  readonly action_id: string
  readonly run_id: string
  readonly parent_id?: string
  readonly chain_id?: string
  /** Of an event that was gathered, its group's; of a notification, that of the group it tells of. */
  readonly group_id?: string
  /** Where it went. */
  readonly provider?: string
  readonly requested_provider?: string
  readonly action_type: string
  readonly outcome: string
  readonly rule?: string
  readonly rules_version?: string
  /** Names of the rules that matched, in order. */
  readonly matched?: readonly string[]
  readonly payload?: JsonObject
  readonly metadata?: { readonly [key: string]: string }
  /** Of an action that enters the gateway: what rules have changed of it, as it came, and the fields that are not told above. */
  readonly received?: Received
  readonly details?: Json
  readonly caller?: string
  readonly received_at: string
  readonly completed_at: string
  readonly duration_ms: number
}

/** Fields of an action; type, payload and metadata only where a rule has changed them. A type, so that it is JSON. */
export type Received = {
  readonly action_type?: string
  readonly payload?: JsonObject
  readonly metadata?: { readonly [key: string]: string }
  readonly dedup_key?: string
  readonly fingerprint?: string
  readonly status?: string
  readonly starts_at?: string
  readonly ends_at?: string
}

/** A record as the `record` op carries it: the columns a query filters by, and the whole as JSON text. */
export interface AuditRow {
  readonly id: string
  readonly scope: Scope
  readonly actionId: string
  readonly chainId: string | undefined
  readonly groupId?: string | undefined
  readonly kind: string
  readonly outcome: string
  readonly provider: string | undefined
  readonly requestedProvider: string | undefined
  readonly actionType: string
  readonly rule: string | undefined
  readonly caller: string | undefined
  readonly json: string
}
/** An entry of the outbox (kind `auditOutbox`) that this process has just written, and its records. */
export interface InOutbox {
  readonly scope: Scope
  readonly id: string
  /** When whoever looks there is given it. Milliseconds, on the store's clock. */
  readonly dueAt: number
  readonly rows: readonly AuditRow[]
}
/** Who carries them over from memory. */
export interface HandOver {
  /** So long after they were written nobody else is given them. Milliseconds. */
  readonly aheadMs: number
  readonly take: (entry: InOutbox) => void
}
/** Its optional fields may be there and undefined, which JSON leaves out. */
export type Loose<T> = { readonly [K in keyof T]: T[K] | (undefined extends T[K] ? undefined : never) }
export const auditRow = (r: Loose<AuditRecord>): AuditRow => ({
  id: r.id,
  scope: [r.namespace, r.tenant],
  actionId: r.action_id,
  chainId: r.chain_id,
  groupId: r.group_id,
  kind: r.kind,
  outcome: r.outcome,
  provider: r.provider,
  requestedProvider: r.requested_provider,
  actionType: r.action_type,
  rule: r.rule,
  caller: r.caller,
  json: JSON.stringify(r),
})
/** Records as one entry of the outbox has them: their JSON as it is, since what is JSON already would be escaped quote by quote. */
export const outboxText = (rows: readonly AuditRow[]): string => `[${rows.map((row) => row.json).join(',')}]`
/** Throws where it is none. */
export const outboxRows = (text: string): readonly AuditRow[] => (JSON.parse(text) as AuditRecord[]).map(auditRow)

export interface AuditFilter {
  /** Matches where it went or what was asked for. */
  readonly provider?: string
  readonly actionType?: string
  readonly outcome?: string
  readonly rule?: string
  readonly kind?: string
  readonly caller?: string
  readonly chainId?: string
  readonly groupId?: string
  readonly actionId?: string
  /** Milliseconds, inclusive / exclusive, on received_at. */
  readonly from?: number
  readonly to?: number
}
export interface AuditPage {
  readonly records: readonly AuditRecord[]
  /**
   * Opaque; pass back for the next page; absent at the end. A page may be short, even empty, and have one: filters that are no
   * index scan the scope's time range in bounded pages.
   */
  readonly nextCursor?: string
}
/** Queries, newest first. Records arrive by the `record` op of the state port, or by `AuditRows.append` from its outbox. */
export interface AuditStore {
  query(
    scope: Scope,
    filter: AuditFilter,
    page: { readonly limit: number; readonly cursor?: string },
  ): Promise<AuditPage>
  /**
   * Deletes up to `limit` records of the scope that were completed before `before` (ms); answers how many. One go looks at a bounded
   * part of the scope, and the next goes on behind it.
   */
  purge(scope: Scope, before: number, limit: number): Promise<number>
  /** Scopes that have records, for the retention reaper; paged by the last scope. */
  scopes(after: Scope | undefined, limit: number): Promise<readonly Scope[]>
  /** As `AuditRows.follow`. */
  follow(follow: AuditFollow): Promise<AuditFollowed>
  close(): Promise<void>
}

/**
 * What a backend provides for the audit: rows by scope and id. Cursors, time ranges and filters are built on it once, in `audit/`.
 * Rejects as the state port does.
 */
export interface AuditRows {
  /** Writes rows; a row whose id is there already changes nothing. Resolves when durable. */
  append(rows: readonly AuditRow[]): Promise<void>
  scan(scan: AuditScan): Promise<AuditScanned>
  /** Deletes, of so many rows of the scope with ids between the two, the smallest first, those completed before the given time. */
  purge(scope: Scope, old: AuditOld, looks: number): Promise<AuditPurged>
  scopes(after: Scope | undefined, limit: number): Promise<readonly Scope[]>
  /**
   * Rows of every scope in the order they became visible, after a position. Once a position has been given out, no row ever becomes
   * visible before it: whoever goes on from `next` sees each row once, whatever commits overlap. Where rows get their numbers before
   * they are visible (a sequence of PostgreSQL), what an open transaction may still put before them is held back until it has ended.
   * Each row is visible within a second of its commit. One round trip; nothing is kept open between two calls.
   */
  follow(follow: AuditFollow): Promise<AuditFollowed>
  close(): Promise<void>
}
/** What was received long ago may have been held, and have ended just now: the id tells the one, the record the other. */
export interface AuditOld {
  readonly after?: string
  readonly below: string
  /** As records say it. */
  readonly completedBefore: string
}
export interface AuditPurged {
  readonly gone: number
  /** The last row looked at; absent when there are no more. */
  readonly after?: string
}
export interface AuditFollow {
  /** A position of this trail: printable ASCII without spaces, that says nothing to anybody else; undefined: no rows, only where the trail ends now. */
  readonly after: string | undefined
  /** Rows, and characters of JSON, after which the page ends; it has at least one row if there is any. */
  readonly limit: number
  readonly maxChars: number
  /** Whose purged rows are told; undefined: those of all. It filters no rows. */
  readonly scope?: Scope
}
export interface AuditFollowed {
  readonly rows: readonly { readonly position: string; readonly json: string }[]
  /**
   * The last row's position. Without rows `after`, or the same place said anew where positions grow old; the end of the trail where
   * `after` is undefined or unknown.
   */
  readonly next: string
  /** The page ended before the trail did: there is more already. */
  readonly more: boolean
  /**
   * What was to follow `after` and is not there. `unknown`: no position of this trail, which then is followed from its end. `purged`:
   * rows after `after` were deleted, the last of them at `upTo`; what is left of them is in `rows`.
   */
  readonly missed?: { readonly why: 'unknown' } | { readonly why: 'purged'; readonly upTo: string }
}
/** One page of a scope, newest first: ids in [from, below). */
export interface AuditScan {
  readonly scope: Scope
  /** Columns that must be equal; `provider` matches where it went or what was asked for. */
  readonly match: Omit<AuditFilter, 'from' | 'to'>
  readonly from?: string
  readonly below?: string
  readonly limit: number
  /** Rows looked at before the page ends, matching or not. */
  readonly looks: number
}
export interface AuditScanned {
  readonly rows: readonly { readonly id: string; readonly json: string }[]
  /** Where the next page begins; absent at the end. */
  readonly below?: string
}
