import type { Action, Scope } from '../../core/action.ts'
import { groupNotified, kinds } from '../../core/hold.ts'
import { joinParts, uuidv7Of, uuidv7Time } from '../../core/ids.ts'
import type { Lineage } from '../../core/lineage.ts'
import type { Op } from '../../core/state.ts'
import { compileTemplate } from '../../core/template.ts'
import { LEASE_MS } from '../../delivery/lease.ts'
import type { Chain } from './compiled.ts'
import type { ChainDefinition } from './definition.ts'
import type { ChainEvent } from './happening.ts'
import { entityOf, lineUp, lockId } from './lock.ts'
import {
  type Beginning,
  beginningId,
  historyId,
  type Parent,
  type Run,
  runTags,
  type StepRecord,
  type StepResult,
  undoTag,
} from './run.ts'

export interface Start {
  readonly id: string
  readonly scope: Scope
  readonly chain: Chain
  /** With every sub-chain it can reach. */
  readonly definitions: readonly ChainDefinition[]
  readonly origin: Action
  readonly prev?: StepResult
  readonly lineage?: Lineage
  /** Of the admission. */
  readonly runId: string
  readonly rule?: string
  readonly parent?: Parent
  /** The lock of its root. */
  readonly under?: NonNullable<Run['under']>
  readonly timeoutMs: number
  /** As in the execution. */
  readonly latest?: number
  readonly now: number
}
export interface Starter {
  readonly owner: string
  readonly newId: () => string
  /** `[chains].max_concurrent_per_scope`: executions of one scope at work at once. */
  readonly maxPerScope: () => number | undefined
}

/**
 * Begins with the moment of the start, which may be long after the admission, so that executions list in the order they began; else a
 * function of what started it.
 */
export const rootId = (now: number, runId: string, rule: string): string => uuidv7Of(now, 'chain', runId, rule)
/** A child is a function of its parent, step, iteration and attempt: made twice, it is one. */
export const childRunId = (parent: string, key: string, iteration: number, attempt: number): string =>
  uuidv7Of(
    uuidv7Time(parent),
    'child',
    parent,
    key,
    String(iteration),
    // What the first attempt was called before there were others.
    ...(attempt > 1 ? [String(attempt)] : []),
  )

/**
 * An execution that has ended is kept until it is purged; an expiry, however far off, says to the store that it is no work and that
 * no wake-up makes it due. What belongs to one under way has none: work never expires.
 */
export const KEPT_FOR_EVER = Date.UTC(9999, 11, 31)

/**
 * The entries of an execution about to begin: it, what it began with and the first of its history. Born claimed: whoever commits
 * them drives it, once it has what it must have (`pending` until then).
 */
export function startOps(
  s: Start,
  { owner, newId }: Starter,
  opened?: { readonly run: Run; readonly events: readonly ChainEvent[] },
): { readonly ops: readonly Op[]; readonly run: Run; readonly beginning: Beginning } {
  const { now } = s
  const first = begun(s, newId)
  const run = opened?.run ?? first
  const beginning: Beginning = {
    origin: s.origin,
    ...(s.prev && { prev: s.prev }),
    definitions: s.definitions,
    ...(s.lineage && { lineage: s.lineage }),
  }
  const version = newId()
  const ops: Op[] = [
    {
      op: 'put',
      kind: kinds.run,
      id: s.id,
      value: JSON.stringify(run),
      version,
      tags: runTags(run),
      ifVersion: null,
      claim: { owner, until: now + LEASE_MS },
    },
    { op: 'put', kind: kinds.step, id: beginningId(s.id), value: JSON.stringify(beginning), version },
    putHistory(s.id, 0, [startedEvent(first, now), ...(opened?.events ?? [])], version),
    ...(run.lock ? lineUp(s.id, run.lock, version) : []),
  ]
  return { ops, run, beginning }
}

function begun(s: Start, newId: () => string): Run {
  const { chain, now, origin } = s
  const { definition: d } = chain
  // What is locked for the root is locked for all that belongs to it.
  const entity = d.lock_by === undefined || s.parent ? undefined : entityOf(d.lock_by, origin)
  const limits = d.max_concurrent !== undefined && [{ id: joinParts(['chain', chain.name]), max: d.max_concurrent }]
  const attributes = d.attributes && attributesOf(d.attributes, origin)
  const notifies = groupNotified(origin)
  return {
    v: 2,
    id: s.id,
    chain: chain.name,
    version: chain.version,
    totalSteps: chain.steps.size,
    actionId: origin.id,
    ...(notifies !== undefined && { notifies }),
    runId: s.runId,
    ...(s.rule !== undefined && { rule: s.rule }),
    ...(s.parent && { parent: s.parent }),
    ...(s.under && { under: s.under }),
    priority: d.priority ?? 'normal',
    ...(entity !== undefined && { entity, lock: { id: lockId(d.lock_by!, entity), place: newId() } }),
    ...(limits && { limits }),
    ...(attributes && { attributes }),
    startedAt: now,
    timeoutMs: s.timeoutMs,
    ...(s.latest !== undefined && { latest: s.latest }),
    deadline: now + s.timeoutMs,
    status: 'pending',
    open: [],
    entered: {},
    done: [],
    failures: [],
    taken: 0,
    seq: 0,
    bytes: 0,
    resumed: 0,
  }
}

/** More of an attribute's value is cut off. */
export const ATTRIBUTE_CHARACTERS = 256
export function attributesOf(
  templates: { readonly [name: string]: string },
  action: Action,
): { readonly [name: string]: string } {
  const origin = { ...action }
  return Object.fromEntries(
    Object.entries(templates).map(([name, template]) => {
      const value = compileTemplate(template).render({ origin })
      return [name, (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, ATTRIBUTE_CHARACTERS)]
    }),
  )
}

function startedEvent({ seq: _seq, ...run }: Run, at: number): ChainEvent {
  return { at, type: 'started', run }
}

export const putHistory = (runId: string, seq: number, events: readonly ChainEvent[], version: string): Op => ({
  op: 'put',
  kind: kinds.history,
  id: historyId(runId, seq),
  value: JSON.stringify(events),
  version,
})

export const putStep = (runId: string, id: string, record: StepRecord, version: string): Op => ({
  op: 'put',
  kind: kinds.step,
  id,
  value: JSON.stringify(record),
  version,
  ...(record.undo === 'due' && { tags: [undoTag(runId)] }),
})
