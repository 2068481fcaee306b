import type { Scope } from '../core/action.ts'
import type { AuditRow } from '../core/audit.ts'
import { notFound, Problem } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import { canonicalJson, type Json, type JsonObject } from '../core/json.ts'
import type { Redact } from '../core/redact.ts'
import type { Entry, Op, StateStore } from '../core/state.ts'
import { preconditionFailed } from '../core/wire.ts'
import { type Recurring, recurringView } from './recurring.ts'
import { type RecurringBody, readRecurringBody, withNext } from './recurring-body.ts'

export interface RecurringsDeps {
  readonly state: StateStore
  readonly now: () => number
  readonly newId: () => string
  readonly redact: Redact
  /** `[background].max_recurring_actions_per_tenant`. */
  readonly maxPerScope: () => number
  /** What is wrong with the name of a provider, with the nearest one; undefined when it is configured. */
  readonly providerError: (name: string) => string | undefined
  /** The audit row of a change; undefined where audit is off. */
  readonly changed: (what: string, view: JsonObject, caller: string) => AuditRow | undefined
}
export interface RecurringWritten {
  readonly view: JsonObject
  readonly etag: string
  readonly created: boolean
}
export interface RecurringPage {
  readonly recurring: readonly JsonObject[]
  readonly next?: string
}
interface By {
  readonly caller: string
  /** The `ETag` the caller read; null: there must be none. */
  readonly ifMatch?: string | null
}

/** Definitions of recurring actions. Edits throw Problem 400 `invalid_recurring`, 404, 409 `recurring_limit`, 412. */
export interface Recurrings {
  list(scope: Scope, page: { readonly limit: number; readonly after?: string }): Promise<RecurringPage>
  get(scope: Scope, name: string): Promise<{ readonly view: JsonObject; readonly etag: string } | undefined>
  /** Creates or replaces; the scope is the body's, `scope` its default. The same body again changes nothing. */
  put(scope: Scope, name: string, body: unknown, by: By): Promise<RecurringWritten>
  /** A name is made when the body has none; 409 `already_exists`. */
  create(scope: Scope, body: unknown, by: Pick<By, 'caller'>): Promise<RecurringWritten>
  pause(scope: Scope, name: string, by: By): Promise<RecurringWritten>
  /** From the next occurrence after now. */
  resume(scope: Scope, name: string, by: By): Promise<RecurringWritten>
  /** Occurrences admitted before go on. False when there is none. */
  delete(scope: Scope, name: string, by: By): Promise<boolean>
}

export const readRecurring = (entry: Entry): Recurring => JSON.parse(entry.value) as Recurring

/** Holds a place among the scope's definitions for as long as one exists: exact, however many create at once. */
const PLACES = 'recurring'
const FOR_EVER = 8.64e15

export function putRecurring(def: Recurring, version: string): Extract<Op, { op: 'put' }> {
  return {
    op: 'put',
    kind: kinds.recurring,
    id: def.name,
    value: JSON.stringify(def),
    version,
    ...(def.nextAt !== undefined && { dueAt: def.nextAt }),
  }
}

export function recurrings(deps: RecurringsDeps): Recurrings {
  const { state, now, newId, redact } = deps
  const view = (def: Recurring): JsonObject => redact(recurringView(def))
  const read = async (scope: Scope, name: string): Promise<Entry | undefined> =>
    (await state.get([{ kind: kinds.recurring, scope, id: name }]))[0]
  const recordOps = (what: string, def: Recurring, by: Pick<By, 'caller'>): readonly Op[] => {
    const row = deps.changed(what, view(def), by.caller)
    return row ? [{ op: 'record', row }] : []
  }

  /** Reads, decides and writes until nobody, the clock's own occurrences included, came in between. */
  async function edit(
    scope: Scope,
    name: string,
    by: By,
    decide: (before: Recurring | undefined) => Recurring,
    what: string,
  ): Promise<RecurringWritten> {
    for (;;) {
      const entry = await read(scope, name)
      const before = entry && readRecurring(entry)
      if (by.ifMatch !== undefined && by.ifMatch !== (before?.etag ?? null))
        throw preconditionFailed('recurring action')
      const def = decide(before)
      if (before && sameWords(before, def)) return { view: view(before), etag: before.etag, created: false }
      const place: Op[] = entry
        ? []
        : [{ op: 'slot', id: PLACES, holder: name, max: deps.maxPerScope(), until: FOR_EVER }]
      const done = await state.commit(scope, [
        ...place,
        { ...putRecurring(def, newId()), ifVersion: entry?.version ?? null },
        ...recordOps(before ? what : 'recurring action created', def, by),
      ])
      if (done.ok) return { view: view(def), etag: def.etag, created: !before }
      if (place.length > 0 && done.at === 0)
        throw new Problem(
          409,
          'recurring_limit',
          `this tenant has ${deps.maxPerScope()} recurring actions, as many as [background].max_recurring_actions_per_tenant allows`,
        )
    }
  }

  const write = (body: RecurringBody, name: string, by: By, mustBeNew: boolean): Promise<RecurringWritten> =>
    edit(
      body.scope,
      name,
      by,
      (before) => {
        if (before && mustBeNew)
          throw new Problem(409, 'already_exists', `there is a recurring action "${name}" already`)
        return body.definition(name, { now: now(), id: newId() }, before)
      },
      'recurring action changed',
    )

  const turn = (scope: Scope, name: string, by: By, enabled: boolean): Promise<RecurringWritten> =>
    edit(
      scope,
      name,
      by,
      (before) => {
        if (!before) throw notFound('recurring action')
        return before.enabled === enabled
          ? before
          : withNext({ ...before, enabled, etag: newId(), updatedAt: now() }, now(), before)
      },
      enabled ? 'recurring action resumed' : 'recurring action paused',
    )

  return {
    async list(scope, page) {
      const found = await state.list(kinds.recurring, scope, page)
      const recurring = found.entries.map((e) => view(readRecurring(e)))
      return { recurring, ...(found.next !== undefined && { next: found.next }) }
    },
    async get(scope, name) {
      const entry = await read(scope, name)
      const def = entry && readRecurring(entry)
      return def && { view: view(def), etag: def.etag }
    },
    put: async (scope, name, body, by) =>
      write(readRecurringBody(scope, body, deps.providerError, name), name, by, false),
    async create(scope, body, by) {
      const read = readRecurringBody(scope, body, deps.providerError)
      return write(read, read.name ?? `recurring-${newId()}`, by, true)
    },
    pause: (scope, name, by) => turn(scope, name, by, false),
    resume: (scope, name, by) => turn(scope, name, by, true),
    async delete(scope, name, by) {
      for (;;) {
        const entry = await read(scope, name)
        if (!entry) return false
        const def = readRecurring(entry)
        if (by.ifMatch !== undefined && by.ifMatch !== def.etag) throw preconditionFailed('recurring action')
        const done = await state.commit(scope, [
          { op: 'delete', kind: kinds.recurring, id: name, ifVersion: entry.version },
          { op: 'slot', id: PLACES, holder: name, max: deps.maxPerScope(), until: 0 },
          ...recordOps('recurring action deleted', def, by),
        ])
        if (done.ok) return true
      }
    },
  }
}

/** Whether two definitions say the same, whatever has run meanwhile. */
function sameWords(a: Recurring, b: Recurring): boolean {
  const words = (d: Recurring): string => {
    const { etag: _e, updatedAt: _u, nextAt: _n, ...rest } = d
    return canonicalJson(JSON.parse(JSON.stringify(rest)) as Json)
  }
  return words(a) === words(b)
}
