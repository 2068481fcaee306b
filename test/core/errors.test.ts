import { describe, expect, it, test } from 'vitest'
import { notFound, Problem, ProviderError, StateUnavailable, StateUnknown, showFinding } from '../../src/core/errors.ts'
import { kinds } from '../../src/core/hold.ts'

describe('errors', () => {
  it('a problem has nothing but what it was given, and keeps its cause to itself', () => {
    const bare = new Problem(404, 'x', 'words')
    expect(bare).toMatchObject({
      status: 404,
      code: 'x',
      message: 'words',
      errors: [],
      extra: {},
      retryAfterMs: undefined,
    })
    expect('cause' in bare).toBe(false)
    const cause = new Error('internal: password=1')
    const caused = new Problem(500, 'internal', 'words', { cause, retryAfterMs: 5 })
    expect(caused.cause).toBe(cause)
    expect(caused.retryAfterMs).toBe(5)
    expect(JSON.stringify(caused)).not.toContain('password')
    expect(notFound('rule')).toMatchObject({ status: 404, code: 'not_found', message: 'there is no rule here' })
  })

  it('a provider’s error is final, known and not a time-out unless it says so', () => {
    const e = new ProviderError('c', 'm')
    expect(e).toMatchObject({ code: 'c', retryable: false, unknown: false, timeout: false })
    expect([e.response, e.pointer, e.retryAfterMs, 'cause' in e]).toEqual([undefined, undefined, undefined, false])
    const response = { status: 504, body: null }
    const more = { retryable: true, unknown: true, timeout: true, retryAfterMs: 1, response, pointer: '/a', cause: 1 }
    expect(new ProviderError('c', 'm', more)).toMatchObject(more)
  })

  it('are told apart by class and by name, also across a thread', () => {
    const all = [
      new StateUnavailable('a'),
      new StateUnknown('b'),
      new Problem(400, 'c', 'd'),
      new ProviderError('e', 'f'),
    ]
    expect(all.map((e) => e.name)).toEqual(['StateUnavailable', 'StateUnknown', 'Problem', 'ProviderError'])
    expect(all.map((e) => e instanceof StateUnknown)).toEqual([false, true, false, false])
    for (const e of all) expect(e).toBeInstanceOf(Error)
  })
})

test('a finding says where; one of a flag or a variable has no line', () => {
  const finding = { severity: 'error', message: 'is wrong', file: 'a.toml', line: 3, column: 7 } as const
  expect(showFinding(finding)).toBe('a.toml:3:7: error: is wrong')
  expect(showFinding({ ...finding, file: '--set a.b', line: 0, column: 0, severity: 'warning' })).toBe(
    '--set a.b: warning: is wrong',
  )
})

test('no two kinds of entries share a name, and none is what the store keeps for itself', () => {
  const names = Object.values(kinds)
  expect(new Set(names).size).toBe(names.length)
  for (const own of ['buffer', 'count', 'admit', 'slot']) expect(names).not.toContain(own)
})
