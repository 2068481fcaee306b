import { z } from 'zod'
import type { Scope } from '../core/action.ts'
import type { AuditRow } from '../core/audit.ts'
import type { Log } from '../core/env.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { joinParts } from '../core/ids.ts'
import { jsonOf } from '../core/json.ts'
import { type DisableDetails, limitNames } from '../core/outcome.ts'
import type { Control, ControlDoc } from '../core/state.ts'
import type { Rule } from './compile.ts'
import type { ScopeState, Scopes } from './scope-state.ts'

/**
 * What has been said of rules in single scopes: one document each of the topic `rule_scopes`. A hand's word and the gateway's own
 * stand beside each other.
 *
 * 1 what the gateway has switched off stays off until a hand switches it on: no edit of a file, no restart does
 * 2 each time that a hand does, the counting begins anew (`since`): else the next run would be one too many again
 */
const Stored = z.object({
  rule: z.string(),
  namespace: z.string(),
  tenant: z.string(),
  /** By hand. Left out: as everywhere. */
  hand: z
    .object({
      enabled: z.boolean(),
      by: z.string(),
      why: z.string().optional(),
      at: z.string(),
      /** What the file said then: once it says otherwise, the file has the last word. */
      file_enabled: z.boolean(),
    })
    .optional(),
  /** By the gateway, over a limit. */
  hot: z
    .object({
      at: z.string(),
      why: z.string(),
      limit: z.enum(limitNames),
      count: z.number(),
      window: z.string(),
      action_id: z.string(),
      run_id: z.string(),
    })
    .optional(),
  since: z.string(),
})
export type ScopeSwitch = z.output<typeof Stored>

/** A run over its limit. */
export interface Trip {
  readonly rule: string
  readonly scope: Scope
  readonly since: string
  readonly details: DisableDetails
  /** Written in the same commit. */
  readonly records: readonly AuditRow[]
}
/** `stored`: by this call, with its records. `again`: a hand has switched the rule on meanwhile; nothing was written. */
export type Tripped =
  | { readonly is: 'stored' }
  | { readonly is: 'already'; readonly details: DisableDetails }
  | { readonly is: 'again' }

export interface By {
  readonly by: string
  readonly why?: string
  /** RFC 3339. */
  readonly at: string
  readonly record?: AuditRow
}

export interface ScopeSwitches {
  /** `generally`: whether the rule is on where nothing else is said. */
  states(rules: ReadonlyMap<string, Rule>, generally: (rule: Rule) => boolean): Scopes
  of(rule: string): readonly ScopeSwitch[]
  at(rule: string, scope: Scope): ScopeSwitch | undefined
  /** What all of it comes to, for the version of the rules. */
  fingerprint(): readonly string[]
  /** By hand, in one scope. `generally` as above. */
  set(rule: Rule, scope: Scope, enabled: boolean, by: By, generally: boolean): Promise<void>
  /** By hand, everywhere: on, it takes back what the gateway has switched off; off, what a hand has switched on in single scopes. */
  everywhere(rule: string, enabled: boolean): Promise<void>
  trip(trip: Trip): Promise<Tripped>
  /** Forgets what the file has since overruled. */
  dropOverruled(rules: ReadonlyMap<string, Rule>): Promise<void>
  /** Ends hearing of changes. */
  stop(): void
}

const idOf = (rule: string, [namespace, tenant]: Scope): string => joinParts([rule, namespace, tenant])
/** A hand's word, unless the file has spoken since. */
export const handOf = (s: ScopeSwitch, rule: Pick<Rule, 'enabled'>): ScopeSwitch['hand'] =>
  s.hand?.file_enabled === rule.enabled ? s.hand : undefined

/** What turns away is never switched off by what comes its way. */
export const hotOf = (s: ScopeSwitch, rule: Pick<Rule, 'runs'>): DisableDetails | undefined =>
  rule.runs === 'never' ? undefined : s.hot

