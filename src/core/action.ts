import type { JsonObject } from './json.ts'

/** Data never crosses a scope. */
export type Scope = readonly [namespace: string, tenant: string]

/** Global documents and administrative audit records live in the empty scope, which no action can name. */
export const GLOBAL: Scope = ['', '']

/** What a caller dispatches, in its wire names (rules and templates address it by them). Never changed: a stage makes a new one. */
export interface Action {
  readonly id: string
  readonly namespace: string
  readonly tenant: string
  /** Absent until the default or a rule names one. */
  readonly provider?: string
  readonly action_type: string
  readonly payload: JsonObject
  readonly metadata: { readonly [key: string]: string }
  readonly dedup_key?: string
  readonly fingerprint?: string
  readonly status?: string
  readonly starts_at?: string
  readonly ends_at?: string
  readonly created_at: string
}
/** Every field an action may have, in its wire names: what the door takes, and what rules may read. */
export const actionFields = [
  'id',
  'namespace',
  'tenant',
  'provider',
  'action_type',
  'payload',
  'metadata',
  'dedup_key',
  'fingerprint',
  'status',
  'starts_at',
  'ends_at',
  'created_at',
] as const satisfies readonly (keyof Action)[]

export const scopeOf = (a: Action): Scope => [a.namespace, a.tenant]
