import type { Log } from '../core/env.ts'
import type { JsonObject } from '../core/json.ts'
import type { OutcomeTag } from '../core/outcome.ts'
import type { Redact } from '../core/redact.ts'
import type { BreakerChange } from '../delivery/breakers.ts'
import type { Observe } from '../dispatch/parts.ts'

/** Somebody should look. */
const BAD: ReadonlySet<string> = new Set<OutcomeTag>(['failed', 'circuit_open', 'loop_detected', 'hot'])

/** One line for each run that ended: who, what became of it and why, how long it took. No payload, no answer. */
export function logOutcomes(log: Log, next: Observe): Observe {
  return {
    overLimit: (rule, limit) => next.overLimit(rule, limit),
    outcome(o, about) {
      next.outcome(o, about)
      const { action, kind, provider } = about
      const bad = BAD.has(o.outcome)
      log[bad ? 'warn' : 'info'](
        {
          action_id: o.action_id,
          run_id: o.run_id,
          kind,
          namespace: action.namespace,
          tenant: action.tenant,
          action_type: action.action_type,
          outcome: o.outcome,
          rule: o.rule,
          provider,
          code: o.outcome === 'failed' ? o.code : undefined,
          cycle: o.outcome === 'loop_detected' ? o.cycle : undefined,
          dead_letter_id: 'dead_letter_id' in o ? o.dead_letter_id : undefined,
          duration_ms: about.completedAt - about.receivedAt,
        },
        'dispatched',
      )
    },
  }
}

/** A line where a breaker opens or closes, and why. A probe is no news: how it ends is. */
export const logBreakers =
  (log: Log, redact: Redact) =>
  ({ provider, from, to, by, why, code }: BreakerChange): void => {
    if (to === 'half_open') return
    const fields = redact({ provider, from, ...(by && { by }), ...(why && { why }), ...(code && { code }) })
    if (to === 'open') log.warn(fields as JsonObject, 'the circuit breaker is open')
    else log.info(fields as JsonObject, 'the circuit breaker is closed')
  }
