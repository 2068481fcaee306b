import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { Guarantee, Outcome } from '../core/outcome.ts'
import type { Receipt } from '../core/provider.ts'
import type { Claimed, ClaimRef, Op } from '../core/state.ts'
import type { DeliveryEnd } from '../delivery/delivery.ts'
import { keepLease, LEASE_MS, type Lease } from '../delivery/lease.ts'
import { common, type Intent, intentScope, intentTags, readIntent } from './intent.ts'
import type { Parts } from './parts.ts'
import { endedOps, handedBackOps, putBackOps } from './settle.ts'
import { tellEnd } from './told.ts'

/**
 * The way of a stored intent to its end.
 *
 * 1 the intent is stored before the first byte, and holds what is sent; a fallback is stored before its own first byte
 * 2 one commit after the send removes the intent, settles its keys, and writes the record and the dead letter
 * 3 that commit needs the claim: who has lost it writes nothing
 * 4 what may have been acted on is never called failed for certain
 */
export interface Send {
  /** Delivers and settles. `undefined`: put back, it will go on later. Rejects with StateUnknown when the end could not be stored. */
  send(
    intent: Intent,
    claim: ClaimRef & { readonly until: number },
    attempts: number,
    /** No attempt goes beyond, whatever the settings grant. Milliseconds. */
    latest?: number,
  ): Promise<Outcome | undefined>
  /** To a provider that cannot fail: `told` is recorded already, the answer gains what the provider said. */
  sendCertain(intent: Pick<Intent, 'provider' | 'request'>, told: Outcome): Outcome | Promise<Outcome>
  /** An intent whose lease ran out: sent again if that is safe, else ended as interrupted. */
  recover(entry: Claimed): Promise<void>
}

export function createSend(parts: Parts): Send {
  const { env, state, deliver } = parts

  async function send(
    first: Intent,
    claim: ClaimRef & { readonly until: number },
    attempts: number,
    latest = Number.POSITIVE_INFINITY,
  ): Promise<Outcome | undefined> {
    let intent = first
    const lease = keepLease(
      { state, clock: env.clock },
      { kind: kinds.intent, scope: intentScope(intent), id: intent.runId },
      claim,
    )
    try {
      const end = await deliver.deliver(
        {
          action: intent.action,
          provider: intent.provider,
          ...(intent.fallback !== undefined && { fallback: intent.fallback }),
          token: intent.token,
          request: intent.request,
          ...(intent.lineage && { lineage: intent.lineage }),
          firstAttemptAt: intent.firstAttemptAt,
          unknownElsewhere: intent.unknownElsewhere,
          ...(intent.unknown && { unknown: true }),
          deadline: Math.min(latest, env.clock.now() + parts.settings().deadlineMs),
        },
        {
          lost: lease.lost,
          stopping: parts.stopping,
          async store(to) {
            const next = {
              ...intent,
              provider: to.provider,
              request: to.request,
              unknownElsewhere: to.unknownElsewhere,
              fellBackFrom: intent.fellBackFrom ?? intent.provider,
              firstAttemptAt: env.clock.now(),
            }
            const stored = await store(next, lease)
            if (stored) intent = next
            return stored
          },
        },
      )
      return await settle(intent, end, lease, attempts)
    } finally {
      lease.stop()
    }
  }

  async function store(intent: Intent, lease: Lease): Promise<boolean> {
    const op: Op = {
      op: 'put',
      kind: kinds.intent,
      id: intent.runId,
      value: JSON.stringify(intent),
      version: env.newId(),
      ifClaim: lease.claim,
      claim: { owner: parts.node, until: env.clock.now() + LEASE_MS },
      tags: intentTags(intent),
    }
    try {
      return (await state.commit(intentScope(intent), [op])).ok
    } catch (e) {
      // Stored or not, nothing of it has been sent: whoever claims the intent next goes on from what is there.
      if (e instanceof StateUnavailable || e instanceof StateUnknown) return false
      throw e
    }
  }

  async function settle(
    intent: Intent,
    end: DeliveryEnd,
    lease: Lease,
    attempts: number,
  ): Promise<Outcome | undefined> {
    if (end.kind === 'lost') throw new StateUnknown('the claim on this delivery was lost while it was under way')
    const now = env.clock.now()
    if (end.kind === 'handed_back') {
      const back = handedBackOps(parts, intent, end, lease.claim, attempts, now)
      await finish(intent, back.ops, lease)
      return back.outcome
    }
    const back = putBackOps(parts, intent, end, lease.claim, attempts, now)
    if (back) {
      await finish(intent, back, lease)
      return undefined
    }
    const outcome = outcomeOf(intent, end)
    const ended = endedOps(parts, intent, outcome, lease.claim, now, 'unknown' in end && end.unknown)
    await finish(intent, ended.ops, lease)
    tellEnd(parts, ended.outcome, intent, now)
    return ended.outcome
  }

  /** Repeats the closing commit while the lease lasts: its first op needs the claim, so a lost reply cannot make it happen twice. */
  async function finish(intent: Intent, ops: readonly Op[], lease: Lease): Promise<void> {
    let unknown = false
    for (let attempt = 0; ; attempt++) {
      try {
        const done = await state.commit(intentScope(intent), ops)
        // Ours from the try whose answer was lost, unless another has the entry by now.
        if (done.ok || (unknown && done.at === 0 && done.saw?.claim === undefined)) return
        throw new StateUnknown('the claim on this delivery was lost before its end was stored')
      } catch (e) {
        if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
        if (e instanceof StateUnknown) unknown = true
        if (lease.lost.aborted || attempt >= 5 || parts.stopping.aborted)
          throw new StateUnknown('the end of this delivery could not be stored', { cause: e })
        await env.clock.sleep(Math.ceil(env.random.float() * 50 * 2 ** attempt), lease.lost)
      }
    }
  }

  return {
    send,
    sendCertain({ provider, request }, told) {
      const response = deliver.deliverCertain(provider, request)
      return response instanceof Promise ? response.then((r) => answered(told, r)) : answered(told, response)
    },
    async recover(entry) {
      const intent = readIntent(entry.value)
      const now = env.clock.now()
      const known = deliver.has(intent.provider)
      // A node without this provider hands it back: held work does not disappear because configuration changed. What nobody was
      // promised waits for a node that knows it no longer than a hold does.
      if (!known && (intent.accepted || now - intent.receivedAt < parts.settings().holdMaxAgeMs)) {
        const { claim, key, value } = entry
        const dueAt = now + LEASE_MS
        await state.commit(key.scope, [
          {
            op: 'put',
            kind: key.kind,
            id: key.id,
            value,
            version: env.newId(),
            ifClaim: claim,
            tags: entry.tags,
            dueAt,
            attempts: entry.attempts - 1,
          },
        ])
        return
      }
      const window = known ? deliver.dedupWindowMs(intent.provider, intent.request) : 0
      const harmless = known && !deliver.hasEffect(intent.provider)
      if (intent.accepted || harmless || (window > 0 && now < intent.firstAttemptAt + window)) {
        // Where a claim before this one left no end, its node may have died in the middle of an attempt.
        const died = entry.attempts - 1 > (intent.claimsEnded ?? 0)
        await send(died ? { ...intent, unknown: true } : intent, entry.claim, entry.attempts)
        return
      }
      const outcome: Outcome = {
        ...common(intent),
        outcome: 'failed',
        provider: intent.provider,
        code: 'interrupted',
        message: 'the gateway stopped while this was being delivered; it may have arrived',
        retryable: true,
        unknown: true,
        attempts: 1,
      }
      const ended = endedOps(parts, intent, outcome, entry.claim, now, true)
      const done = await state.commit(entry.key.scope, ended.ops)
      if (done.ok) tellEnd(parts, ended.outcome, intent, now)
    },
  }
}

