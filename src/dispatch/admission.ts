import { kinds } from '../core/hold.ts'
import type { Outcome } from '../core/outcome.ts'
import { type Plan, turnsAway } from '../core/plan.ts'
import type { ClaimRef, Committed, Op } from '../core/state.ts'
import { type CountOps, overWarnings } from '../quotas/quotas.ts'
import type { KeyState } from '../schedules/schedule.ts'
import type { After, Tools } from './after.ts'
import { type DedupValue, pendingExpiry, settleDedup, type TakenKey, takeDedup } from './dedup.ts'
import { add, type Draft, newDraft } from './draft.ts'
import { effectOps } from './effects.ts'
import { type Ended, endOps } from './ends.ts'
import { storedAnswer, takeIdempotency } from './idempotency.ts'
import type { Parts } from './parts.ts'
import { cameAs } from './received.ts'
import { detailsOf, recordOps } from './record.ts'
import type { About } from './refusal.ts'
import type { Run } from './run.ts'
import type { RunCount } from './run-counts.ts'
import { letterOps } from './settle.ts'

/**
 * A plan as one commit, in this order: Idempotency-Key; the held entry's removal; dedup and throttle in rule order; quotas by
 * name; limits of runs; side effects; the end; the record.
 *
 * 1 building it reads and writes nothing: before the commit nobody knows of the action, after it somebody owns it
 * 2 nothing is sent or started before the commit is durable (`after`)
 * 3 every admitted run ends in one outcome here, or is due: as an intent, a hold, an execution, a group's event
 */
export interface Admission {
  readonly ops: readonly Op[]
  /** What each op stands for; undefined where it cannot refuse. */
  readonly about: readonly (About | undefined)[]
  /** Set when the outcome is known with the commit; `complete` adds what only the commit knows. */
  readonly outcome: Outcome | undefined
  complete(committed: Committed): Outcome | undefined
  readonly after: After
}

/** State ids of the schedule keys a plan touches, each once: to be read before the admission is built. */
export function keysOf({ effects, end }: Plan): readonly string[] {
  const ids: string[] = []
  for (const e of effects) if (e.kind === 'cancel_scheduled' && !ids.includes(e.id)) ids.push(e.id)
  if (end.kind === 'schedule' && end.keyId !== undefined && !ids.includes(end.keyId)) ids.push(end.keyId)
  return ids
}

/** What was read before the admission is built. */
export interface ReadBefore {
  readonly keys: ReadonlyMap<string, KeyState>
  /** Keys that are held by a run that is over: taken from that version on, by `staleId`. */
  readonly stale: ReadonlyMap<string, string>
}
/** A dedup key and an Idempotency-Key may have one id. */
export const staleId = (key: { readonly kind: string; readonly id: string }): string => `${key.kind} ${key.id}`

export const NOTHING_READ: ReadBefore = { keys: new Map(), stale: new Map() }

