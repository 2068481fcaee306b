import { kinds } from '../core/hold.ts'
import type { Entry, Op } from '../core/state.ts'
import { type DeadLetter, deleteDeadLetter } from '../delivery/dead-letters.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import { pendingDedup, pendingExpiry, settleDedup } from './dedup.ts'
import { type IdempotencyRequest, settleIdempotency, takeIdempotency } from './idempotency.ts'
import { type Intent, intentTags, putIntent, readIntent } from './intent.ts'
import type { Parts } from './parts.ts'
import { recordOps } from './record.ts'
import type { Run } from './run.ts'
import { endedVersion, intentOfLetter } from './settle.ts'

/**
 * A run that may have reached the other side is never answered with a second run: whoever comes next under its key sends its
 * stored bytes under its token.
 */
export interface TakeOver {
  /** The run as it goes on: its action, bytes and token; the new request's answer and record. */
  readonly intent: Intent
  /** Refused when anything it rests on has moved. */
  readonly ops: readonly Op[]
  /** Index of the op that claims the intent. */
  readonly at: number
  readonly until: number
}

/** What is taken over: an intent whose lease ran out, or the dead letter of a run that ended unknown. */
export type Abandoned = { readonly entry: Entry } | { readonly letter: DeadLetter }

export function takeOver(parts: Parts, from: Abandoned, run: Run): TakeOver {
  const now = parts.env.clock.now()
  // The caller of this run is told of its end, whatever the one before was.
  const { redriven: _, ...before } = 'entry' in from ? readIntent(from.entry.value) : intentOfLetter(from.letter)
  const same = before.answers.actionId === run.action.id
  const keysVersion = parts.env.newId()
  const keys = mergeKeys(before, run.idempotency)
  const intent: Intent = {
    ...before,
    answers: { actionId: run.action.id, runId: before.runId },
    // The first run's own record may be written already (its letter) or is written below (its crash).
    auditId: run.auditId,
    kind: run.kind,
    receivedAt: run.receivedAt,
    caller: run.caller,
    // What has been told to one of them holds for both.
    accepted: before.accepted || run.accepted,
    putBack: run.accepted,
    ...(run.accepted && { firstDueAt: run.held?.firstDueAt ?? now }),
    // An attempt may have been acted on: a later one that is refused for certain does not undo it.
    unknown: true,
    keysVersion,
    idempotency: keys,
  }
  const until = now + LEASE_MS
  const claim = { owner: parts.node, until }
  const ops: Op[] = []
  const version = parts.env.newId()
  if ('entry' in from) {
    const { key, version: ifVersion } = from.entry
    const value = JSON.stringify(intent)
    ops.push({
      op: 'put',
      kind: kinds.intent,
      id: key.id,
      value,
      version,
      ifVersion,
      ifUnclaimed: true,
      claim,
      tags: intentTags(intent),
    })
    if (!same || before.auditId !== intent.auditId) ops.push(...interrupted(parts, before, now))
  } else ops.push(putIntent(intent, version, claim, run.held?.attempts), ...deleteDeadLetter(from.letter))
  // An abandoned intent's keys are as it took them; a dead letter's as its end left them.
  const old = 'entry' in from ? before.keysVersion : endedVersion(before.keysVersion)
  for (const key of before.dedup) {
    const expiry = pendingExpiry(parts, key.until, now)
    ops.push(settleDedup(key, old, pendingDedup(before, key), keysVersion, now, expiry))
  }
  const pending = { state: 'pending', runId: before.runId } as const
  for (const k of before.idempotency) ops.push(settleIdempotency(k, old, pending, keysVersion, now))
  if (run.idempotency && !before.idempotency.some((k) => k.id === run.idempotency?.id)) {
    ops.push(takeIdempotency(run.idempotency, pending, keysVersion, now))
  }
  return { intent, ops, at: 0, until }
}

/** The record of a run whose process died: written when another goes on with it, under the id fixed at its admission. */
const interrupted = (parts: Parts, before: Intent, now: number): readonly Op[] =>
  recordOps(parts.audit(), {
    id: before.auditId,
    kind: before.kind,
    action: before.action,
    came: before.came,
    runId: before.runId,
    parentId: before.parentId,
    outcome: 'failed',
    receivedAt: before.receivedAt,
    completedAt: now,
    caller: before.caller,
    provider: before.provider,
    requestedProvider: before.requestedProvider,
    rule: before.rule,
    rulesVersion: before.rulesVersion,
    matched: before.matched,
    details: {
      code: 'interrupted',
      message: 'the gateway stopped while this was being delivered; a later request went on with it',
    },
  })

/** Each key remembers the action it came with: one run will answer all of them. */
function mergeKeys(
  { idempotency, answers: { actionId } }: Pick<Intent, 'idempotency' | 'answers'>,
  more: IdempotencyRequest | undefined,
): readonly IdempotencyRequest[] {
  const had = idempotency.map((k) => (k.actionId === undefined ? { ...k, actionId } : k))
  return more === undefined || had.some((k) => k.id === more.id) ? had : [...had, more]
}
