import { describe, expect, it } from 'vitest'
import { StateUnavailable, StateUnknown } from '../../src/core/errors.ts'
import { failure, isCrowded, isLast } from '../../src/state/postgres/failure.ts'

const said = (code: string, severity: string, message = 'as the server says it'): Error =>
  Object.assign(new Error(message), { code, severity })

describe('what is known of a write that failed', () => {
  it.each<[string, Error, typeof StateUnavailable | typeof StateUnknown, boolean]>([
    ['the server has undone it', said('23505', 'ERROR'), StateUnavailable, false],
    ['a full disk has undone it', said('53100', 'ERROR'), StateUnavailable, false],
    ['a full disk has stopped the server', said('53100', 'PANIC'), StateUnknown, true],
    ['the same, in German', said('58030', 'PANIK'), StateUnknown, true],
    ['the server is being stopped', said('57P01', 'FATAL'), StateUnknown, true],
    ['its connection has ended', Object.assign(new Error('read'), { code: 'ECONNRESET' }), StateUnknown, true],
    ['it has no answer', new Error('Query read timeout'), StateUnknown, true],
    ['PgBouncer has lost the server', said('08P01', 'FATAL', 'server conn crashed?'), StateUnknown, true],
    ['PgBouncer had no server for it', said('08P01', 'FATAL', 'query_wait_timeout'), StateUnavailable, true],
    [
      'PgBouncer does not get in',
      said('08P01', 'FATAL', 'server login has been failing, try again later (server_login_retry)'),
      StateUnavailable,
      true,
    ],
  ])('%s', (_, e, kind, last) => {
    expect(failure(e, true)).toBeInstanceOf(kind)
    expect(failure(e, false)).toBeInstanceOf(StateUnavailable)
    expect(isLast(e)).toBe(last)
    expect(isCrowded(e)).toBe(false)
  })
})

it('knows who has no connection left for it', () => {
  expect(isCrowded(said('53300', 'FATAL', 'sorry, too many clients already'))).toBe(true)
  expect(isCrowded(said('08P01', 'FATAL', 'no more connections allowed (max_client_conn)'))).toBe(true)
})
