import type { Chains } from '../chains/chains.ts'
import type { Scope } from '../core/action.ts'
import { notFound, Problem, ProviderError } from '../core/errors.ts'
import { kinds } from '../core/hold.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Op } from '../core/state.ts'
import {
  type DeadLetter,
  deleteDeadLetter,
  getDeadLetter,
  letterScope,
  listDeadLetters,
  redriven,
} from '../delivery/dead-letters.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import { claimOf } from './admission.ts'
import { pendingDedup, pendingExpiry, readDedup, takeDedup } from './dedup.ts'
import { beingRedriven, holdAgain } from './hold-again.ts'
import { IDEMPOTENCY_TTL_MS, readIdempotency, takeIdempotency } from './idempotency.ts'
import { type Intent, putIntent } from './intent.ts'
import type { Parts } from './parts.ts'
import { recordOps } from './record.ts'
import type { Send } from './send.ts'
import { intentOfLetter } from './settle.ts'
import { startAgain } from './start-again.ts'

/**
 * Sending dead letters again, each under a fresh nonce and so a token no receiver has seen; what was not on its way to a provider is held
 * work again.
 */
export interface Redrive {
  /** Throws Problem 404; 409 `superseded` when its dedup key or Idempotency-Key has been admitted under since (unless `force`), `chain_disabled` or `chain_unknown` where it still cannot be started, `being_redriven` on a race. */
  one(scope: Scope, id: string, by: RedriveBy): Promise<Redriven>
  /**
   * By filter, newest first; letters whose caller was told are left out unless asked for. Ends early, with `next`, where the process
   * begins to stop. Throws Problem 503 `not_ready` where it did so before.
   */
  many(
    scope: Scope,
    filter: RedriveFilter,
    by: RedriveBy,
  ): Promise<{
    readonly redriven: readonly Redriven[]
    readonly skipped: readonly { readonly id: string; readonly code: string }[]
    readonly next?: string
  }>
  /** Deletes one, audited. Throws Problem 404. */
  remove(scope: Scope, id: string, by: string): Promise<void>
}
export interface RedriveBy {
  readonly caller: string
  readonly force?: boolean
}
export interface RedriveFilter {
  readonly provider?: string
  readonly code?: string
  readonly includeTold?: boolean
  readonly limit: number
  readonly after?: string
}
export type Redriven =
  | { readonly id: string; readonly outcome: Outcome }
  | { readonly id: string; readonly resumed: { readonly chain_id: string; readonly step: string } }

export function createRedrive(
  parts: Parts,
  chains: Pick<Chains, 'resumeFromDeadLetter' | 'startOps' | 'disabled' | 'begin'>,
  sender: Send,
): Redrive {
  const { env, state } = parts

  async function one(scope: Scope, id: string, by: RedriveBy): Promise<Redriven> {
    const letter = await getDeadLetter(state, scope, id)
    if (!letter) throw notFound('dead letter')
    const { origin } = letter
    if (origin.kind === 'chain_step') {
      const { chain_id: chainId, step, iteration, undo = false } = origin
      if (chainId === undefined || step === undefined || iteration === undefined)
        throw new Error(`dead letter ${id} names no chain step`)
      await chains.resumeFromDeadLetter({ scope, chainId, step, iteration, undo }, deleteDeadLetter(letter))
      return { id, resumed: { chain_id: chainId, step } }
    }
    if (letter.starts) return { id, outcome: await startAgain(parts, chains, letter, letter.starts, by.caller) }
    const { resumes } = letter
    if (resumes) return { id, outcome: await holdAgain(parts, letter, resumes, by.caller) }
    return { id, outcome: await deliverAgain(letter, by) }
  }

  async function deliverAgain(letter: DeadLetter, by: RedriveBy): Promise<Outcome> {
    const now = env.clock.now()
    // The token is part of the request (a header, a deduplication id), so it is rendered anew.
    const again = renderAgain(parts, letter, env.newId())
    const before = intentOfLetter(letter)
    const { id, created_at, code, message } = letter
    const keysVersion = env.newId()
    const intent: Intent = {
      ...before,
      auditId: env.newId(),
      kind: 'redrive',
      answers: { actionId: letter.action.id, runId: letter.run_id },
      provider: letter.provider,
      token: again.token,
      request: again.request,
      firstAttemptAt: now,
      unknownElsewhere: before.unknownElsewhere || letter.unknown,
      accepted: true,
      putBack: false,
      redriven: {
        toldCaller: letter.told_caller,
        times: letter.redrives + 1,
        first: letter.first ?? { id, created_at, code, message },
      },
      firstDueAt: now,
      receivedAt: now,
      caller: by.caller,
      keysVersion,
    }
    const until = now + LEASE_MS
    const ops: Op[] = [
      putIntent(intent, env.newId(), { owner: parts.node, until }),
      ...deleteDeadLetter(letter),
      ...(await reclaim(parts, letter, intent, by.force === true, now)),
    ]
    const done = await state.commit(letterScope(letter), ops)
    if (!done.ok) throw beingRedriven()
    const claim = claimOf({ at: 0 }, { owner: parts.node, until }, done)
    const outcome = await sender.send(intent, claim, 1)
    return outcome ?? { action_id: letter.action.id, run_id: letter.run_id, outcome: 'accepted' }
  }

  return {
    one,
    async many(scope, filter, by) {
      if (parts.stopping.aborted) throw new Problem(503, 'not_ready', 'this gateway is stopping')
      const { letters, next } = await listDeadLetters(state, scope, {
        limit: filter.limit,
        ...(filter.after !== undefined && { after: filter.after }),
        ...(filter.provider !== undefined && { provider: filter.provider }),
        ...(filter.code !== undefined && { code: filter.code }),
      })
      const redrivenNow: Redriven[] = []
      const skipped: { id: string; code: string }[] = []
      let last: string | undefined
      for (const letter of letters) {
        if (last !== undefined && parts.stopping.aborted) return { redriven: redrivenNow, skipped, next: last }
        last = letter.id
        if (letter.told_caller && !filter.includeTold) {
          skipped.push({ id: letter.id, code: 'told_caller' })
          continue
        }
        try {
          redrivenNow.push(await one(scope, letter.id, by))
        } catch (e) {
          if (!(e instanceof Problem)) throw e
          skipped.push({ id: letter.id, code: e.code })
        }
      }
      return { redriven: redrivenNow, skipped, ...(next !== undefined && { next }) }
    },
    async remove(scope, id, by) {
      const letter = await getDeadLetter(state, scope, id)
      if (!letter) throw notFound('dead letter')
      const now = env.clock.now()
      const done = await state.commit(scope, [
        ...deleteDeadLetter(letter),
        ...recordOps(parts.audit(), {
          id: env.newId(),
          kind: 'hold',
          action: letter.action,
          runId: letter.run_id,
          outcome: 'discarded',
          receivedAt: now,
          completedAt: now,
          caller: by,
          provider: letter.provider,
          details: { dead_letter_id: id, code: letter.code },
        }),
      ])
      if (!done.ok) throw notFound('dead letter')
    },
  }
}

