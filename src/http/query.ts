import type { Scope } from '../core/action.ts'
import { type FieldError, Problem } from '../core/errors.ts'
import { isMoment } from '../core/moment.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Ctx } from './route.ts'

export type Query<N extends string> = { readonly [K in N]?: string }

const invalid = (errors: readonly FieldError[]): Problem =>
  new Problem(400, 'invalid_query', errors.length === 1 ? 'a query parameter is wrong' : 'query parameters are wrong', {
    errors,
  })
export const invalidParameter = (name: string, message: string): Problem => invalid([{ pointer: `?${name}`, message }])

const NOTHING = {}
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** The query parameters a route knows. Throws Problem 400 `invalid_query` naming every unknown, repeated or undecodable one. */
export function readQuery<const N extends string>(c: Ctx, known: readonly N[]): Query<N> {
  const { url } = c.req
  const start = url.indexOf('?')
  if (start === -1) return NOTHING
  const errors: FieldError[] = []
  const read: { [K in N]?: string } = {}
  for (const pair of url.slice(start + 1).split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    const value = decode(equals === -1 ? '' : pair.slice(equals + 1))
    const key = known.find((k) => k === name)
    const wrong = (message: string): void => void errors.push({ pointer: `?${name ?? ''}`, message })
    if (name === undefined) wrong('the name of a parameter is not percent-encoded UTF-8')
    else if (key === undefined) wrong(unknown(name, known, errors.length === 0))
    else if (value === undefined) wrong('is not percent-encoded UTF-8; a percent sign itself is %25')
    else if (CONTROL.test(value)) wrong('holds a control character')
    else if (read[key] !== undefined) wrong('stands there twice')
    else read[key] = value
  }
  if (errors.length > 0) throw invalid(errors)
  return read
}

/** Those there are, said once: an address has room for thousands of wrong ones. */
function unknown(name: string, known: readonly string[], first: boolean): string {
  if (known.length === 0) return 'unknown parameter; this route takes none'
  const expected = first ? `; expected one of ${known.join(', ')}` : ''
  return `unknown parameter${expected}${didYouMean(name, known)}`
}

function decode(text: string): string | undefined {
  if (!/[%+]/.test(text)) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (e) {
    if (e instanceof URIError) return undefined
    throw e
  }
}

export const SCOPE = ['namespace', 'tenant'] as const

/** The scope that is asked for. No action can name an empty one. */
export function scopeOf(q: Query<'namespace' | 'tenant'>): Scope {
  const { namespace = 'default', tenant = 'default' } = q
  if (namespace === '') throw invalidParameter('namespace', 'must not be empty')
  if (tenant === '') throw invalidParameter('tenant', 'must not be empty')
  return [namespace, tenant]
}

export function flag<N extends string>(q: Query<N>, name: N): boolean {
  const value = q[name]
  if (value === undefined || value === 'false') return false
  if (value === 'true') return true
  throw invalidParameter(name, 'expected true or false')
}

const LAST_MS = 8.64e15
/** 1973: what is less is a number of seconds, or a date without its dashes, that would ask for 1970. */
const FIRST_MS = 1e11

/** Milliseconds, from a date and time of RFC 3339 (with a space in place of its T, too) or from milliseconds. */
export function moment<N extends string>(q: Query<N>, name: N): number | undefined {
  const value = q[name]
  if (value === undefined) return undefined
  const digits = /^\d+$/.test(value)
  const text = value.replace(' ', 'T')
  const ms = digits ? Number(value) : isMoment(text) ? Date.parse(text) : Number.NaN
  if (ms <= LAST_MS && !(digits && ms > 0 && ms < FIRST_MS)) return ms
  throw invalidParameter(
    name,
    `expected milliseconds or an RFC 3339 date and time, such as 2026-01-05T12:00:00Z (a + in it is %2B)${howElse(value)}`,
  )
}

/** A day is not taken for a moment: it says neither in which zone it begins, nor whether a `to` means its begin or its end. */
function howElse(value: string): string {
  const ms = Number(value)
  if (/^\d{4}-\d{2}-\d{2}$/.test(value)) return `; of a day say when it begins: ${value}T00:00:00Z`
  if (/^\d{9,10}$/.test(value)) return `; seconds are ${ms * 1000}, or ${new Date(ms * 1000).toISOString()}`
  if (isMoment(`${value}Z`.replace(' ', 'T'))) return '; a zone is missing: Z or an offset'
  return ''
}

/** One of a closed list of words. */
export function word<N extends string, W extends string>(q: Query<N>, name: N, words: readonly W[]): W | undefined {
  const value = q[name]
  if (value === undefined) return undefined
  const found = words.find((w) => w === value)
  if (found === undefined)
    throw invalidParameter(name, `expected one of ${words.join(', ')}${didYouMean(value, words)}`)
  return found
}