function outcomeOf(intent: Intent, end: Exclude<DeliveryEnd, { kind: 'lost' | 'handed_back' }>): Outcome {
  const base = {
    ...common(intent),
    ...(intent.answers.actionId !== intent.action.id && { first_action_id: intent.action.id }),
  }
  if (end.kind === 'executed') return executed(base, intent, end)
  if (end.kind === 'circuit_open')
    return {
      ...base,
      outcome: 'circuit_open',
      provider: end.provider,
      tried: end.tried,
      retry_after_ms: end.retryAfterMs,
      ...(end.unknown && { unknown: true }),
    }
  return {
    ...base,
    outcome: 'failed',
    provider: end.provider,
    code: end.code,
    message: end.message,
    retryable: end.retryable,
    unknown: end.unknown,
    timeout: end.timeout,
    attempts: end.attempts,
    ...(end.retryAfterMs !== undefined && { retry_after_ms: end.retryAfterMs }),
    ...(end.response && { response: end.response }),
  }
}

const answered = (told: Outcome, response: Receipt | undefined): Outcome =>
  response && (told.outcome === 'executed' || told.outcome === 'rerouted') ? { ...told, response } : told

type Executed = {
  readonly provider: string
  readonly attempts: number
  readonly guarantee: Guarantee
  readonly response: Extract<DeliveryEnd, { kind: 'executed' }>['response']
  readonly fallback: boolean
}
type Base = ReturnType<typeof common> & { readonly first_action_id?: string }

/** `rerouted` when a rule sent it elsewhere or a fallback answered; always so after a reroute rule, its own provider included. */
export function executed(
  base: Base,
  intent: Pick<Intent, 'rerouted' | 'provider' | 'fellBackFrom'> & { readonly requestedProvider?: string | undefined },
  end: Executed,
): Outcome {
  const { provider, attempts, guarantee, response } = end
  const answer = { provider, attempts, guarantee, response }
  const fellBack = end.fallback || intent.fellBackFrom !== undefined
  if (!fellBack && !intent.rerouted) return { ...base, outcome: 'executed', ...answer }
  const original = fellBack ? (intent.fellBackFrom ?? intent.provider) : intent.requestedProvider
  return {
    ...base,
    outcome: 'rerouted',
    ...(original !== undefined && { original_provider: original }),
    reason: fellBack ? 'circuit_open' : 'rule',
    ...answer,
  }
}
