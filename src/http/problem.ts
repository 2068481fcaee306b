import type { Log } from '../core/env.ts'
import { Problem, StateTooLarge, StateUnavailable, StateUnknown } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import type { Answered } from './answered.ts'

/** When a store that is away may be asked again. */
const STORE_RETRY_MS = 1000

/**
 * What a caller is told of anything thrown. An error nobody foresaw is logged under an id, and the id is all that is told of
 * it: no internal message leaves the process.
 */
export function problemOf(error: unknown, tools: { readonly log: Log; readonly newId: () => string }): Problem {
  if (error instanceof Problem) return error
  const again = { retryAfterMs: STORE_RETRY_MS, cause: error }
  if (error instanceof StateTooLarge)
    return new Problem(413, 'too_large_to_store', 'this is more than the state store keeps; nothing was done', {
      cause: error,
    })
  if (error instanceof StateUnavailable)
    return new Problem(503, 'state_unavailable', 'the state store is not available; nothing was done', again)
  if (error instanceof StateUnknown)
    return new Problem(
      503,
      'state_unknown',
      'the state store did not answer; it may be done. Repeating with the same Idempotency-Key is safe',
      again,
    )
  const errorId = tools.newId()
  tools.log.error({ error_id: errorId, err: error }, 'a request failed for a reason that is not foreseen')
  return new Problem(500, 'internal', 'an error of the gateway; its log has it under this id', {
    extra: { error_id: errorId },
    cause: error,
  })
}

/** RFC 9457, §3. `code` is the stable part of `type`; `title` is the code in words. */
export function problemBody(p: Problem): JsonObject {
  const words = p.code.replaceAll('_', ' ')
  return {
    ...p.extra,
    type: `urn:signalbox:problem:${p.code}`,
    title: words.charAt(0).toUpperCase() + words.slice(1),
    status: p.status,
    code: p.code,
    detail: p.message,
    ...(p.errors.length > 0 && { errors: p.errors.map(({ pointer, message }) => ({ pointer, message })) }),
    ...(p.retryAfterMs !== undefined && { retry_after_ms: p.retryAfterMs }),
  }
}

/** Whole seconds, rounded up: who waits that long is not refused for coming early. */
export const retryAfter = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1000)))

export const PROBLEM_TYPE = 'application/problem+json'

export function problemResponse(p: Problem, headers: { readonly [name: string]: string } = {}): Answered {
  return {
    status: p.status,
    headers: {
      'content-type': PROBLEM_TYPE,
      'cache-control': 'no-store',
      ...(p.retryAfterMs !== undefined && { 'retry-after': retryAfter(p.retryAfterMs) }),
      ...headers,
    },
    body: JSON.stringify(problemBody(p)),
  }
}