export function admit(parts: Parts, tools: Tools, run: Run, plan: Plan, read: ReadBefore = NOTHING_READ): Admission {
  const now = parts.env.clock.now()
  const draft = newDraft(read.keys)
  // Its place is first, its value is known last.
  const idempotencyAt = run.idempotency ? add(draft, [PLACE], { is: 'idempotency' }) : undefined
  if (run.held) add(draft, run.held.remove, { is: 'claim' })
  const quiet = turnsAway(plan.end) && plan.effects.length === 0
  const guardsAt = draft.ops.length
  const taken = quiet ? [] : guardOps(draft, plan)
  const counted = run.counted || quiet ? undefined : addQuotas(tools, run, plan, draft, now)
  const runs = quiet || plan.limits.length === 0 ? NO_RUNS : addLimits(tools, run, plan, draft, now)
  const effects = effectOps(parts, tools, run, plan, draft, now)
  const warnings = [...plan.warnings, ...runs.warnings, ...effects.warnings]
  const base = {
    action_id: run.action.id,
    run_id: run.runId,
    ...(effects.copies.length > 0 && { copies: effects.copies }),
    ...(effects.chains.length > 0 && { chains: effects.chains }),
    ...(warnings.length > 0 && { warnings }),
  }
  const dedup: TakenKey[] = taken.map((g) => ({ id: g.id, shown: g.shown, until: now + g.ttlMs }))
  const ended = endOps({ parts, tools, run, plan, draft, effects, dedup, base, now })
  if (run.held) add(draft, run.held.unlink)
  const outcome = finish(parts, run, plan, ended, draft, now)
  dedup.forEach((key, i) => {
    const stale = read.stale.get(staleId({ kind: kinds.dedup, id: key.id })) ?? null
    draft.ops[guardsAt + taken[i]!.offset] = dedupOp(parts, run, key, outcome, stale, now)
    // A definite failure, known before anything is sent: the key is asked for, and not kept.
    if (outcome?.outcome === 'failed') add(draft, [settleDedup(key, run.keysVersion, undefined, '', now)])
  })
  if (run.idempotency && idempotencyAt !== undefined) {
    const { redact } = parts.settings()
    const value = !outcome
      ? ({ runId: run.runId, state: 'pending' } as const)
      : ({ runId: run.runId, state: 'done', answer: storedAnswer(outcome, redact) } as const)
    draft.ops[idempotencyAt] = takeIdempotency(
      run.idempotency,
      value,
      run.keysVersion,
      now,
      read.stale.get(staleId({ kind: kinds.idempotency, id: run.idempotency.id })),
    )
  }
  return {
    ops: draft.ops,
    about: draft.about,
    outcome,
    complete(c) {
      const told = ended.complete ? ended.complete(c) : outcome
      const over = counted ? overWarnings(counted.ops, c.results, counted.at) : []
      return told && over.length > 0 ? { ...told, warnings: [...(told.warnings ?? []), ...over] } : told
    },
    after: {
      ...ended.after,
      runs: runs.counts,
      chains:
        effects.begun.length === 0 ? (ended.after.chains ?? []) : [...effects.begun, ...(ended.after.chains ?? [])],
      nudge: effects.copies.length === 0 ? (ended.after.nudge ?? []) : ['copy', ...(ended.after.nudge ?? [])],
    },
  }
}

/** Replaced before the draft is handed out. */
const PLACE: Op = { op: 'wake', kind: 'none', id: 'none' }

type Dedup = Extract<Plan['guards'][number], { kind: 'dedup' }>

function guardOps(draft: Draft, plan: Plan): readonly (Dedup & { readonly offset: number })[] {
  const taken: (Dedup & { readonly offset: number })[] = []
  plan.guards.forEach((guard, offset) => {
    if (guard.kind === 'dedup') {
      taken.push({ ...guard, offset })
      add(draft, [PLACE], { is: 'dedup', guard })
    } else
      add(draft, [{ op: 'admit', id: guard.id, max: guard.maxCount, windowMs: guard.windowMs }], {
        is: 'throttle',
        guard,
      })
  })
  return taken
}

/** One for what is delivered, held or starts a chain; a copy counts when it is released. */
function addQuotas(
  tools: Tools,
  run: Run,
  plan: Plan,
  draft: Draft,
  now: number,
): { readonly ops: CountOps; readonly at: number } | undefined {
  const { end } = plan
  const starts = plan.effects.some((e) => e.kind === 'chain')
  if ((turnsAway(end) || isKept(plan, draft)) && !starts) return undefined
  const provider = end.kind === 'deliver' ? end.provider : plan.action.provider
  const ops = tools.quotas.countOps(run.scope, provider, now)
  if (ops.ops.length === 0) return undefined
  const at = draft.ops.length
  ops.ops.forEach((op, i) => {
    add(draft, [op], { is: 'quota', quota: ops.quotas[i]! })
  })
  return { ops, at }
}

interface Runs {
  readonly counts: readonly RunCount[]
  readonly warnings: readonly string[]
}
const NO_RUNS: Runs = { counts: [], warnings: [] }

