import type { AuditRows, HandOver } from '../core/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/env.ts'
import type { Random } from '../core/ids.ts'
import type { StateStore } from '../core/state.ts'

/** The keys of `[state]` and `[audit]`; a backend reads its own. */
export interface StoreSettings {
  /** SQLite: its file. */
  readonly path: string
  readonly synchronous: 'full' | 'normal'
  /** Redis, PostgreSQL: where it is. DynamoDB: another endpoint than the region's, as of a local one. */
  readonly url: string | undefined
  /** PostgreSQL: a connection that may LISTEN, where `url` leads to a pooler that cannot. */
  readonly listenUrl: string | undefined
  readonly region: string | undefined
  readonly tableName: string | undefined
  /** DynamoDB: the audit's own, where it has a name of its own. */
  readonly auditTableName?: string | undefined
  readonly prefix: string | undefined
  readonly durability: 'always' | 'everysec' | 'none' | 'managed' | undefined
}

export interface OpenTools {
  /** Of this machine. */
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The audit lives in another place: records wait in the outbox until `drainOutbox` has carried them over. */
  readonly auditElsewhere: boolean
  /** Who carries over what comes into the outbox here, from memory; left out, it is due there at once. */
  readonly handOver?: HandOver
  /** Makes what the store needs (tables, functions) or brings it to this version; without it a store that lacks them is refused, where making them is the operator's. */
  readonly migrate?: boolean
}

/** A store that is open, as the rest of the program uses it. */
export interface Opened {
  readonly state: StateStore
  /** Its rows, in the transaction of the commit that records them; undefined where a backend keeps no audit. */
  readonly audit: AuditRows | undefined
  /** A transaction takes only so many records: those of a commit that has more go by the outbox, though the audit is here. */
  readonly spills?: boolean
  /** The store's time, by which everything waits and expires. */
  readonly clock: Clock
  /** How far that is ahead of this machine's. Milliseconds. */
  readonly clockOffsetMs: () => number
  /** Why this node should be asked for nothing now: it does not reach the store, or its clock has jumped. Undefined: all is well. */
  readonly trouble: () => string | undefined
  /** In a few words, for who starts it: where the state lies, without a password. */
  readonly where: string
}

/** Rejects with StateUnavailable whose message is the one line that says what is wrong with the store or the settings. */
export type OpenStore = (settings: StoreSettings, tools: OpenTools) => Promise<Opened>
