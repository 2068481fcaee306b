import type { Scope } from '../core/action.ts'
import type { AuditRow } from '../core/audit.ts'
import { readControlDoc } from '../core/control-doc.ts'
import { Problem } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import type { ControlDoc, StateStore } from '../core/state.ts'
import { preconditionFailed } from '../core/wire.ts'
import { policyDocId, policyView, type RetentionPolicy, readPolicy } from './policy.ts'

/** The topic under which policies are stored. */
export const RETENTION = 'retention'

export interface PoliciesDeps {
  readonly state: StateStore
  readonly now: () => number
  /** The audit row of a change; undefined where audit is off. */
  readonly changed: (what: string, view: JsonObject, caller: string) => AuditRow | undefined
}
export interface WrittenPolicy {
  readonly view: JsonObject
  readonly etag: string
  readonly created: boolean
}

/** One retention policy per scope. */
export interface RetentionPolicies {
  /** Enabled or not, of all scopes. */
  all(): readonly RetentionPolicy[]
  /** The policy in force in a scope. */
  inForce(scope: Scope): RetentionPolicy | undefined
  /** All, or those of one scope, sorted by scope. */
  list(scope?: Scope): readonly JsonObject[]
  get(scope: Scope): { readonly view: JsonObject; readonly etag: string } | undefined
  /** Creates or replaces; the scope is the body's, `scope` its default. Throws Problem 400 `invalid_retention`, 412. */
  put(
    scope: Scope,
    body: unknown,
    by: { readonly caller: string; readonly ifMatch?: string | null },
  ): Promise<WrittenPolicy>
  /** Throws Problem 400, 409 `already_exists`. */
  create(scope: Scope, body: unknown, by: { readonly caller: string }): Promise<WrittenPolicy>
  /** False when there is none. Throws Problem 412. */
  delete(scope: Scope, by: { readonly caller: string; readonly ifMatch?: string | null }): Promise<boolean>
}

const readDoc = (doc: ControlDoc): RetentionPolicy => readControlDoc(RETENTION, doc)

export async function openRetentionPolicies(deps: PoliciesDeps): Promise<RetentionPolicies> {
  const { now } = deps
  const control = await deps.state.control(RETENTION)
  for (const doc of control.all()) readDoc(doc) // a damaged one is told at the start, not at each look
  const read = (scope: Scope): RetentionPolicy | undefined => {
    const doc = control.get(policyDocId(scope))
    return doc && readDoc(doc)
  }

  async function write(
    scope: Scope,
    body: unknown,
    by: { readonly caller: string; readonly ifMatch?: string | null; readonly mustBeNew: boolean },
  ): Promise<WrittenPolicy> {
    const make = readPolicy(scope, body, now())
    for (;;) {
      const { namespace, tenant } = make(undefined)
      const id = policyDocId([namespace, tenant])
      const before = control.get(id)
      if (before && by.mustBeNew)
        throw new Problem(409, 'already_exists', 'this scope has a retention policy already; change it with PUT')
      if (by.ifMatch !== undefined && by.ifMatch !== (before?.version ?? null))
        throw preconditionFailed('retention policy')
      const policy = make(before && readDoc(before))
      const view = policyView(policy)
      const record = deps.changed(`retention policy ${before ? 'changed' : 'created'}`, view, by.caller)
      const ifVersion = before?.version ?? null
      if (await control.put(id, JSON.stringify(policy), { ifVersion, ...(record && { record }) }))
        return { view, etag: control.get(id)?.version ?? '', created: !before }
    }
  }

  return {
    all: () => control.all().map(readDoc),
    inForce(scope) {
      const policy = read(scope)
      return policy?.enabled ? policy : undefined
    },
    list: (scope) =>
      control
        .all()
        .filter((d) => scope === undefined || d.id === policyDocId(scope))
        .map((d) => policyView(readDoc(d))),
    get(scope) {
      const doc = control.get(policyDocId(scope))
      return doc && { view: policyView(readDoc(doc)), etag: doc.version }
    },
    put: (scope, body, by) => write(scope, body, { ...by, mustBeNew: false }),
    create: (scope, body, by) => write(scope, body, { ...by, mustBeNew: true }),
    async delete(scope, by) {
      const id = policyDocId(scope)
      for (;;) {
        const before = control.get(id)
        if (!before) return false
        if (by.ifMatch !== undefined && by.ifMatch !== before.version) throw preconditionFailed('retention policy')
        const record = deps.changed('retention policy deleted', policyView(readDoc(before)), by.caller)
        if (await control.delete(id, { ifVersion: before.version, ...(record && { record }) })) return true
      }
    },
  }
}
