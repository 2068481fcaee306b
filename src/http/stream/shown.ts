import type { Scope } from '../../core/action.ts'
import type { AuditFilter, AuditFollowed, AuditRecord } from '../../core/audit.ts'

/** A record of the trail as it is shown: read once, and made text once, for everybody who follows. */
export interface Shown {
  readonly position: string
  readonly record: AuditRecord
  readonly event: Uint8Array
  readonly chars: number
}

/** What a follower was not shown, and where that lies: after one position, up to another. */
export interface Missed {
  /**
   * `slow`: it read too slowly, and `records` of the trail (before its filters) were passed over. `purged`: retention has deleted some
   * or all of them. `unknown_position`: where it had stopped is no position of this trail.
   */
  readonly reason: 'slow' | 'purged' | 'unknown_position'
  readonly after: string
  readonly until: string
  readonly records?: number
}

/** Everything is UTF-8, and JSON has no line ends outside its strings: one `data` line. */
const encoder = new TextEncoder()
export const bytes = (text: string): Uint8Array => encoder.encode(text)

export const shownOf = ({ position, json }: AuditFollowed['rows'][number]): Shown => ({
  position,
  record: JSON.parse(json) as AuditRecord,
  event: bytes(`id: ${position}\ndata: ${json}\n\n`),
  chars: json.length,
})
/** Without an id where what is left of the missed comes after it: a client that is cut off here must come back to before that. */
export function missedEvent(missed: Missed): Uint8Array {
  const id = missed.reason === 'purged' ? '' : `id: ${missed.until}\n`
  return bytes(`event: missed\n${id}data: ${JSON.stringify(missed)}\n\n`)
}
/** A comment, which keeps the connection; the id moves on past what was not for this follower. */
export const heartbeat = (position: string): Uint8Array => bytes(`: still here\nid: ${position}\n\n`)
/** The first words: how long to wait before coming back, milliseconds, and where it begins, for who did not say so. */
export const greeting = (position: string | undefined): Uint8Array =>
  bytes(`retry: 1000\n${position === undefined ? '' : `id: ${position}\n`}\n`)
export const farewell = (position: string): Uint8Array =>
  bytes(
    `event: closing\nid: ${position}\ndata: {"reason":"this gateway is stopping; come back with Last-Event-ID"}\n\n`,
  )

export interface StreamFilter {
  /** Undefined: all scopes. */
  readonly scope: Scope | undefined
  readonly columns: Omit<AuditFilter, 'from' | 'to'>
}
/** As the audit is asked. Breakers belong to no scope and are shown in each: providers are everybody's. */
export function matches({ scope, columns: f }: StreamFilter, r: AuditRecord): boolean {
  const inScope = scope === undefined || (scope[0] === r.namespace && scope[1] === r.tenant) || r.kind === 'breaker'
  return (
    inScope &&
    (f.provider === undefined || f.provider === r.provider || f.provider === r.requested_provider) &&
    (f.actionType === undefined || f.actionType === r.action_type) &&
    (f.outcome === undefined || f.outcome === r.outcome) &&
    (f.rule === undefined || f.rule === r.rule) &&
    (f.kind === undefined || f.kind === r.kind) &&
    (f.caller === undefined || f.caller === r.caller) &&
    (f.chainId === undefined || f.chainId === r.chain_id) &&
    (f.groupId === undefined || f.groupId === r.group_id) &&
    (f.actionId === undefined || f.actionId === r.action_id)
  )
}
