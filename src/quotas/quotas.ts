import type { Scope } from '../core/action.ts'
import type { AuditRow } from '../core/audit.ts'
import { isoTime } from '../core/clock.ts'
import { readControlDoc } from '../core/control-doc.ts'
import { Problem } from '../core/errors.ts'
import { joinParts } from '../core/ids.ts'
import type { JsonObject } from '../core/json.ts'
import type { ControlDoc, OpResult, StateStore } from '../core/state.ts'
import { preconditionFailed } from '../core/wire.ts'
import { type CountedQuota, Counting, type CountOps, countedAt, NOTHING_COUNTED } from './counting.ts'
import { type Quota, type QuotaBody, quotaFrom, quotaView, readQuotaBody } from './quota.ts'

export type { CountedQuota, CountOps } from './counting.ts'

/** The topic under which quotas are stored. */
export const QUOTAS = 'quotas'

export interface QuotasDeps {
  readonly state: StateStore
  readonly now: () => number
  readonly newId: () => string
  /** `[quotas].enabled`: off, nothing is counted. */
  readonly enabled: boolean
  /** What is wrong with the name of a provider, with the nearest one; undefined when it is configured. */
  readonly providerError: (name: string) => string | undefined
  /** The audit row of a change; undefined where audit is off. */
  readonly changed: (what: string, view: JsonObject, caller: string) => AuditRow | undefined
}
export interface Written {
  readonly view: JsonObject
  readonly etag: string
  readonly created: boolean
}
export interface QuotaPage {
  readonly quotas: readonly JsonObject[]
  readonly next?: string
}

export interface Quotas {
  /**
   * What a dispatch whose first provider is this one counts against, `n` times: as good as free where a scope has no quota. A refused
   * op is the quota at the same place of `quotas`.
   */
  countOps(scope: Scope, provider: string | undefined, now: number, n?: number): CountOps
  list(scope: Scope, page: { readonly limit: number; readonly after?: string }): QuotaPage
  get(scope: Scope, name: string): { readonly view: JsonObject; readonly etag: string } | undefined
  /** Creates or replaces; the scope is the body's, `scope` its default. Throws Problem 400 `invalid_quota`, 412 when `ifMatch` is not the version in force. */
  put(
    scope: Scope,
    name: string,
    body: unknown,
    by: { readonly caller: string; readonly ifMatch?: string | null },
  ): Promise<Written>
  /** A name is made when the body has none. Throws Problem 400, 409 `already_exists`. */
  create(scope: Scope, body: unknown, by: { readonly caller: string }): Promise<Written>
  /** False when there is none. Throws Problem 412. */
  delete(
    scope: Scope,
    name: string,
    by: { readonly caller: string; readonly ifMatch?: string | null },
  ): Promise<boolean>
  /** What is counted in the window of now; undefined when there is no such quota. */
  usage(scope: Scope, name: string): Promise<JsonObject | undefined>
  close(): void
}

/** Texts for the quotas over their limit under `warn`. `results` has those of `counted.ops`, in their order, from `at` on. */
export function overWarnings(counted: CountOps, results: readonly OpResult[], at = 0): readonly string[] {
  return counted.quotas.flatMap((q, i) => {
    const used = results[at + i]?.n ?? 0
    return q.warn && used > q.limit ? [overText(q, used)] : []
  })
}
const overText = (q: CountedQuota, used: number): string =>
  `quota_exceeded: quota "${q.name}" is at ${used} of ${q.limit} until ${isoTime(q.resetsAt)}`

const docId = (scope: Scope, name: string): string => joinParts([scope[0], scope[1], name])
const readDoc = (doc: ControlDoc): Quota => readControlDoc(QUOTAS, doc)
const byName = (a: Quota, b: Quota): number => (a.name < b.name ? -1 : 1)

