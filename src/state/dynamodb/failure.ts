/** What became of a request that was not answered as asked. */
export type Fate =
  /** The store said no to the condition; nothing was done. */
  | 'condition'
  /** Others have the item in hand; nothing was done, and soon it may be. */
  | 'conflict'
  /** Too much for the table; nothing was done, and later it may be. */
  | 'throttled'
  /** It never got there. */
  | 'unreachable'
  /** It may have been done: no answer, or one that does not say. */
  | 'ambiguous'
  /** It cannot be done as it stands: a missing table, no permission, a wrong key, a limit. */
  | 'refused'

const THROTTLED = new Set([
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'RequestLimitExceeded',
  'LimitExceededException',
  'TooManyRequestsException',
])
const CONFLICT = new Set([
  'TransactionConflictException',
  'TransactionInProgressException',
  'ReplicatedWriteConflictException',
])
/** Errors of a socket that never carried the request. */
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])
/** The SDK's word for a connection that was not made in time. */
const NOT_CONNECTED = /did not establish a connection/

interface Reason {
  readonly Code?: string | undefined
}
interface SdkError extends Error {
  readonly code?: string
  readonly $fault?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly CancellationReasons?: readonly Reason[] | undefined
}
export const isError = (e: unknown): e is SdkError => e instanceof Error
export const reasonsOf = (e: unknown): readonly Reason[] => (isError(e) ? (e.CancellationReasons ?? []) : [])

export function fateOf(e: unknown): Fate {
  if (!isError(e)) return 'ambiguous'
  if (e.name === 'ConditionalCheckFailedException') return 'condition'
  // No connection in time, or none free: nothing was sent.
  if (THROTTLED.has(e.name) || NOT_CONNECTED.test(e.message)) return 'throttled'
  if (CONFLICT.has(e.name)) return 'conflict'
  if (e.name === 'TransactionCanceledException') return cancelled(reasonsOf(e))
  if (UNREACHABLE.has(causeCode(e)) || e.name === 'CredentialsProviderError') return 'unreachable'
  const status = e.$metadata?.httpStatusCode
  return e.$fault === 'client' && status !== undefined && status < 500 ? 'refused' : 'ambiguous'
}

function cancelled(reasons: readonly Reason[]): Fate {
  const codes = new Set(reasons.map((r) => r.Code))
  if (codes.has('ConditionalCheckFailed')) return 'condition'
  if (codes.has('TransactionConflict')) return 'conflict'
  if (codes.has('ThrottlingError') || codes.has('ProvisionedThroughputExceeded')) return 'throttled'
  return 'refused'
}

/** The code of the socket's own error, which Node may wrap for each address it has tried. */
function causeCode(e: SdkError): string {
  if (e.code !== undefined) return e.code
  const inner = e instanceof AggregateError ? (e.errors[0] as unknown) : e.cause
  return isError(inner) ? (inner.code ?? '') : ''
}

/** In one line, for who runs this. */
export function sayError(e: unknown): string {
  if (!isError(e)) return String(e)
  const text = (e.message || causeCode(e)).replace(/\s+/g, ' ').trim()
  const plain = e.name === 'Error' || e.name === 'AggregateError' || e.name === 'AbortError'
  return plain ? text : `${e.name}: ${text}`
}
