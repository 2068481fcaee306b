import { Problem } from '../core/errors.ts'
import type { Ctx } from './route.ts'

/** A header of the request, by its name in lower case; straight from the socket's request where there is one. */
export function header(c: Ctx, name: string): string | undefined {
  const { incoming } = c.env ?? {}
  if (!incoming) return c.req.raw?.headers.get(name) ?? undefined
  const value = incoming.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** Who is asking, as the audit names it. */
export const callerOf = (_c: Ctx): string => 'anonymous'

/** A part of a path that is `.` or `..`, and what begins a fragment; before the query. */
const AMBIGUOUS = /^[^?]*(?:#|\/(?:\.|%2e){1,2}(?:[/?]|$))/i

/**
 * A proxy that lets requests through by their path may not resolve these, as the reading of an address does: it would let
 * `/v1/dispatch/../rules/reload` through for a dispatch. Throws Problem 400 `invalid_path`.
 */
export function checkTarget(c: Ctx): void {
  if (AMBIGUOUS.test(c.env?.incoming?.url ?? ''))
    throw new Problem(400, 'invalid_path', 'the path has a part that is "." or "..", or a fragment; write it without')
}

/** A part of the path, percent-decoded. Throws Problem 400 `invalid_path` where the encoding is broken. */
export function param(c: Ctx, name: string): string {
  const path = new URL(c.req.url).pathname
  try {
    decodeURIComponent(path)
  } catch (e) {
    if (!(e instanceof URIError)) throw e
    throw new Problem(400, 'invalid_path', 'the path is not percent-encoded UTF-8; a percent sign itself is %25')
  }
  const value = c.req.param(name)
  if (value === undefined) throw new Error(`the route has no {${name}}`)
  return value
}

/** `Prefer: respond-async` (RFC 7240), beside other preferences or alone. */
export function prefersAsync(c: Ctx): boolean {
  const prefer = header(c, 'prefer')
  return prefer?.split(',').some((p) => p.split(/[;=]/, 1)[0]!.trim().toLowerCase() === 'respond-async') ?? false
}

const KEY_MAX = 255

/** Throws Problem 400 `invalid_idempotency_key`. */
export function idempotencyKey(c: Ctx): string | undefined {
  const key = header(c, 'idempotency-key')
  if (key === undefined) return undefined
  if (key.length >= 1 && key.length <= KEY_MAX) return key
  throw new Problem(400, 'invalid_idempotency_key', `an Idempotency-Key has 1 to ${KEY_MAX} characters`)
}
