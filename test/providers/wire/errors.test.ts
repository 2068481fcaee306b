import { describe, expect, test } from 'vitest'
import { ProviderError } from '../../../src/core/errors.ts'
import { awsError } from '../../../src/providers/aws/errors.ts'
import { providerErrorCodes } from '../../../src/providers/index.ts'
import {
  codeOfError,
  codeOfStatus,
  networkError,
  retryAfterMs,
  untilAborted,
} from '../../../src/providers/wire/errors.ts'

const quiet = new AbortController().signal
const coded = (code: string, more: object = {}) => Object.assign(new Error('words'), { code, ...more })

test('the table: every code has a meaning, and what is unknown is never permanent but for our own faults', () => {
  for (const [code, c] of Object.entries(providerErrorCodes)) {
    expect(code).toMatch(/^[a-z_]+$/)
    expect(c.meaning.length).toBeGreaterThan(10)
    if (c.unknown && code !== 'internal_error') expect(c.retryable).toBe(true)
  }
})

test('every status from 300 to 599 has a code with the contract’s flags', () => {
  for (let status = 300; status < 600; status++) {
    const { retryable, unknown } = providerErrorCodes[codeOfStatus(status)]
    expect(retryable).toBe(status >= 500 || [408, 425, 429].includes(status))
    expect(unknown).toBe([500, 502, 504].includes(status))
  }
})

describe('below the protocol', () => {
  test.each([
    ['ECONNREFUSED', 'connection_refused'],
    ['ENOTFOUND', 'connection_failed'],
    ['UND_ERR_CONNECT_TIMEOUT', 'connect_timeout'],
    ['ECONNRESET', 'connection_reset'],
    ['UND_ERR_SOCKET', 'connection_reset'],
    ['ETIMEDOUT', 'timeout'],
    ['CERT_HAS_EXPIRED', 'tls_failed'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_failed'],
    ['UNABLE_TO_GET_CRL', 'tls_failed'],
    ['INVALID_PURPOSE', 'tls_failed'],
    ['EAI_FAIL', 'connection_failed'],
    ['EMFILE', 'connection_failed'],
    ['EPERM', 'connection_failed'],
    ['HPE_INVALID_CONSTANT', 'bad_response'],
  ])('%s → %s, also as a cause', (name, code) => {
    expect(codeOfError(coded(name))).toBe(code)
    expect(codeOfError(new Error('fetch failed', { cause: coded(name) }))).toBe(code)
  })
  test('nodemailer keeps the system’s name beside its own', () => {
    expect(codeOfError(coded('ESOCKET', { originalCode: 'ECONNREFUSED' }))).toBe('connection_refused')
  })
  test('PITFALLS 31: the words of a message decide nothing', () => {
    const e = networkError(new Error('ECONNREFUSED timeout throttled 503'), quiet)
    expect(e).toMatchObject({ code: 'internal_error', retryable: false, unknown: true })
  })
  test('an aborted signal speaks before whatever the abort looked like', () => {
    const signal = AbortSignal.abort(new DOMException('timed out', 'TimeoutError'))
    expect(networkError(coded('ECONNRESET'), signal)).toMatchObject({ code: 'timeout', timeout: true })
  })
})

describe('AWS errors', () => {
  const answered = (name: string, httpStatusCode: number, more: object = {}) =>
    awsError(Object.assign(new Error('words'), { name, $metadata: { httpStatusCode }, ...more }), quiet, 0)
  test.each([
    ['ThrottlingException', 400, 'rate_limited'],
    ['Throttling', 400, 'rate_limited'],
    ['SlowDown', 503, 'rate_limited'],
    ['Whatever', 429, 'rate_limited'],
    ['RequestTimeTooSkewed', 403, 'unavailable'],
    ['AccessDeniedException', 400, 'access_denied'],
    ['QueueDoesNotExist', 400, 'not_found'],
    ['ExpiredToken', 400, 'credentials_unavailable'],
    ['TokenRefreshRequired', 400, 'credentials_unavailable'],
    ['ResourceConflictException', 409, 'unavailable'],
    ['SnapStartNotReadyException', 409, 'unavailable'],
    ['ResourceNotReadyException', 502, 'unavailable'],
    ['OperationAborted', 409, 'unavailable'],
    ['InternalError', 500, 'server_error'],
    ['InvalidParameter', 400, 'rejected'],
    ['SyntaxError', 200, 'bad_response'],
  ])('PITFALLS 31: %s with %i → %s', (name, status, code) => {
    expect(answered(name, status).code).toBe(code)
  })
  test('PITFALLS 31: the SDK’s own $retryable is believed', () => {
    expect(answered('Odd', 400)).toMatchObject({ code: 'rejected', retryable: false })
    expect(answered('Odd', 400, { $retryable: {} })).toMatchObject({ code: 'unavailable', retryable: true })
    expect(answered('Odd', 400, { $retryable: { throttling: true } }).code).toBe('rate_limited')
  })
  test('the SDK’s name for a reset is TimeoutError; its code is believed', () => {
    const e = coded('ECONNRESET', { name: 'TimeoutError', $metadata: { attempts: 1 } })
    expect(awsError(e, quiet, 0)).toMatchObject({ code: 'connection_reset', timeout: false })
  })
})

test.each([
  ['5', 5000],
  [' 0 ', 0],
  ['1.5', 1500],
  ['Thu, 01 Jan 1970 00:00:10 GMT', 9000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['-5', 0],
  ['301', 300_000],
  ['9999999999999', 300_000],
  ['9'.repeat(400), 300_000],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 300_000],
  ['NaN', undefined],
  ['', undefined],
  ['later', undefined],
  [undefined, undefined],
])('Retry-After %j at one second past → %j', (header, ms) => {
  expect(retryAfterMs(header, 1000)).toBe(ms)
})

test('untilAborted: the signal wins over work that never ends, and its listener goes with it', async () => {
  const stop = new AbortController()
  const waiting = untilAborted(new Promise(() => {}), stop.signal, true)
  stop.abort(new DOMException('timed out', 'TimeoutError'))
  await expect(waiting).rejects.toMatchObject({ code: 'connect_timeout', unknown: false })
  await expect(untilAborted(Promise.reject(new Error('late')), stop.signal)).rejects.toBeInstanceOf(ProviderError)
  await expect(untilAborted(Promise.resolve(7), quiet)).resolves.toBe(7)
})
