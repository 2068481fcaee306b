import { kinds } from '../core/hold.ts'
import { joinParts } from '../core/ids.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Redact } from '../core/redact.ts'
import type { Entry, Op } from '../core/state.ts'

/** Keys are kept for 24 hours from their first use. */
export const IDEMPOTENCY_TTL_MS = 86_400_000

export interface IdempotencyRequest {
  /** State id: caller and key, length-prefixed. */
  readonly id: string
  /** SHA-256 of the raw body: the same key with another body is a mistake of the caller's. */
  readonly hash: string
  /** The action it was sent with, once a run was taken over and may answer several keys. */
  readonly actionId?: string
}
export interface IdempotencyValue {
  readonly hash: string
  readonly runId: string
  /** `done`: answer stored. `pending`: its intent is under way. `unknown`: the run ended unknown; its dead letter has the bytes. */
  readonly state: 'pending' | 'done' | 'unknown'
  /** The outcome as answered, redacted; without what is only true of the moment (group size, notify time, quota use). */
  readonly answer?: Outcome
  readonly letterId?: string
}

export const idempotencyId = (caller: string, key: string): string => joinParts([caller, key])

export const readIdempotency = (entry: Entry): IdempotencyValue => JSON.parse(entry.value) as IdempotencyValue

/** Takes the key if nobody has it, or what has it still is the one of that version: the first op of the admitting commit. */
export function takeIdempotency(
  request: IdempotencyRequest,
  value: Omit<IdempotencyValue, 'hash'>,
  version: string,
  now: number,
  ifVersion: string | null = null,
): Op {
  return put(request, value, version, now, { ifVersion })
}

/** Leaves the key as the run's end wants it; only while it is still that run's. */
export function settleIdempotency(
  request: IdempotencyRequest,
  ifVersion: string,
  next: Omit<IdempotencyValue, 'hash'> | undefined,
  version: string,
  now: number,
): Op {
  if (next === undefined) return { op: 'delete', kind: kinds.idempotency, id: request.id, ifVersion, orSkip: true }
  return put(request, next, version, now, { ifVersion, orSkip: true })
}

function put(
  request: IdempotencyRequest,
  value: Omit<IdempotencyValue, 'hash'>,
  version: string,
  now: number,
  conditions: { ifVersion: string | null; orSkip?: boolean },
): Op {
  return {
    op: 'put',
    kind: kinds.idempotency,
    id: request.id,
    value: JSON.stringify({ hash: request.hash, ...value } satisfies IdempotencyValue),
    version,
    expiresAt: now + IDEMPOTENCY_TTL_MS,
    ...conditions,
  }
}

/** Refusals that say "come back": never stored, so that the same key is free to try again. */
export const isFinal = (o: Outcome): boolean =>
  !(
    o.outcome === 'throttled' ||
    o.outcome === 'quota_exceeded' ||
    o.outcome === 'circuit_open' ||
    o.outcome === 'hot' ||
    (o.outcome === 'failed' && o.retryable)
  )

/** What a repeated key is answered: what people read is redacted, and what was only true of that moment is left out. */
export function storedAnswer(o: Outcome, redact: Redact): Outcome {
  const { trace: _trace, ...rest } = o
  if (rest.outcome === 'grouped') {
    const { group_size: _size, notify_at: _at, ...stays } = rest
    return stays
  }
  if ((rest.outcome === 'executed' || rest.outcome === 'rerouted' || rest.outcome === 'failed') && rest.response)
    return { ...rest, ...redact({ response: rest.response }) }
  return rest
}

/** The same for one of several keys that a run answers: about the action that came with that key. `first`: the one whose bytes were sent. */
export function answerTo({ actionId }: IdempotencyRequest, o: Outcome, first: string): Outcome {
  if (actionId === undefined || actionId === o.action_id) return o
  if (o.outcome !== 'executed' && o.outcome !== 'rerouted' && o.outcome !== 'failed')
    return { ...o, action_id: actionId }
  const { first_action_id: _first, ...rest } = o
  return { ...rest, action_id: actionId, ...(actionId !== first && { first_action_id: first }) }
}
