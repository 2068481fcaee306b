import { isoTime } from '../core/clock.ts'
import { kinds } from '../core/hold.ts'
import { deliveryToken } from '../core/ids.ts'
import type { JsonObject } from '../core/json.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Plan } from '../core/plan.ts'
import type { ClaimRef, Op } from '../core/state.ts'
import { type DeadLetter, putDeadLetter } from '../delivery/dead-letters.ts'
import type { DeliveryEnd } from '../delivery/delivery.ts'
import { type DedupValue, pendingDedup, pendingExpiry, settleDedup } from './dedup.ts'
import { forwardOps } from './forward.ts'
import {
  answerTo,
  type IdempotencyRequest,
  type IdempotencyValue,
  isFinal,
  settleIdempotency,
  storedAnswer,
} from './idempotency.ts'
import { common, type Intent, type IntentRefusal, intentOf, intentTags } from './intent.ts'
import type { Parts } from './parts.ts'
import { detailsOf, recordOps } from './record.ts'
import { lineageOf, type Run } from './run.ts'

type HandedBack = Extract<DeliveryEnd, { kind: 'handed_back' }>
type Refused = Extract<DeliveryEnd, { kind: 'failed' | 'circuit_open' }>

/** The process is stopping while the delivery waits in back-off: what was a caller's delivery becomes a hold. */
export function handedBackOps(
  parts: Parts,
  intent: Intent,
  end: HandedBack,
  claim: ClaimRef,
  attempts: number,
  now: number,
): { readonly ops: readonly Op[]; readonly outcome: Outcome | undefined } {
  const { unknown, unknownElsewhere } = end
  const lastRefusal: IntentRefusal = { ...intent.lastRefusal, why: 'shutting_down' }
  const gone: Intent = { ...intent, unknown, unknownElsewhere, claimsEnded: attempts, lastRefusal }
  if (intent.accepted) return { ops: [putUnclaimed(parts, gone, claim, end.dueAt)], outcome: undefined }
  const outcome: Outcome = { ...common(intent), outcome: 'accepted', reason: 'shutting_down' }
  const keysVersion = parts.env.newId()
  const next: Intent = { ...gone, accepted: true, putBack: true, firstDueAt: end.dueAt, keysVersion }
  const ops = [putUnclaimed(parts, next, claim, end.dueAt)]
  for (const key of intent.dedup) {
    const expiry = pendingExpiry(parts, key.until, now)
    ops.push(settleDedup(key, intent.keysVersion, pendingDedup(intent, key), keysVersion, now, expiry))
  }
  const answer = storedAnswer(outcome, parts.settings().redact)
  for (const key of intent.idempotency)
    ops.push(settleIdempotency(key, intent.keysVersion, doneFor(key, intent, answer), keysVersion, now))
  return { ops, outcome }
}

const putUnclaimed = (parts: Parts, intent: Intent, claim: ClaimRef, dueAt: number): Op => ({
  op: 'put',
  kind: kinds.intent,
  id: intent.runId,
  value: JSON.stringify(intent),
  version: parts.env.newId(),
  ifClaim: claim,
  tags: intentTags(intent),
  dueAt,
})

/** A held delivery that met an outage or a limit goes back, until it has been tried too often or is too old. */
export function putBackOps(
  parts: Parts,
  intent: Intent,
  end: DeliveryEnd,
  claim: ClaimRef,
  attempts: number,
  now: number,
): readonly Op[] | undefined {
  if (!intent.putBack || !isRetryable(end)) return undefined
  if (isExhausted(parts, attempts, intent.firstDueAt, now)) return undefined
  const dueAt = putBackAt(parts, intent.firstDueAt, end.retryAfterMs ?? 0, attempts, now)
  const lastRefusal = refusalOf(end, intent.lastRefusal)
  const gone: Intent = { ...intent, claimsEnded: attempts, lastRefusal, ...(end.unknown && { unknown: true }) }
  return [putUnclaimed(parts, gone, claim, dueAt)]
}

/** Where a breaker or a stop has the last word, what the attempt before met is still told. */
const refusalOf = (end: Refused, before: IntentRefusal | undefined): IntentRefusal =>
  end.kind === 'failed'
    ? { why: 'failed', error: { code: end.code, message: end.message } }
    : { ...before, why: 'circuit_open' }

