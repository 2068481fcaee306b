import { httpStatus, type Outcome } from '../core/outcome.ts'
import type { Redact } from '../core/redact.ts'
import type { Answered } from './answered.ts'
import { retryAfter } from './problem.ts'

type Headers = Record<string, string>

/** JSON in an answer that is nobody's to keep. `value` is an object or an array. */
export function json(status: number, value: object, headers: Headers = {}): Answered {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify(value),
  }
}
export const noContent = (): Answered => ({ status: 204, headers: {}, body: null })
/** Text in an answer that is nobody's to keep. */
export const plain = (text: string): Answered => ({
  status: 200,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
  body: text,
})

/** An outcome as a caller reads it: what the other side said is redacted, as in the audit and under a repeated key. */
export function shown(o: Outcome, redact: Redact): Outcome {
  if ((o.outcome === 'executed' || o.outcome === 'rerouted' || o.outcome === 'failed') && o.response)
    return { ...o, ...redact({ response: o.response }) }
  return o
}

/** What a dispatch is answered. `more` are fields beside the outcome's own. */
export function outcomeResponse(
  outcome: Outcome,
  how: {
    readonly redact: Redact
    readonly replayed?: boolean | undefined
    readonly async?: boolean
    readonly more?: object
  },
): Answered {
  const headers: Headers = { 'content-type': 'application/json', 'signalbox-outcome': outcome.outcome }
  if (how.replayed) headers['idempotent-replayed'] = 'true'
  if (how.async && outcome.outcome === 'accepted') headers['preference-applied'] = 'respond-async'
  if ('retry_after_ms' in outcome && outcome.retry_after_ms !== undefined)
    headers['retry-after'] = retryAfter(outcome.retry_after_ms)
  if (outcome.outcome === 'throttled' || outcome.outcome === 'quota_exceeded') rateLimit(outcome, headers)
  const told = shown(outcome, how.redact)
  return {
    status: httpStatus(outcome),
    headers,
    body: JSON.stringify(how.more ? { ...how.more, ...told } : told),
  }
}

/** `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10: the rule or quota that said no, and when it may say yes. */
function rateLimit(o: Extract<Outcome, { outcome: 'throttled' | 'quota_exceeded' }>, headers: Headers): void {
  const name = structured((o.outcome === 'throttled' ? o.rule : o.quota) ?? o.outcome)
  const window = o.outcome === 'throttled' ? `;w=${Math.ceil(o.window_seconds)}` : ''
  headers['ratelimit-policy'] = `${name};q=${o.limit}${window}`
  headers['ratelimit'] = `${name};r=0;t=${retryAfter(o.retry_after_ms)}`
}

/** A string of RFC 9651, which has no characters outside ASCII: those are percent-encoded, as are quotes. */
const structured = (name: string): string => `"${encodeURI(name.toWellFormed()).replaceAll('%20', ' ')}"`
