import type { JsonObject } from './json.ts'

/** One field at fault: an RFC 6901 pointer into the request body, or `?name` for a query parameter. */
export interface FieldError {
  readonly pointer: string
  readonly message: string
}

/**
 * A refused request (RFC 9457). `code` is stable and documented; `detail` is for people and never carries an internal
 * message. Thrown at the edges only: what becomes of an accepted action is an Outcome, not an error.
 */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly status: number
  readonly code: string
  readonly errors: readonly FieldError[]
  readonly retryAfterMs: number | undefined
  readonly extra: JsonObject
  constructor(
    status: number,
    code: string,
    detail: string,
    more: { errors?: readonly FieldError[]; retryAfterMs?: number; extra?: JsonObject; cause?: unknown } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause })
    this.status = status
    this.code = code
    this.errors = more.errors ?? []
    this.retryAfterMs = more.retryAfterMs
    this.extra = more.extra ?? {}
  }
}
/** `hint`: made by `didYouMean`. */
export const notFound = (what: string, hint = ''): Problem =>
  new Problem(404, 'not_found', `there is no ${what} here${hint}`)

/** The store said no before doing anything: repeating is safe. */
export class StateUnavailable extends Error {
  override readonly name: string = 'StateUnavailable'
}
/** The same of what the store never takes: an entry, or a commit, that is too large for it. Repeating it does not help. */
export class StateTooLarge extends StateUnavailable {
  override readonly name = 'StateTooLarge'
}
/** The store did not answer: it may be done. Only a read can tell. */
export class StateUnknown extends Error {
  override readonly name = 'StateUnknown'
}

/**
 * The one error a provider throws. `retryable`: worth another attempt and counted by the breaker. `unknown`: the other
 * side may have acted (timeout, reset, 500, 502, 504), so a new run must not start beside it.
 */
export class ProviderError extends Error {
  override readonly name = 'ProviderError'
  readonly code: string
  readonly retryable: boolean
  readonly unknown: boolean
  readonly timeout: boolean
  readonly retryAfterMs: number | undefined
  /** What the other side said, if it said something: shown to the caller after redaction. */
  readonly response: { readonly status: number; readonly body: unknown } | undefined
  /** A fault of the payload: where. */
  readonly pointer: string | undefined
  constructor(
    code: string,
    message: string,
    more: {
      retryable?: boolean
      unknown?: boolean
      timeout?: boolean
      retryAfterMs?: number | undefined
      response?: { status: number; body: unknown } | undefined
      pointer?: string | undefined
      cause?: unknown
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = code
    this.retryable = more.retryable ?? false
    this.unknown = more.unknown ?? false
    this.timeout = more.timeout ?? false
    this.retryAfterMs = more.retryAfterMs
    this.response = more.response
    this.pointer = more.pointer
  }
}

/** A place in a file an operator wrote. Lines and columns count from 1; line 0: `file` names a flag or a variable instead. */
export interface Position {
  readonly file: string
  readonly line: number
  readonly column: number
}
/** What is wrong with a file an operator wrote, and where. `message` says what was expected and the nearest valid word. */
export interface Finding extends Position {
  readonly severity: 'error' | 'warning'
  readonly message: string
}
export const showFinding = (f: Finding): string =>
  `${f.line === 0 ? f.file : `${f.file}:${f.line}:${f.column}`}: ${f.severity}: ${f.message}`