export async function openQuotas(deps: QuotasDeps): Promise<Quotas> {
  const { now, newId, state } = deps
  const control = await state.control(QUOTAS)
  let scopes = index(control.all().map(readDoc))
  const close = control.subscribe(() => {
    scopes = index(control.all().map(readDoc))
  })

  /** Two writers at once: the second sees what the first wrote, and with `If-Match` is told so. */
  async function write(
    body: QuotaBody & { readonly name: string },
    by: { readonly caller: string; readonly ifMatch?: string | null; readonly mustBeNew: boolean },
  ): Promise<Written> {
    const id = docId([body.namespace, body.tenant], body.name)
    for (;;) {
      const before = control.get(id)
      if (before && by.mustBeNew) throw new Problem(409, 'already_exists', `there is a quota "${body.name}" already`)
      if (by.ifMatch !== undefined && by.ifMatch !== (before?.version ?? null)) throw preconditionFailed('quota')
      const quota = quotaFrom(body, now(), before && readDoc(before))
      const view = quotaView(quota)
      const record = deps.changed(`quota ${before ? 'changed' : 'created'}`, view, by.caller)
      const ifVersion = before?.version ?? null
      if (await control.put(id, JSON.stringify(quota), { ifVersion, ...(record && { record }) }))
        return { view, etag: control.get(id)?.version ?? '', created: !before }
    }
  }

  return {
    close,
    countOps(scope, provider, at, n = 1) {
      if (scopes.size === 0 || !deps.enabled) return NOTHING_COUNTED
      const here = scopes.get(scope[0])?.get(scope[1])
      return here ? here.of(provider).at(at, n) : NOTHING_COUNTED
    },
    list(scope, { limit, after }) {
      const all = control
        .all()
        .map(readDoc)
        .filter((q) => q.namespace === scope[0] && q.tenant === scope[1] && (after === undefined || q.name > after))
        .sort(byName)
      const shown = all.slice(0, limit)
      const last = all.length > limit ? shown.at(-1) : undefined
      return { quotas: shown.map(quotaView), ...(last && { next: last.name }) }
    },
    get(scope, name) {
      const doc = control.get(docId(scope, name))
      return doc && { view: quotaView(readDoc(doc)), etag: doc.version }
    },
    put: async (scope, name, body, by) =>
      write({ ...readQuotaBody(scope, body, deps.providerError, name), name }, { ...by, mustBeNew: false }),
    async create(scope, body, by) {
      const read = readQuotaBody(scope, body, deps.providerError, undefined)
      return write({ ...read, name: read.name ?? `quota-${newId()}` }, { ...by, mustBeNew: true })
    },
    async delete(scope, name, by) {
      const id = docId(scope, name)
      for (;;) {
        const before = control.get(id)
        if (!before) return false
        if (by.ifMatch !== undefined && by.ifMatch !== before.version) throw preconditionFailed('quota')
        const record = deps.changed('quota deleted', quotaView(readDoc(before)), by.caller)
        if (await control.delete(id, { ifVersion: before.version, ...(record && { record }) })) return true
      }
    },
    async usage(scope, name) {
      const doc = control.get(docId(scope, name))
      if (!doc) return undefined
      const counted = countedAt(readDoc(doc), now())
      const [seen] = await state.peek('count', scope, [counted.counterId])
      const used = seen?.n ?? 0
      return {
        name,
        namespace: scope[0],
        tenant: scope[1],
        limit: counted.limit,
        used,
        remaining: Math.max(0, counted.limit - used),
        window_starts_at: isoTime(counted.startsAt),
        resets_at: isoTime(counted.resetsAt),
      }
    },
  }
}

/** The quotas in force by namespace and tenant. Nested, because a joined key would have to be built on every dispatch. */
function index(quotas: readonly Quota[]): ReadonlyMap<string, ReadonlyMap<string, ScopeQuotas>> {
  const scopes = new Map<string, Map<string, ScopeQuotas>>()
  for (const q of quotas.filter((x) => x.enabled).sort(byName)) {
    const tenants = scopes.get(q.namespace) ?? new Map<string, ScopeQuotas>()
    scopes.set(q.namespace, tenants)
    const here = tenants.get(q.tenant) ?? new ScopeQuotas()
    tenants.set(q.tenant, here)
    here.add(q)
  }
  return scopes
}

/** The quotas of a scope, by the provider they apply to. */
class ScopeQuotas {
  readonly #all: Quota[] = []
  readonly #named = new Set<string>()
  readonly #byProvider = new Map<string | undefined, Counting>()

  /** In order of names, before the first `of`. */
  add(q: Quota): void {
    this.#all.push(q)
    if (q.provider !== undefined) this.#named.add(q.provider)
  }

  of(provider: string | undefined): Counting {
    // Providers no quota names share one: the map stays as small as the quotas are.
    const key = provider !== undefined && this.#named.has(provider) ? provider : undefined
    let found = this.#byProvider.get(key)
    if (!found) {
      found = new Counting(this.#all.filter((q) => q.provider === undefined || q.provider === key))
      this.#byProvider.set(key, found)
    }
    return found
  }
}
