import type { Chains } from '../chains/chains.ts'
import type { AuditRow, AuditStore } from '../core/audit.ts'
import type { Env } from '../core/env.ts'
import type { JsonObject } from '../core/json.ts'
import type { LineageSigner } from '../core/lineage.ts'
import type { Redact } from '../core/redact.ts'
import type { StateStore } from '../core/state.ts'
import type { Breakers } from '../delivery/breakers.ts'
import type { Delivering } from '../delivery/deliver.ts'
import type { CancelHeld } from '../dispatch/cancel-held.ts'
import type { Deliveries } from '../dispatch/deliveries.ts'
import type { Gateway } from '../dispatch/gateway.ts'
import type { AuditPolicy } from '../dispatch/record.ts'
import type { Redrive } from '../dispatch/redrive.ts'
import type { Groups } from '../groups/groups.ts'
import type { Nodes } from '../nodes/nodes.ts'
import type { Quotas } from '../quotas/quotas.ts'
import type { RetentionPolicies } from '../retention/policies.ts'
import type { Rules } from '../rules/rules.ts'
import type { Recurrings } from '../schedules/recurrings.ts'
import type { Schedules } from '../schedules/schedules.ts'
import type { Stats } from './stats.ts'
import type { Streams } from './stream/streams.ts'

/** What the routes are made of. Built once in app/. */
export interface HttpDeps {
  readonly env: Env
  readonly version: string
  readonly server: {
    readonly host: string
    readonly allowedHosts: readonly string[] | undefined
    readonly bodyLimitBytes: number
    /** Of a batch, whose actions are stored one by one. */
    readonly batchLimitBytes: number
  }
  readonly defaultProvider: () => string | undefined
  readonly gateway: Gateway
  readonly redrive: Redrive
  readonly cancelHeld: CancelHeld
  /** Reads the lineage that comes with an action. */
  readonly signer: Pick<LineageSigner, 'read'>
  readonly rules: Rules
  readonly state: StateStore
  readonly audit: AuditStore
  readonly auditPolicy: () => AuditPolicy
  readonly redact: () => Redact
  readonly deliver: Delivering
  readonly breakers: Breakers
  readonly chains: Chains
  readonly groups: Groups
  readonly schedules: Schedules
  readonly deliveries: Deliveries
  readonly recurrings: Recurrings
  readonly quotas: Quotas
  readonly nodes: Nodes
  readonly retention: RetentionPolicies
  readonly stats: Stats
  readonly streams: Streams
  /** The audit row of an administrative change, in the empty scope; undefined where audit is off. */
  readonly adminRow: (what: string, details: JsonObject, caller: string) => AuditRow | undefined
  /** False from the moment the process begins to stop. */
  readonly ready: () => { readonly ok: boolean; readonly reason?: string }
  /** Of the configuration, as it is at each look. */
  readonly configured: Configured
}
export interface Configured {
  /** The last load error, if it is still wrong. */
  readonly error: string | undefined
  /** What the one in force has to say that is no error. */
  readonly warnings: readonly string[]
  /** The sections that were edited and only a start reads. */
  readonly waiting: readonly string[]
}