const isRetryable = (end: DeliveryEnd): end is Refused =>
  end.kind === 'circuit_open' || (end.kind === 'failed' && end.retryable)

export function isExhausted(
  parts: Pick<Parts, 'settings'>,
  attempts: number,
  firstDueAt: number,
  now: number,
): boolean {
  const { holdMaxAttempts, holdMaxAgeMs } = parts.settings()
  return attempts >= holdMaxAttempts || now - firstDueAt >= holdMaxAgeMs
}

/**
 * When what goes back is due again: in at least a second and after what was asked for, then full jitter over a doubling span, so that
 * what failed together does not return together. But no later than its age ends it: that is looked at when it comes.
 */
export function putBackAt(
  parts: Pick<Parts, 'env' | 'settings'>,
  firstDueAt: number,
  retryAfterMs: number,
  attempts: number,
  now: number,
): number {
  const span = Math.min(300_000, 1000 * 2 ** Math.min(attempts, 16))
  const dueAt = now + Math.max(1000, retryAfterMs) + Math.floor(parts.env.random.float() * span)
  return Math.max(now + 1000, Math.min(dueAt, firstDueAt + parts.settings().holdMaxAgeMs))
}

/** The closing commit of a run: the intent goes, its keys are settled, and record and dead letter are written, in one step. */
export function endedOps(
  parts: Parts,
  intent: Intent,
  outcome: Outcome,
  claim: ClaimRef,
  now: number,
  /** The other side may have acted. */
  unknown: boolean,
): { readonly ops: readonly Op[]; readonly outcome: Outcome } {
  const lost = outcome.outcome === 'failed' || outcome.outcome === 'circuit_open'
  const letter = lost ? letterOf(parts, intent, outcome, now, unknown) : undefined
  const told: Outcome =
    letter && (outcome.outcome === 'failed' || outcome.outcome === 'circuit_open')
      ? { ...outcome, dead_letter_id: letter.id }
      : outcome
  const ops: Op[] = [{ op: 'delete', kind: kinds.intent, id: intent.runId, ifClaim: claim }]
  for (const key of intent.dedup) {
    const value = { actionId: intent.action.id, runId: intent.runId, shown: key.shown, until: key.until }
    let next: DedupValue | undefined
    if (!lost) next = { state: 'final', ...value, outcome: told.outcome }
    else if (unknown && letter) next = { state: 'unknown', ...value, outcome: told.outcome, letterId: letter.id }
    ops.push(settleDedup(key, intent.keysVersion, next, endedVersion(intent.keysVersion), now))
  }
  const { runId } = intent
  const answer = isFinal(told) ? storedAnswer(told, parts.settings().redact) : undefined
  for (const key of intent.idempotency) {
    let next: Omit<IdempotencyValue, 'hash'> | undefined
    if (unknown && letter) next = { state: 'unknown', runId, letterId: letter.id }
    else if (answer) next = doneFor(key, intent, answer)
    ops.push(settleIdempotency(key, intent.keysVersion, next, endedVersion(intent.keysVersion), now))
  }
  if (letter) ops.push(...putDeadLetter(letter, parts.settings().deadLetterTtlMs), ...forwardOps(parts, letter, now))
  ops.push(
    ...recordOps(parts.audit(), {
      id: intent.auditId,
      kind: intent.kind,
      action:
        intent.answers.actionId === intent.action.id
          ? intent.action
          : { ...intent.action, id: intent.answers.actionId },
      came: intent.came,
      runId: intent.runId,
      parentId: intent.parentId,
      outcome: told.outcome,
      receivedAt: intent.receivedAt,
      completedAt: now,
      caller: intent.caller,
      provider: 'provider' in told ? told.provider : intent.provider,
      requestedProvider: intent.requestedProvider,
      rule: intent.rule,
      rulesVersion: intent.rulesVersion,
      matched: intent.matched,
      details: detailsOf(told),
    }),
  )
  return { ops, outcome: told }
}

/** The version a run leaves its keys under when it ends. */
export const endedVersion = (keysVersion: string): string => `${keysVersion}.end`

export const doneFor = (key: IdempotencyRequest, { runId, action }: Intent, answer: Outcome) =>
  ({ state: 'done', runId, answer: answerTo(key, answer, action.id) }) as const

const originKind = (kind: Intent['kind']): DeadLetter['origin']['kind'] =>
  kind === 'release' || kind === 'flush' || kind === 'copy' || kind === 'occurrence' ? kind : 'dispatch'

