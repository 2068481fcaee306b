import { describe, expect, it, test } from 'vitest'
import { z } from 'zod'
import { Problem } from '../../src/core/errors.ts'
import { invalid, parseWire, preconditionFailed, wireCount, wireName } from '../../src/core/wire.ts'

const schema = z.strictObject({
  name: wireName,
  max_actions: wireCount,
  kind: z.enum(['a', 'b']),
  either: z.union([z.literal('x'), wireCount], 'expected "x" or a number'),
  inner: z.strictObject({ 'a/b~c': z.array(z.string()) }).optional(),
  note: z.string().optional(),
})
const good = { name: 'n', max_actions: 1, kind: 'a', either: 2 }

function problem(read: () => unknown): Problem {
  try {
    read()
  } catch (e) {
    if (e instanceof Problem) return e
    throw e
  }
  throw new Error('nothing was thrown')
}
const faults = (body: unknown) => problem(() => parseWire(schema, body, 'thing')).errors

describe('parseWire', () => {
  it('reads what is right; a field that is null is one that is not there', () =>
    expect(parseWire(schema, { ...good, note: null, nobody_knows: null }, 'thing')).toEqual(good))

  it('names every fault at once, each by its pointer', () => {
    const p = problem(() =>
      parseWire(schema, { name: '', max_actions: 1.5, kind: 'c', inner: { 'a/b~c': ['x', 1] } }, 'thing'),
    )
    expect([p.status, p.code]).toEqual([400, 'invalid_thing'])
    expect(p.errors).toEqual([
      { pointer: '/name', message: 'must not be empty' },
      { pointer: '/max_actions', message: 'expected a whole number' },
      { pointer: '/kind', message: 'expected one of a, b; did you mean "a"?' },
      { pointer: '/either', message: 'is required' },
      { pointer: '/inner/a~1b~0c/1', message: 'expected a string' },
    ])
  })

  it('says of all that is missing that it is required, whatever its type', () =>
    expect(faults({})).toEqual(
      ['/name', '/max_actions', '/kind', '/either'].map((pointer) => ({ pointer, message: 'is required' })),
    ))

  it('refuses unknown fields, the nearest known one beside', () =>
    expect(faults({ ...good, max_action: 1, qqqqqqqq: 2, inner: { 'a/b~c': [], more: 1 } })).toEqual([
      { pointer: '/inner/more', message: 'unknown field' },
      { pointer: '/max_action', message: 'unknown field; did you mean "max_actions"?' },
      { pointer: '/qqqqqqqq', message: 'unknown field' },
    ]))

  it('__proto__ and friends are unknown fields like any other', () => {
    const body = JSON.parse(`{"__proto__":{"name":"p"},"constructor":1,${JSON.stringify(good).slice(1)}`) as object
    expect(faults(body)).toEqual([
      { pointer: '/__proto__', message: 'unknown field' },
      { pointer: '/constructor', message: 'unknown field' },
    ])
    expect(faults(JSON.parse('{"__proto__":{"name":"p"}}'))).toContainEqual({
      pointer: '/name',
      message: 'is required',
    })
  })

  it.each([[null], [[]], ['text'], [1], [undefined]])('a body that is %j is refused as a whole', (body) =>
    expect(faults(body)).toMatchObject([{ pointer: '' }]),
  )
})

describe('a name', () => {
  test.each(['a', 'é', 'a:b/c%d_e*f', ' ', '🏠', 'x'.repeat(128)])('%j is one', (s) =>
    expect(wireName.parse(s)).toBe(s),
  )
  test.each(['', 'x'.repeat(129), 'a\u0000b', 'a\nb', '\u007f', '\u0085', '\ud800', 1, null])('%j is none', (s) =>
    expect(wireName.safeParse(s).success).toBe(false),
  )
})

test.each([
  [1, true],
  [1e9, true],
  [0, false],
  [-1, false],
  [1.5, false],
  ['1', false],
  [Number.NaN, false],
  [1e300, false],
])('a count: %j %s', (n, ok) => expect(wireCount.safeParse(n).success).toBe(ok))

test('the problems of a body and of If-Match', () => {
  const errors = [{ pointer: '/a', message: 'is wrong' }]
  expect(invalid('quota', errors)).toMatchObject({
    status: 400,
    code: 'invalid_quota',
    message: 'a field is wrong',
    errors,
  })
  expect(invalid('quota', [...errors, ...errors]).message).toBe('fields are wrong')
  expect(preconditionFailed('quota')).toMatchObject({ status: 412, code: 'precondition_failed' })
})
