import { ProviderError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import { RETRY_AFTER_MAX_MS } from '../../core/provider.ts'

interface Meaning {
  /** Worth another attempt, and counted by the breaker. */
  readonly retryable: boolean
  /** The other side may have acted. */
  readonly unknown: boolean
  readonly meaning: string
}
const DEFINITE = { retryable: true, unknown: false }
const UNKNOWN = { retryable: true, unknown: true }
const FINAL = { retryable: false, unknown: false }

/** Every `code` a provider's error can carry, and what follows from it. Closed: the documentation is made from it. */
export const providerErrorCodes = {
  invalid_payload: { ...FINAL, meaning: 'a payload key is missing or of the wrong type; the pointer names it' },
  unknown_operation: { ...FINAL, meaning: 'the provider has no such verb as this action_type' },
  connection_refused: { ...DEFINITE, meaning: 'nothing listens at the address' },
  connection_failed: {
    ...DEFINITE,
    meaning: 'the name does not resolve, there is no route, or no connection can be opened here',
  },
  connect_timeout: { ...DEFINITE, meaning: 'no connection in time; nothing was sent' },
  tls_failed: { ...DEFINITE, meaning: 'the TLS handshake or the certificate failed; nothing was sent' },
  address_refused: { ...FINAL, meaning: 'the target resolves to an address this provider never connects to' },
  connection_reset: { ...UNKNOWN, meaning: 'the connection broke after it was made' },
  timeout: { ...UNKNOWN, meaning: 'no answer within timeout_seconds' },
  aborted: { ...UNKNOWN, meaning: 'the attempt was called off by the gateway' },
  bad_response: { ...UNKNOWN, meaning: 'the answer was not in the language of the protocol' },
  rate_limited: { ...DEFINITE, meaning: '429, or the throttling error of an AWS service' },
  unavailable: {
    ...DEFINITE,
    meaning: '408, 425, 503, a 5xx other than 500, 502, 504, what AWS calls temporary, or a temporary SMTP refusal',
  },
  server_error: { ...UNKNOWN, meaning: '500, 502 or 504' },
  rejected: { ...FINAL, meaning: 'any other 3xx (redirects are not followed) or 4xx, or a permanent SMTP refusal' },
  access_denied: { ...FINAL, meaning: '401 or 403, or a login that was refused' },
  not_found: { ...FINAL, meaning: '404: the topic, queue, function, bus, bucket or path is not there' },
  credentials_unavailable: { ...DEFINITE, meaning: 'no AWS credentials could be had; nothing was sent' },
  function_error: { ...FINAL, meaning: 'the Lambda function ran and failed; the response carries its error' },
  response_too_large: { ...FINAL, meaning: 'the object is larger than 1 MiB' },
  internal_error: { retryable: false, unknown: true, meaning: 'an unforeseen fault of the provider itself' },
} as const satisfies { readonly [code: string]: Meaning }
export type ProviderErrorCode = keyof typeof providerErrorCodes

interface More {
  readonly retryAfterMs?: number | undefined
  readonly response?: { readonly status: number; readonly body: Json } | undefined
  readonly pointer?: string
  readonly cause?: unknown
}

/** The flags come from the table, so that a code always means the same. */
export function failure(code: ProviderErrorCode, message: string, more: More = {}): ProviderError {
  const { retryable, unknown } = providerErrorCodes[code]
  return new ProviderError(code, message, {
    ...more,
    retryable,
    unknown,
    timeout: code === 'timeout' || code === 'connect_timeout',
  })
}

export const invalidPayload = (pointer: string, expected: string): ProviderError =>
  failure('invalid_payload', `${pointer}: ${expected}`, { pointer })

/** The code of an HTTP status that is not 2xx. */
export function codeOfStatus(status: number): ProviderErrorCode {
  if (status === 429) return 'rate_limited'
  if (status === 500 || status === 502 || status === 504) return 'server_error'
  if (status === 408 || status === 425 || status >= 500) return 'unavailable'
  if (status === 401 || status === 403) return 'access_denied'
  return status === 404 ? 'not_found' : 'rejected'
}

/** Names under which Node, undici and nodemailer report the network's ends. */
const CODES: { readonly [code: string]: ProviderErrorCode } = {
  ECONNREFUSED: 'connection_refused',
  ENOTFOUND: 'connection_failed',
  EHOSTUNREACH: 'connection_failed',
  ENETUNREACH: 'connection_failed',
  EHOSTDOWN: 'connection_failed',
  ENETDOWN: 'connection_failed',
  EADDRNOTAVAIL: 'connection_failed',
  // No descriptor left in this process or machine; a firewall of its own.
  EMFILE: 'connection_failed',
  ENFILE: 'connection_failed',
  EACCES: 'connection_failed',
  EPERM: 'connection_failed',
  UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
  ECONNRESET: 'connection_reset',
  EPIPE: 'connection_reset',
  ECONNABORTED: 'connection_reset',
  UND_ERR_SOCKET: 'connection_reset',
  UND_ERR_CLOSED: 'aborted',
  UND_ERR_DESTROYED: 'aborted',
  ETIMEDOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_OVERFLOW: 'bad_response',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'bad_response',
  EPROTO: 'tls_failed',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls_failed',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls_failed',
  INVALID_CA: 'tls_failed',
  INVALID_PURPOSE: 'tls_failed',
  PATH_LENGTH_EXCEEDED: 'tls_failed',
  HOSTNAME_MISMATCH: 'tls_failed',
}
/** Families of names too long to list: certificate, OpenSSL and resolver errors, and what the HTTP parser says (undici's often without a code). */
const FAMILIES: readonly (readonly [RegExp, ProviderErrorCode])[] = [
  [/^(CERT_|CRL_|UNABLE_TO_|ERROR_IN_|ERR_TLS_|ERR_SSL_)/, 'tls_failed'],
  [/^EAI_/, 'connection_failed'],
  [/^(HPE_|HTTPParserError$)/, 'bad_response'],
]

type Named = { readonly [key in 'originalCode' | 'code' | 'name' | 'cause']?: unknown }
/** The code of an error by its typed name, its causes included; undefined when no name is known. */
export function codeOfError(e: unknown): ProviderErrorCode | undefined {
  for (let at = e, depth = 0; typeof at === 'object' && at !== null && depth < 5; depth++) {
    const { originalCode, code, name: type, cause } = at as Named
    for (const name of [originalCode, code, type]) {
      if (typeof name !== 'string') continue
      if (Object.hasOwn(CODES, name)) return CODES[name]
      const family = FAMILIES.find(([pattern]) => pattern.test(name))
      if (family) return family[1]
    }
    at = cause
  }
  return undefined
}

/** What ended an attempt below the protocol. The signal speaks first: an abort surfaces under many names. */
export function networkError(e: unknown, signal: AbortSignal): ProviderError {
  const own = ownError(e)
  if (own) return own
  if (signal.aborted) return abortError(signal)
  const code = codeOfError(e) ?? 'internal_error'
  return failure(code, providerErrorCodes[code].meaning, { cause: e })
}

export function abortError(signal: AbortSignal, nothingSent = false): ProviderError {
  const reason: unknown = signal.reason
  const inTime = !(reason instanceof Error && reason.name === 'TimeoutError')
  const code = inTime ? 'aborted' : nothingSent ? 'connect_timeout' : 'timeout'
  return failure(code, providerErrorCodes[code].meaning, { cause: reason })
}

/** One of ours that a library handed back, perhaps wrapped. */
function ownError(e: unknown): ProviderError | undefined {
  for (let at = e, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if (at instanceof ProviderError) return at
  return undefined
}

/**
 * Settles as `work` does, or fails as soon as the signal aborts, whatever `work` is waiting for. `nothingSent`: the work
 * comes before the request's first byte, so its timeout is a definite failure.
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal, nothingSent = false): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined) // its end no longer matters to anybody
    throw abortError(signal, nothingSent)
  }
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(abortError(signal, nothingSent))
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** A Retry-After header (seconds, or an HTTP date) as milliseconds from `now`, so many at most; undefined when it says nothing. */
export function retryAfterMs(header: string | readonly string[] | undefined, now: number): number | undefined {
  const text = (typeof header === 'string' ? header : header?.[0])?.trim()
  if (text === undefined || text === '') return undefined
  const ms = /^-?\d+(\.\d+)?$/.test(text) ? Math.ceil(Number(text) * 1000) : Date.parse(text) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS)
}