function letterOf(
  parts: Parts,
  intent: Intent,
  outcome: Outcome & { outcome: 'failed' | 'circuit_open' },
  now: number,
  unknown: boolean,
): DeadLetter {
  const failed = outcome.outcome === 'failed'
  return {
    id: parts.env.newId(),
    created_at: isoTime(now),
    action: intent.action,
    provider: intent.provider,
    ...(intent.requestedProvider !== undefined && { requested_provider: intent.requestedProvider }),
    ...(intent.fallback !== undefined && { fallback: intent.fallback }),
    run_id: intent.runId,
    audit_id: intent.auditId,
    token: intent.token,
    request: intent.request,
    code: failed ? outcome.code : 'circuit_open',
    message: failed ? outcome.message : `every circuit breaker on the way is open: ${outcome.tried.join(', ')}`,
    unknown,
    attempts: failed ? outcome.attempts : 0,
    first_attempt_at: isoTime(intent.firstAttemptAt),
    told_caller: intent.redriven?.toldCaller ?? !intent.putBack,
    ...(intent.redriven && { first: intent.redriven.first }),
    origin: { kind: originKind(intent.kind) },
    ...(intent.lineage && { lineage: intent.lineage }),
    dedup: intent.dedup.map((k) => ({
      id: k.id,
      ttl_ms: Math.max(0, k.until - intent.receivedAt),
      expires_at: isoTime(k.until),
    })),
    ...(intent.idempotency[0] && { idempotency: intent.idempotency[0].id }),
    // The rest of the intent, so that whoever takes the run over later continues it as it was.
    context: JSON.parse(JSON.stringify({ ...intent, ...SPENT })) as JsonObject,
    redrives: intent.redriven?.times ?? 0,
  }
}

/** What a letter has in fields of its own, and what is of the entry that is gone. */
const SPENT = {
  action: null,
  request: null,
  lineage: undefined,
  claimsEnded: undefined,
  lastRefusal: undefined,
} as const

/** The intent a dead letter was, to be sent again under a claim of its own. */
export function intentOfLetter(letter: DeadLetter): Intent {
  const context = letter.context as unknown as Omit<Intent, 'action' | 'request'>
  const { action, request, lineage } = letter
  return { ...context, action, request, ...(lineage && { lineage }) }
}

/**
 * The dead letter of an action that failed before anything could be sent (its payload does not fit the provider, or a limit held it too
 * long, say). One that was not to be delivered goes on at the rules when it is redriven.
 */
export function letterOps(
  parts: Parts,
  run: Run,
  plan: Plan,
  outcome: Outcome & { outcome: 'failed' },
  now: number,
  /** It failed as this could not be started; all else of its plan was done. */
  starts?: DeadLetter['starts'],
): { readonly ops: readonly Op[]; readonly letterId: string } {
  const { end } = plan
  const to = end.kind === 'deliver' ? end.provider : undefined
  const fallback = end.kind === 'deliver' ? end.fallback : undefined
  const intent: Intent = {
    ...intentOf(run, plan, now),
    provider: to ?? plan.action.provider ?? '',
    ...(fallback !== undefined && { fallback }),
    rerouted: end.kind === 'deliver' && end.rerouted,
    ...(outcome.rule !== undefined && { rule: outcome.rule }),
    token: deliveryToken(run.runId),
    request: null,
    // It holds none of them, or no more; a redrive takes them, or finds that another has been delivered since.
    dedup: plan.guards.flatMap((g) => (g.kind === 'dedup' ? [{ id: g.id, shown: g.shown, until: now + g.ttlMs }] : [])),
    idempotency: [],
  }
  const sent = letterOf(parts, intent, outcome, now, false)
  // What the last rule would have passed on, it has not.
  const notSent = to === undefined && {
    lineage: lineageOf(run),
    ...(starts ? { starts } : { resumes: resumesAt(run, plan) }),
  }
  const letter = { ...sent, ...notSent }
  return {
    ops: [...putDeadLetter(letter, parts.settings().deadLetterTtlMs), ...forwardOps(parts, letter, now)],
    letterId: letter.id,
  }
}

const resumesAt = ({ action, held }: Run, plan: Plan): NonNullable<DeadLetter['resumes']> => ({
  ...(action !== plan.action && { action }),
  ...(held?.resume && { resume: held.resume }),
})
