import type { ProviderError } from '../../core/errors.ts'
import {
  codeOfError,
  codeOfStatus,
  failure,
  networkError,
  type ProviderErrorCode,
  providerErrorCodes,
  retryAfterMs,
} from '../wire/errors.ts'

/**
 * Typed names of throttling, which several services answer with status 400. From the SDK's own list
 * (@smithy/core, service-error-classification) and the services' references.
 */
const THROTTLING = new Set([
  'BandwidthLimitExceeded',
  'EC2ThrottledException',
  'KMSThrottling',
  'KMSThrottlingException',
  'KmsThrottled',
  'LimitExceededException',
  'OverLimit',
  'PriorRequestNotComplete',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'Throttled',
  'ThrottledException',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
  'TransactionInProgressException',
])
/**
 * Temporary by name, whatever the status: also a clock that is off, which the SDK corrects from the answer's own date, a function
 * that is being made or changed and does not run meanwhile (409, 502), and S3's "another operation is in progress" (409).
 */
const TEMPORARY = new Set([
  'OperationAborted',
  'RequestTimeout',
  'RequestTimeoutException',
  'RequestTimeTooSkewed',
  'RequestExpired',
  'RequestInTheFuture',
  'ResourceConflictException',
  'ResourceNotReadyException',
  'ServiceUnavailable',
  'ServiceUnavailableException',
  'SnapStartNotReadyException',
])
const DENIED = new Set([
  'AccessDenied',
  'AccessDeniedException',
  'AuthorizationError',
  'AuthorizationErrorException',
  'InvalidClientTokenId',
  'UnrecognizedClientException',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'InvalidSignatureException',
])
const ABSENT = new Set([
  'NotFound',
  'NotFoundException',
  'NoSuchBucket',
  'NoSuchKey',
  'QueueDoesNotExist',
  'AWS.SimpleQueueService.NonExistentQueue',
  'ResourceNotFoundException',
])
const EXPIRED = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired'])

/** The fields the SDK puts on what it throws. */
interface SdkError {
  readonly name?: string
  readonly message?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly $retryable?: { readonly throttling?: boolean }
  readonly $response?: { readonly headers?: { readonly [name: string]: string } }
}
const shape = (e: unknown): SdkError => (typeof e === 'object' && e !== null ? e : {})

/** The session's credentials have run out: fresh ones, and one more attempt. */
export const isExpiredToken = (e: unknown): boolean => EXPIRED.has(shape(e).name ?? '')

/** By typed name, then `$retryable`, then status; never by text. */
export function codeOfName(name: string | undefined, status?: number): ProviderErrorCode | undefined {
  if (name !== undefined) {
    if (THROTTLING.has(name)) return 'rate_limited'
    if (EXPIRED.has(name)) return 'credentials_unavailable'
    if (TEMPORARY.has(name)) return 'unavailable'
    if (DENIED.has(name)) return 'access_denied'
    if (ABSENT.has(name)) return 'not_found'
  }
  if (status === undefined) return undefined
  return status < 300 ? 'bad_response' : codeOfStatus(status)
}

/** What the SDK threw, as the one error a provider throws. */
export function awsError(e: unknown, signal: AbortSignal, now: number): ProviderError {
  const { name, message, $metadata, $retryable, $response } = shape(e)
  const status = $metadata?.httpStatusCode
  if (status === undefined || signal.aborted) {
    // No answer was read. A name that speaks for itself (thrown before sending) comes after the network's own.
    if (signal.aborted || codeOfError(e) !== undefined) return networkError(e, signal)
    // Thrown where a request is written as a form or a path.
    if (e instanceof URIError)
      return failure('invalid_payload', 'a text of the payload is no Unicode: half of a character stands alone', {
        cause: e,
      })
    const code = codeOfName(name)
    return code ? failure(code, providerErrorCodes[code].meaning, { cause: e }) : networkError(e, signal)
  }
  let code = codeOfName(name, status) ?? 'internal_error'
  if ($retryable !== undefined && !providerErrorCodes[code].retryable)
    code = $retryable.throttling ? 'rate_limited' : 'unavailable'
  return failure(code, `the service answered ${status}${name === undefined ? '' : ` ${name}`}`, {
    retryAfterMs: retryAfterMs($response?.headers?.['retry-after'], now),
    response: { status, body: { error: name ?? null, message: message ?? null } },
    cause: e,
  })
}