function renderAgain(parts: Parts, letter: DeadLetter, nonce: string): DeadLetter {
  try {
    return redriven(letter, nonce, (...what) => parts.deliver.render(...what))
  } catch (e) {
    if (!(e instanceof ProviderError)) throw e
    throw new Problem(409, e.code, `it cannot be sent as it is: ${e.message}`)
  }
}

/**
 * Takes the letter's keys again: a key that was admitted under since means that a redrive would be a second delivery. Another run's term
 * began later than the letter's and may outlast it, so a key whose own term is over is looked at too, and must stay free; it is not
 * taken again.
 */
async function reclaim(
  parts: Parts,
  letter: DeadLetter,
  intent: Intent,
  force: boolean,
  now: number,
): Promise<readonly Op[]> {
  const { dedup, idempotency: named } = intent
  if (dedup.length + named.length === 0) return []
  const isNamed = Date.parse(letter.created_at) + IDEMPOTENCY_TTL_MS > now
  const scope = letterScope(letter)
  const entries = await parts.state.get([
    ...dedup.map((k) => ({ kind: kinds.dedup, scope, id: k.id })),
    ...named.map((k) => ({ kind: kinds.idempotency, scope, id: k.id })),
  ])
  const { keysVersion } = intent
  const { run_id: runId } = letter
  const ops: Op[] = []
  dedup.forEach((key, i) => {
    const entry = entries[i]
    const seen = entry && readDedup(entry)
    if (seen && seen.runId !== runId && !force) throw superseded('dedup key', seen.runId, seen.actionId)
    if (key.until > now) {
      const expiry = pendingExpiry(parts, key.until, now)
      ops.push(takeDedup(key.id, pendingDedup(intent, key), keysVersion, expiry, entry?.version ?? null))
    } else if (!entry) ops.push(stayFree(kinds.dedup, key.id))
  })
  named.forEach((key, i) => {
    const entry = entries[dedup.length + i]
    const seen = entry && readIdempotency(entry)
    // Another run's answer stays: it is what that request was told.
    if (seen && seen.runId !== runId && force) return
    if (seen && seen.runId !== runId) throw superseded('Idempotency-Key', seen.runId)
    if (isNamed) ops.push(takeIdempotency(key, { runId, state: 'pending' }, keysVersion, now, entry?.version ?? null))
    else if (!entry) ops.push(stayFree(kinds.idempotency, key.id))
  })
  return ops
}

/** Deletes nothing where there is nothing, and refuses where there is something by now. */
const stayFree = (kind: string, id: string): Op => ({ op: 'delete', kind, id, ifVersion: null })

const superseded = (what: string, runId: string, actionId?: string): Problem =>
  new Problem(
    409,
    'superseded',
    `another action with the same ${what} has been admitted since; use force=true to send this one all the same`,
    { extra: { run_id: runId, ...(actionId !== undefined && { first_action_id: actionId }) } },
  )
