import { Problem } from '../core/errors.ts'
import { header } from './request.ts'
import type { Ctx } from './route.ts'

/** A strong entity tag (RFC 9110, §8.8.3) of a version. */
export const etag = (version: string): { etag: string } => ({ etag: `"${version}"` })

/**
 * The version an edit is for, from `If-Match`: one tag as it is, `*` and lists measured against what is there now. A weak tag
 * matches nothing (§13.1.1). Null where there must be none: `If-None-Match: *`. Throws Problem 400 `invalid_if_match`, 412 where
 * nothing can match.
 */
export async function ifMatch(
  c: Ctx,
  current: () => string | undefined | Promise<string | undefined>,
): Promise<{ readonly ifMatch?: string | null }> {
  const given = header(c, 'if-match')?.trim()
  const none = header(c, 'if-none-match')?.trim()
  if (none !== undefined && none !== '*')
    throw new Problem(400, 'invalid_if_match', 'the If-None-Match of an edit takes *: only where there is nothing yet')
  if (given === undefined) return none === undefined ? {} : { ifMatch: null }
  const tags = given.split(',').map((t) => t.trim())
  const versions = tags.flatMap((t) => /^"([^"]*)"$/.exec(t)?.[1] ?? [])
  if (given !== '*' && tags.some((t) => !/^(W\/)?"[^"]*"$/.test(t)))
    throw new Problem(400, 'invalid_if_match', 'If-Match takes the ETag as it was answered, in double quotes, or *')
  if (none !== undefined)
    throw new Problem(412, 'precondition_failed', 'If-Match and If-None-Match: * exclude each other')
  if (given !== '*' && tags.length === 1 && versions.length === 1) return { ifMatch: versions[0]! }
  const now = await current()
  if (now !== undefined && (given === '*' || versions.includes(now))) return { ifMatch: now }
  throw new Problem(412, 'precondition_failed', 'what If-Match asks for is not there; read it again')
}
