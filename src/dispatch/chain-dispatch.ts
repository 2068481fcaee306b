import type { Dispatcher } from '../chains/model/step-kind.ts'
import type { Clock } from '../core/clock.ts'
import { Problem, StateUnavailable, StateUnknown } from '../core/errors.ts'
import { sha256 } from '../core/ids.ts'
import type { Json } from '../core/json.ts'
import { nextHop } from '../core/lineage.ts'
import { httpStatus, type Outcome, type OutcomeTag } from '../core/outcome.ts'
import type { Gateway } from './gateway.ts'
import { idempotencyId } from './idempotency.ts'

/** What a step's action is called by, in the audit and as the owner of its key. */
const callerOf = (chain: string): string => `chain:${chain}`

/** What an end means to the step: `refused`, it was not done, or will not be; `later`: another time it may be. */
const MEANS: { readonly [T in OutcomeTag]: 'done' | 'refused' | 'later' } = {
  executed: 'done',
  rerouted: 'done',
  suppressed: 'done',
  deduplicated: 'done',
  grouped: 'done',
  scheduled: 'done',
  chain_started: 'done',
  accepted: 'done',
  denied: 'refused',
  hot: 'refused',
  loop_detected: 'refused',
  failed: 'refused',
  dry_run: 'refused',
  throttled: 'later',
  quota_exceeded: 'later',
  circuit_open: 'later',
}
/** Before the store is asked again whether it has taken the action. */
const STORE_AGAIN_MS = 1000

/** The door by which chains give actions to the rules: a dispatch like a caller's, under a key of its own and with its lineage. */
export function chainDispatcher(gateway: Pick<Gateway, 'dispatch'>, clock: Clock): Dispatcher {
  return {
    async dispatch(action, { token, lineage, chain, deadline }) {
      const caller = callerOf(chain)
      try {
        const { outcome } = await gateway.dispatch(action, {
          caller,
          idempotency: { id: idempotencyId(caller, token), hash: sha256(JSON.stringify(action)) },
          ...(lineage && { lineage: nextHop(lineage) }),
          deadline,
        })
        return answered(outcome)
      } catch (e) {
        if (e instanceof StateUnavailable || e instanceof StateUnknown)
          return { askAt: clock.now() + STORE_AGAIN_MS, unknown: e instanceof StateUnknown }
        if (!(e instanceof Problem)) throw e
        // Under way since before a crash, or too much going on: what comes of it is told under the same key.
        if (e.status === 409 || e.status === 503)
          return { askAt: clock.now() + (e.retryAfterMs ?? STORE_AGAIN_MS), unknown: e.status === 409 }
        const error = { code: e.code, message: e.message }
        const result = { success: false, fallback: false, status: e.status, body: null, error }
        return { result, retryable: false, unknown: false }
      }
    },
  }
}

function answered(outcome: Outcome): Exclude<Awaited<ReturnType<Dispatcher['dispatch']>>, { askAt: number }> {
  const tag = outcome.outcome
  const body = JSON.parse(JSON.stringify(outcome)) as Json
  const status = httpStatus(outcome)
  if (MEANS[tag] === 'done')
    return { result: { success: true, fallback: false, status, body }, retryable: false, unknown: false }
  const code = outcome.outcome === 'failed' ? outcome.code : tag
  const message = outcome.outcome === 'failed' ? outcome.message : `the action ended ${tag}`
  const retryAfterMs = 'retry_after_ms' in outcome ? outcome.retry_after_ms : undefined
  return {
    result: { success: false, fallback: false, status, body, error: { code, message } },
    // A limit says when it may be worth another try: no back-off is shorter than that.
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    retryable: MEANS[tag] === 'later' || (outcome.outcome === 'failed' && outcome.retryable),
    unknown: 'unknown' in outcome && outcome.unknown === true,
  }
}
