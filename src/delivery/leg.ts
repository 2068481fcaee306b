import type { Env } from '../core/env.ts'
import { ProviderError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { Receipt } from '../core/provider.ts'
import { asProviderError, attempt, ClaimLost } from './attempt.ts'
import { type Backoff, backoffMs } from './backoff.ts'
import type { Breakers } from './breakers.ts'
import type { DeliveryHooks } from './delivery.ts'
import type { Lane } from './lane.ts'
import type { Route } from './route.ts'

/** An attempt that has ended, for metrics. */
export interface AttemptSeen {
  readonly provider: string
  readonly result: 'success' | 'retryable' | 'permanent'
  /** Of a failure. */
  readonly code?: string
  readonly durationMs: number
}

/** The part of a delivery that goes to one provider. */
export interface Leg {
  readonly provider: string
  readonly route: Route
  readonly lane: Lane
  readonly request: Json
  readonly token: string
  readonly deadline: number
  readonly maxRetries: number
  readonly hooks: DeliveryHooks
  /** What happens on the way, for the delivery to sum up. */
  readonly sofar: { attempts: number; firstAttemptAt: number | undefined; unknown: boolean }
}
export interface LegDeps {
  readonly env: Env
  readonly breakers: Breakers
  readonly backoff: Backoff
  readonly onAttempt: (attempt: AttemptSeen) => void
}

export type LegEnd =
  /** `startedAt`: when the attempt that succeeded began. */
  | { readonly kind: 'sent'; readonly receipt: Receipt; readonly startedAt: number }
  | { readonly kind: 'failed'; readonly error: ProviderError; readonly retryAfterMs?: number }
  /** The breaker refuses. `error`: of this leg's own last attempt, if it made one. */
  | { readonly kind: 'refused'; readonly retryAt: number; readonly error?: ProviderError }
  | { readonly kind: 'waiting'; readonly dueAt: number }
  | { readonly kind: 'lost' }

/** breaker → bulkhead → rate limit → attempt with timeout, and again after a back-off that holds no slot. */
export async function runLeg(deps: LegDeps, leg: Leg): Promise<LegEnd> {
  const { env, breakers } = deps
  const { clock, random } = env
  let last: ProviderError | undefined
  for (let retry = 0; ; retry++) {
    const turn = await once(deps, leg, last)
    if (turn.kind !== 'retry') return turn
    last = turn.error
    const seen = breakers.look(leg.provider)
    if (!seen.admitted) return { kind: 'refused', retryAt: seen.retryAt, error: last }
    const waitMs = Math.max(backoffMs(retry, deps.backoff, random.float()), last.retryAfterMs ?? 0)
    const dueAt = clock.now() + waitMs
    if (retry >= leg.maxRetries || dueAt >= leg.deadline) return failed(last)
    const rested = await waitFor(deps, leg, (cut) => clock.sleep(waitMs, cut).then(() => !cut.aborted))
    if (!rested) return interrupted(deps, leg, last, dueAt)
  }
}

async function once(
  deps: LegDeps,
  leg: Leg,
  last: ProviderError | undefined,
): Promise<LegEnd | { readonly kind: 'retry'; readonly error: ProviderError }> {
  const { lane, hooks } = leg
  const { clock } = deps.env
  if (hooks.lost.aborted) return { kind: 'lost' }
  if (clock.now() >= leg.deadline) return failed(last ?? late(leg, 'its deadline had passed'))
  // Told to come back after the deadline: say so at once instead of waiting for nothing.
  const { blockedUntil } = lane.limiter
  if (blockedUntil >= leg.deadline) return failed(last ?? blocked(leg, blockedUntil - clock.now()))
  if (!lane.bulkhead.take() && !(await waitFor(deps, leg, lane.bulkhead.wait)))
    return interrupted(deps, leg, last, clock.now())
  try {
    if (!lane.limiter.take() && !(await waitFor(deps, leg, lane.limiter.wait)))
      return interrupted(deps, leg, last, lane.limiter.nextAt())
    const timeoutMs = Math.min(leg.route.timeoutMs, leg.deadline - clock.now())
    const admission = await deps.breakers.admit(leg.provider, timeoutMs)
    if (!admission.admitted)
      return { kind: 'refused', retryAt: admission.retryAt, ...(last === undefined ? {} : { error: last }) }
    // Taking a probe's slot is a commit, and may have lasted.
    const until = Math.min(leg.deadline, admission.probe?.until ?? leg.deadline)
    if (hooks.lost.aborted || clock.now() >= until) {
      await deps.breakers.release(leg.provider, admission)
      return hooks.lost.aborted ? { kind: 'lost' } : failed(last ?? late(leg, 'waiting for the circuit breaker'))
    }
    return await send(deps, leg, admission, Math.min(leg.route.timeoutMs, until - clock.now()))
  } finally {
    lane.bulkhead.free()
  }
}

async function send(
  deps: LegDeps,
  leg: Leg,
  admission: Parameters<Breakers['run']>[1],
  timeoutMs: number,
): Promise<LegEnd | { readonly kind: 'retry'; readonly error: ProviderError }> {
  const { env, breakers } = deps
  const { sofar, lane, provider } = leg
  const startedAt = env.clock.now()
  sofar.attempts++
  sofar.firstAttemptAt ??= startedAt
  try {
    const opts = { token: leg.token, timeoutMs, lost: leg.hooks.lost }
    const receipt = await breakers.run(provider, admission, () => attempt(env, leg.route.provider, leg.request, opts))
    attempted(deps, lane, provider, startedAt)
    return { kind: 'sent', receipt, startedAt }
  } catch (e) {
    if (e instanceof ClaimLost) return { kind: 'lost' }
    const error = asProviderError(env.log, provider, e)
    attempted(deps, lane, provider, startedAt, error)
    sofar.unknown ||= error.unknown
    if (!error.retryable) return failed(error)
    if (error.retryAfterMs !== undefined) lane.limiter.block(env.clock.now() + error.retryAfterMs)
    return { kind: 'retry', error }
  }
}

/** Those who count learn how an attempt has ended. */
export function attempted(
  deps: Pick<LegDeps, 'env' | 'onAttempt'>,
  lane: Pick<Lane, 'health'>,
  provider: string,
  startedAt: number,
  error?: ProviderError,
): number {
  const durationMs = deps.env.clock.now() - startedAt
  lane.health.seen(durationMs, error)
  if (!error) deps.onAttempt({ provider, result: 'success', durationMs })
  else deps.onAttempt({ provider, result: error.retryable ? 'retryable' : 'permanent', code: error.code, durationMs })
  return durationMs
}

/** Waits with a signal that aborts when the claim is lost, the process stops, or the deadline comes. */
async function waitFor(deps: LegDeps, leg: Leg, wait: (cut: AbortSignal) => Promise<boolean>): Promise<boolean> {
  const { lost, stopping } = leg.hooks
  const cut = new AbortController()
  const abort = () => cut.abort()
  if (lost.aborted || stopping.aborted) abort()
  const timer = deps.env.clock.timer(leg.deadline - deps.env.clock.now(), abort)
  lost.addEventListener('abort', abort)
  stopping.addEventListener('abort', abort)
  try {
    return await wait(cut.signal)
  } finally {
    timer.cancel()
    lost.removeEventListener('abort', abort)
    stopping.removeEventListener('abort', abort)
  }
}

function interrupted(deps: LegDeps, leg: Leg, last: ProviderError | undefined, dueAt: number): LegEnd {
  if (leg.hooks.lost.aborted) return { kind: 'lost' }
  if (leg.hooks.stopping.aborted) return { kind: 'waiting', dueAt: Math.max(dueAt, deps.env.clock.now()) }
  return failed(last ?? late(leg, 'waiting for its turn'))
}

const failed = (error: ProviderError): LegEnd => ({ kind: 'failed', error })
const late = (leg: Leg, what: string): ProviderError =>
  new ProviderError('deadline_exceeded', `nothing was sent to ${leg.provider}: ${what}`, {
    retryable: true,
    timeout: true,
  })
const blocked = (leg: Leg, retryAfterMs: number): ProviderError =>
  new ProviderError('rate_limited', `${leg.provider} has asked for no requests for now`, {
    retryable: true,
    retryAfterMs,
  })
