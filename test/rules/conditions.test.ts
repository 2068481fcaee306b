import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../src/core/json.ts'
import { comparisons, operators, operatorWords } from '../../src/rules/conditions/index.ts'
import { action, holds, NOON, ruleset } from './build.ts'

const on = (value: Json | undefined, test: string) =>
  holds(`{ field: action.payload.x, ${test} }`, action(value === undefined ? {} : { x: value }))

describe('operators', () => {
  it.each<[Json | undefined, string, boolean]>([
    [5, 'eq: 5', true],
    [5, 'eq: 5.0', true],
    ['5', 'eq: 5', false],
    [undefined, 'eq: null', true],
    [null, 'eq: null', true],
    [undefined, 'eq: 5', false],
    [undefined, 'ne: 5', true],
    [undefined, 'ne: null', false],
    [true, 'eq: true', true],
    [[1, { a: 1, b: 2 }], 'eq: [1, { b: 2, a: 1 }]', true],
    [[1], 'eq: [1, 2]', false],
    [[1, 2], 'eq: [1, 3]', false],
    [{ a: 1 }, 'eq: { a: 2 }', false],
    [{ a: 1 }, 'eq: { b: 1 }', false],
    [{ a: null }, 'eq: { b: null }', false],
    [{ a: 1, b: 2 }, 'eq: { a: 1 }', false],
    ['Abc', 'eq: aBC, ignore_case: true', true],
    ['Abc', 'eq: abc', false],
    [86, 'gt: 85', true],
    [85, 'gt: 85', false],
    ['86', 'gt: 85', false],
    [null, 'lt: 5', false],
    [undefined, 'gte: 0', false],
    [85, 'gte: 85, lte: 85', true],
    ['b', 'gt: a', true],
    [5, 'between: [5, 6]', true],
    [6, 'between: [5, 6]', true],
    [4.9, 'between: [5, 6]', false],
    [6.5, 'between: [5, 6]', false],
    [85, 'lt: 85', false],
    [85, 'lte: 84', false],
    [84, 'gte: 85', false],
    ['hello', 'contains: ell', true],
    [['a', 'b'], 'contains: b', true],
    [['A'], 'contains: a, ignore_case: true', true],
    [5, 'contains: 5', false],
    ['hello', 'starts_with: he, ends_with: lo', true],
    ['HELLO', 'starts_with: he, ignore_case: true', true],
    ['xxabcxx', 'matches: "b+c"', true],
    ['xxabcxx', 'matches: "^b+c"', false],
    ['XBC', 'matches: "b+c", ignore_case: true', true],
    ['a.c', 'matches: "^a[.]c$"', true],
    ['temp-1', 'matches: "^temp"', true],
    ['temp-1', 'matches: "mp-1$"', true],
    [5, 'matches: "5"', false],
    ['b', 'in: [a, b]', true],
    [null, 'in: [a, null]', true],
    ['B', 'in_list: [a, b], ignore_case: true', true],
    [{ a: 1 }, 'in: [{ a: 1 }]', true],
    [0, 'exists: true', true],
    [null, 'exists: true', false],
    [undefined, 'exists: false', true],
    [undefined, 'is_empty: true', true],
    ['', 'is_empty: true', true],
    [[], 'is_empty: true', true],
    [{}, 'is_empty: true', true],
    [0, 'is_empty: true', false],
    [false, 'is_empty: true', false],
    [undefined, 'is_not_empty: true', false],
    ['a', 'is_not_empty: true', true],
    ['a', 'equals: a', true],
    ['a', 'not_equals: a', false],
    ['a', 'neq: b', true],
    [6, 'greater_than: 5', true],
    [4, 'less_than: 5', true],
    ['ab', 'regex: b', true],
    ['a', 'not_in_list: [b]', true],
    ['a', 'not_contains: b', true],
    ['a', 'not_gt: 5', true],
  ])('%j with { %s } is %s', (value, test, expected) => {
    expect(on(value, test)).toBe(expected)
  })

  it('several operators on one field are all required', () => {
    expect(on(7, 'gt: 5, lt: 9, ne: 8')).toBe(true)
    expect(on(8, 'gt: 5, lt: 9, ne: 8')).toBe(false)
  })
  it('every alias of the contract is there', () => {
    const aliases = 'equals not_equals neq greater_than less_than regex in_list not_in_list not_contains is_not_empty'
    for (const word of aliases.split(' ')) expect(operatorWords.has(word), word).toBe(true)
  })
})