/** Last of all that may refuse, so that only what would really run is one too many. A limit that only warns is no part of the commit. */
function addLimits({ runCounts }: Tools, { scope }: Run, plan: Plan, draft: Draft, now: number): Runs {
  const counts: RunCount[] = []
  const warnings: string[] = []
  const kept = isKept(plan, draft) && 'rule' in plan.end ? plan.end.rule : undefined
  for (const limit of plan.limits) {
    if (limit.rule === kept) continue
    if (limit.mode === 'disable') {
      add(draft, [{ op: 'admit', id: limit.id, max: limit.count, windowMs: limit.windowMs }], { is: 'limit', limit })
      continue
    }
    const count = runCounts.of(scope, limit)
    const warning = count.warning(now)
    counts.push(count)
    if (warning !== undefined) warnings.push(warning)
  }
  return { counts, warnings }
}

/** `keep` has a hold already: nothing is held for this one, which is recorded as its duplicate. */
function isKept({ end, effects }: Plan, { keys }: Draft): boolean {
  if (end.kind !== 'schedule' || end.onRepeat !== 'keep' || end.keyId === undefined) return false
  const ended = effects.some((e) => e.kind === 'cancel_scheduled' && e.id === end.keyId)
  return !ended && (keys.get(end.keyId)?.holds.length ?? 0) > 0
}

function dedupOp(
  parts: Parts,
  run: Run,
  key: TakenKey,
  outcome: Outcome | undefined,
  ifVersion: string | null,
  now: number,
): Op {
  // What is accepted is still to be delivered.
  const known = outcome?.outcome === 'accepted' ? undefined : outcome
  const value: DedupValue = {
    state: known ? 'final' : 'pending',
    actionId: run.action.id,
    runId: run.runId,
    outcome: known?.outcome ?? 'pending',
    shown: key.shown,
    until: key.until,
  }
  const expiresAt = known ? key.until : pendingExpiry(parts, key.until, now)
  return takeDedup(key.id, value, run.keysVersion, expiresAt, ifVersion)
}

/** Adds the record of an outcome that is known with the commit, and the dead letter of one that failed before it was sent. */
function finish(parts: Parts, run: Run, plan: Plan, ended: Ended, draft: Draft, now: number): Outcome | undefined {
  if (!ended.outcome) return undefined
  let outcome: Outcome = ended.outcome
  if (ended.warnings && ended.warnings.length > 0)
    outcome = { ...outcome, warnings: [...(outcome.warnings ?? []), ...ended.warnings] }
  if (outcome.outcome === 'failed') {
    const { end } = plan
    const starts = end.kind === 'chain' ? { chain: end.chain, rule: end.rule } : undefined
    const { ops, letterId } = letterOps(parts, run, plan, outcome, now, starts)
    add(draft, ops)
    outcome = { ...outcome, dead_letter_id: letterId }
  }
  // `accepted` is recorded at its end, under the same id.
  if (outcome.outcome === 'accepted') return outcome
  add(
    draft,
    recordOps(parts.audit(), {
      id: run.auditId,
      kind: run.kind,
      action: plan.action,
      came: cameAs(run.action, plan.action),
      runId: run.runId,
      parentId: run.parentId,
      chainId: outcome.outcome === 'chain_started' ? outcome.chain_id : undefined,
      outcome: ended.auditAs ?? outcome.outcome,
      receivedAt: run.receivedAt,
      completedAt: now,
      caller: run.caller,
      provider: 'provider' in outcome ? outcome.provider : undefined,
      requestedProvider: run.action.provider,
      rule: outcome.rule,
      rulesVersion: run.rulesVersion,
      matched: plan.matched,
      details: detailsOf(outcome),
    }),
  )
  return outcome
}

/** The claim of something born in the commit. */
export function claimOf(
  born: { readonly at: number },
  claim: { readonly owner: string; readonly until: number },
  c: Committed,
): ClaimRef & { readonly until: number } {
  const number = c.results[born.at]?.claimNumber
  if (number === undefined) throw new Error('the store gave no number for a claim it granted')
  return { ...claim, number }
}