export function scopeSwitches(control: Control, log: Log, newId: () => string): ScopeSwitches {
  /** By rule and id. */
  const known = new Map<string, Map<string, ScopeSwitch>>()
  const ruleOf = new Map<string, string>()
  const read = (id: string, doc: ControlDoc | undefined): ScopeSwitch | undefined => {
    if (!doc) return undefined
    const parsed = Stored.safeParse(jsonOf(doc.value))
    if (parsed.success) return parsed.data
    log.warn({ id }, 'a stored rule switch of a scope cannot be read and has no effect')
    return undefined
  }
  const note = (id: string, doc: ControlDoc | undefined): void => {
    const s = read(id, doc)
    const was = ruleOf.get(id)
    if (was !== undefined) known.get(was)?.delete(id)
    if (!s) return void ruleOf.delete(id)
    ruleOf.set(id, s.rule)
    inner(known, s.rule).set(id, s)
  }
  for (const doc of control.all()) note(doc.id, doc)
  const stop = control.subscribe(note)

  /** Writes what `change` makes of it, again where another was quicker. False: `change` wants nothing changed. */
  async function write(
    id: string,
    change: (was: ScopeSwitch | undefined) => ScopeSwitch | undefined,
    records: readonly AuditRow[] = [],
  ): Promise<boolean> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const doc = control.get(id)
      const next = change(read(id, doc))
      if (!next) return false
      if (await control.put(id, JSON.stringify(next), { ifVersion: doc?.version ?? null, record: records })) return true
    }
    throw new StateUnavailable('others kept changing the switches of this rule')
  }
  const pending = new Map<string, Promise<Tripped>>()

  async function trip({ rule, scope, since, details, records }: Trip): Promise<Tripped> {
    let found: Tripped = { is: 'stored' }
    await write(
      idOf(rule, scope),
      (was) => {
        if (was?.hot) found = { is: 'already', details: was.hot }
        else if ((was?.since ?? '') !== since) found = { is: 'again' }
        else return { ...(was ?? { rule, namespace: scope[0], tenant: scope[1], since }), hot: details }
        return undefined
      },
      records,
    )
    return found
  }

  return {
    stop,
    states(rules, generally) {
      const scopes = new Map<string, Map<string, Map<string, ScopeState>>>()
      for (const [name, switches] of known) {
        const rule = rules.get(name)
        if (!rule) continue
        for (const s of switches.values()) {
          const on = handOf(s, rule)?.enabled ?? generally(rule)
          inner(inner(scopes, s.namespace), s.tenant).set(name, { on, hot: hotOf(s, rule), since: s.since })
        }
      }
      return scopes
    },
    of: (rule) => [...(known.get(rule)?.values() ?? [])],
    at: (rule, scope) => known.get(rule)?.get(idOf(rule, scope)),
    fingerprint: () =>
      [...known.values()]
        .flatMap((switches) => [...switches])
        .filter(([, s]) => s.hot || s.hand)
        .map(([id, s]) => joinParts([id, s.hot ? 'hot' : '', String(s.hand?.enabled ?? '')]))
        .sort(),
    async set(rule, scope, enabled, { by, at, why, record }, generally) {
      const [namespace, tenant] = scope
      const hand = { enabled, by, at, file_enabled: rule.enabled, ...(why !== undefined && { why }) }
      await write(
        idOf(rule.name, scope),
        (was) => ({
          rule: rule.name,
          namespace,
          tenant,
          since: was?.hot ? newId() : (was?.since ?? ''),
          // On where it is on everywhere is no word of its own: it goes off with the rest.
          ...(!(enabled && generally) && { hand }),
        }),
        record ? [record] : [],
      )
    },
    async everywhere(rule, enabled) {
      for (const id of [...(known.get(rule)?.keys() ?? [])])
        await write(id, (was) => {
          if (!was) return undefined
          const { hand, hot, ...rest } = was
          if (enabled) return hot && { ...rest, ...(hand && { hand }), since: newId() }
          return hand?.enabled ? { ...rest, ...(hot && { hot }) } : undefined
        })
    },
    trip(t) {
      const id = idOf(t.rule, t.scope)
      const first = pending.get(id)
      // Many meet the limit at once, and one word is enough.
      if (first) return first.then(() => trip(t))
      const mine = trip(t).finally(() => pending.delete(id))
      pending.set(id, mine)
      return mine
    },
    async dropOverruled(rules) {
      for (const [name, switches] of known) {
        const rule = rules.get(name)
        if (!rule) continue
        for (const [id, s] of [...switches].filter(([, s]) => s.hand && !handOf(s, rule)))
          try {
            await write(id, (was) => {
              if (!was?.hand || handOf(was, rule)) return undefined
              const { hand: _overruled, ...rest } = was
              return rest
            })
          } catch (e) {
            if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
            log.warn({ rule: s.rule }, 'an overruled rule switch could not be removed; the next load tries again')
          }
      }
    },
  }
}
const ATTEMPTS = 5

function inner<K, L, V>(maps: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let found = maps.get(key)
  if (!found) {
    found = new Map()
    maps.set(key, found)
  }
  return found
}