describe('fields', () => {
  const a = action(
    { a: { b: [{ c: 1 }, 2] }, constructor: 'data', 'with space': 1 },
    { metadata: { zone: 'north', 'app.io/name': 'x' }, dedup_key: 'k' },
  )
  it.each([
    ['action.payload.a.b.0.c', '1'],
    ['action.payload.a.b.1', '2'],
    ['action.payload.constructor', 'data'],
    ['action.payload.with space', '1'],
    ['action.metadata.zone', 'north'],
    ['action.metadata.app.io/name', 'x'],
    ['action.dedup_key', 'k'],
    ['action.tenant', 'smartbuilding-hq'],
    ['env.STAGE', 'test'],
    ['time.hour', '12'],
    ['time.weekday', 'Monday'],
    ['time.weekday_num', '1'],
    ['time.timestamp', String(NOON / 1000)],
    ['time.year', '2026'],
  ])('%s is %s', (field, value) => {
    expect(holds(`{ field: "${field}", eq: ${value} }`, a)).toBe(true)
  })
  it.each([
    'action.payload.a.b.7',
    'action.payload.toString',
    'action.payload.__proto__',
    'action.payload.a.b.0.c.d',
    'action.metadata.constructor',
    'action.fingerprint',
    'env.UNSET',
  ])('PITFALLS 2: %s is missing, so null, and nothing throws', (field) => {
    expect(holds(`{ field: "${field}", exists: false }`, a)).toBe(true)
    expect(holds(`{ field: "${field}", gt: 5 }`, a)).toBe(false)
    expect(holds(`{ not: { field: "${field}", contains: x } }`, a)).toBe(true)
  })
  it("time is the rule's time zone's", () => {
    const berlin =
      'rules: [{ name: r, timezone: Europe/Berlin, condition: { field: time.hour, eq: 13 }, action: { type: suppress } }]'
    expect(ruleset(berlin).evaluate({ action: a, now: NOON }).end.kind).toBe('suppress')
    expect(holds('{ field: time.hour, eq: 13 }', a, NOON, { timezone: 'Europe/Berlin' })).toBe(true)
    expect(holds('{ field: time.weekday, in: [SATURDAY, Monday] }', a)).toBe(true)
  })
})

describe('PITFALLS 7: patterns', () => {
  it.each(['(a+)+$', '(a|a)*b', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$'])(
    '%s takes time linear in its input',
    (pattern) => {
      // A backtracking engine needs longer than the age of the universe for these.
      expect(on(`${'a'.repeat(100_000)}!`, `matches: "${pattern}"`)).toBe(false)
    },
  )
  it('in CEL, too', () => {
    const a = action({ x: `${'a'.repeat(100_000)}!` })
    expect(holds(`{ cel: "action.payload.x.matches('(a+)+$')" }`, a)).toBe(false)
  })
})

const json = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>
const near = fc.oneof(json, fc.integer({ min: 0, max: 3 }), fc.constantFrom('', 'a', 'A', 'ab', 'b'))
const operands: { readonly [name: string]: fc.Arbitrary<Json> } = {
  eq: near,
  in: fc.array(near, { minLength: 1, maxLength: 3 }),
  between: fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 1, max: 3 })),
  exists: fc.boolean(),
  is_empty: fc.boolean(),
  matches: fc.constantFrom('a', '^a', 'b$', '(a|b)+', '^$', '.'),
  contains: fc.constantFrom<Json[]>('a', 'b', '', 1, null, true),
  starts_with: fc.constantFrom('a', ''),
  ends_with: fc.constantFrom('b', ''),
}
const sizes = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom('a', 'b'))

describe('laws', () => {
  it('not_x is the exact negation of x, for every operator and every value', () => {
    for (const { name } of operators)
      fc.assert(
        fc.property(operands[name] ?? sizes, fc.option(near, { nil: undefined }), (operand, value) => {
          const plain = comparisons.compile(name, operand)
          const negated = comparisons.compile(`not_${name}`, operand)
          if (typeof plain === 'string' || typeof negated === 'string') throw new Error(String(plain))
          expect(negated(value)).toBe(!plain(value))
        }),
        { numRuns: 200, seed: 1 },
      )
  })

  it('compiled conditions are what the contract says, read plainly', () => {
    type Tree = JsonObject
    const leaf = fc
      .tuple(
        fc.constantFrom('a', 'b'),
        fc.constantFrom('eq', 'ne', 'gt', 'lte', 'in', 'exists', 'contains', 'is_empty'),
        sizes,
        fc.boolean(),
      )
      .map(([key, op, size, yes]): Tree => {
        const operand = op === 'in' ? [size, 1] : op === 'exists' || op === 'is_empty' ? yes : size
        return { field: `action.payload.${key}`, [op]: operand }
      })
    const tree = fc.letrec<{ tree: Tree }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        leaf,
        fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((all): Tree => ({ all })),
        fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((any): Tree => ({ any })),
        tie('tree').map((not): Tree => ({ not })),
      ),
    })).tree
    const plain = (t: Tree, payload: { readonly [k: string]: Json }): boolean => {
      if ('all' in t && Array.isArray(t.all)) return t.all.every((x) => plain(x as Tree, payload))
      if ('any' in t && Array.isArray(t.any)) return t.any.some((x) => plain(x as Tree, payload))
      if ('not' in t) return !plain(t.not as Tree, payload)
      const [[op, o] = ['', null]] = Object.entries(t).filter(([k]) => k !== 'field') as [string, Json][]
      const v = payload[(t.field as string).split('.')[2]!] ?? null
      if (op === 'eq') return v === o
      if (op === 'ne') return v !== o
      if (op === 'in') return (o as Json[]).includes(v)
      if (op === 'exists') return (v !== null) === o
      if (op === 'is_empty') return (v === null || v === '') === o
      if (op === 'contains') return typeof v === 'string' && typeof o === 'string' && v.includes(o)
      if (typeof v === 'number' && typeof o === 'number') return op === 'gt' ? v > o : v <= o
      return typeof v === 'string' && typeof o === 'string' && (op === 'gt' ? v > o : v <= o)
    }
    const value = fc.oneof(sizes, fc.boolean(), fc.constant(null), fc.constant('ab'))
    const payload = fc.record({ a: value, b: value }, { requiredKeys: [] })
    fc.assert(
      fc.property(tree, payload, (t, p) => {
        expect(holds(JSON.stringify(t), action(p))).toBe(plain(t, p))
      }),
      { numRuns: 200, seed: 1 },
    )
  })
})
