import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { compileExpression } from '../../src/rules/cel.ts'
import { cpuMs } from '../fakes/cpu.ts'
import { action, holds, ruleset, traced } from './build.ts'

const cel = (expression: string, payload: JsonObject = {}) =>
  holds(`{ cel: ${JSON.stringify(expression)} }`, action(payload, { metadata: { zone: 'n' } }))

describe('cel', () => {
  it.each<[string, JsonObject]>([
    ['action.payload.value > 85', { value: 86 }],
    ['action.payload.value > 85.5', { value: 86 }],
    ['action.payload.value * 2 == 10', { value: 5 }],
    ['action.payload.value % 2 == 1', { value: 5 }],
    ['action.payload.value * 1.5 == 30.0 && 1.5 * action.payload.value == 30.0', { value: 20 }],
    ['action.payload.value * 1.5 == 30.75', { value: 20.5 }],
    ['action.payload.a - action.payload.b + 1.0 == 0.5 && 9.0 / action.payload.c == 4.5', { a: 2, b: 2.5, c: 2 }],
    ['type(action.payload.value) == int', { value: 5 }],
    ['type(action.payload.value) == double', { value: 5.5 }],
    ['action.payload.missing == null', {}],
    ['action.payload.a.b.c == null', {}],
    ['action.payload["a"].b == 1', { a: { b: 1 } }],
    ['action.payload.items[1].x == "y"', { items: [{}, { x: 'y' }] }],
    ['action.payload.items[7] == null', { items: [1] }],
    ['has(action.payload.a.b) && !has(action.payload.a.c) && !has(action.payload.z.c)', { a: { b: 0 } }],
    ['action.payload.list.exists(x, x.v.matches("b+c") && x.n == 1)', { list: [{ v: 'abbc', n: 1 }] }],
    ['action.payload.list.all(x, action.payload.list.exists(y, y == x))', { list: [1, 2, 3] }],
    ['action.payload.list.filter(x, x > 1).map(x, x * 2) == [4, 6]', { list: [1, 2, 3] }],
    ['size(action.payload.list) == 3 && 2 in action.payload.list', { list: [1, 2, 3] }],
    ['"k" in action.payload', { k: 1 }],
    ['action.tenant == "smartbuilding-hq" && action.metadata.zone == "n"', {}],
    ['(action.payload.a - (action.payload.b - 1)) == 2', { a: 3, b: 2 }],
    ['(action.payload.n > 3 ? "big" : "small") == "small"', { n: 1 }],
    ['!(action.payload.flag)', { flag: false }],
    ['-action.payload.n == -5', { n: 5 }],
    ['cel.bind(v, action.payload.a, v.b == 1)', { a: { b: 1 } }],
    ['timestamp(action.created_at).getFullYear() == 2026', {}],
    ['time.hour == 12 && time.weekday == "monday" && env.STAGE == "test" && env.UNSET == null', {}],
    ['action.payload.text == "a\\"b\\nc\\u00e9"', { text: 'a"b\ncé' }],
    ['action.payload.constructor == null', {}],
    ["action.payload.x.matches(r'^\\d+$')", { x: '123' }],
    ['action.payload.missing > 5 || action.payload.n == 1', { n: 1 }],
  ])('%s holds', (expression, payload) => {
    expect(cel(expression, payload)).toBe(true)
  })

  it.each<[string, JsonObject]>([
    ['action.payload.missing > 5', {}],
    ['action.payload.text > 5', { text: 'a' }],
    ['action.payload.n / 0 == 1', { n: 1 }],
    ['action.payload.text.x == 1', { text: 'a' }],
    ['action.payload.n', { n: 1 }],
    ['action.payload.n.matches("a")', { n: 1 }],
  ])('PITFALLS 2: an error in %s makes the whole rule not match, under not as well', (expression, payload) => {
    expect(cel(expression, payload)).toBe(false)
    const quoted = JSON.stringify(expression)
    expect(holds(`{ not: { cel: ${quoted} } }`, action(payload))).toBe(false)
    expect(
      holds(`{ any: [{ not: { cel: ${quoted} } }, { field: action.tenant, exists: true }] }`, action(payload)),
    ).toBe(false)
  })

  it.each([
    'action.payload.n == 1',
    'action.payload.constructor == "c"',
    'action.payload["constructor"] == "c" && has(action.payload.constructor)',
    '"constructor" in action.payload && size(action.payload) == 4',
    'action.payload.deep.constructor.constructor == null',
    'action.payload.deep == action.payload.deep && size(action.payload.deep.constructor) == 1',
    'action.payload.list.exists(x, x.n == 2) && action.payload.list.all(x, has(x.constructor))',
    'action.payload.list[1].constructor.x == 1 && action.payload.list[0].n == 1',
    'action.payload.exists(k, k == "constructor") && action == action',
  ])('a key of the data that is called constructor is data, and lets nobody past %s', (expression) => {
    const list = [
      { n: 1, constructor: 5 },
      { n: 2, constructor: { x: 1 } },
    ]
    expect(cel(expression, { n: 1, constructor: 'c', deep: { constructor: { constructor: null } }, list })).toBe(true)
  })

  it('an error of one rule does not reach the next', () => {
    const text = `rules:
  - { name: a, condition: { cel: "action.payload.x > 5" }, action: { type: deny } }
  - { name: b, condition: { field: action.tenant, exists: true }, action: { type: suppress } }
`
    const { plan, trace } = traced(ruleset(text), action())
    expect(plan.end).toEqual({ kind: 'suppress', rule: 'b' })
    expect(trace[0]?.error).toContain('no such overload')
  })

  it('more data than an expression may look through is an error, not a wait', () => {
    const list = Array.from({ length: 5000 }, (_, i) => i)
    expect(cel('action.payload.list.exists(x, x == 4999)', { list })).toBe(true)
    expect(cel('action.payload.list.all(x, action.payload.list.exists(y, y == x))', { list })).toBe(false)
  })

  describe('PITFALLS 2: one budget for a whole evaluation, whatever it is spent on', () => {
    const N = 20_000
    const items = Array.from({ length: N }, (_, i) => i)
    const payload = {
      items,
      allowed: items,
      nothing: items.map(() => null),
      words: items.map((i) => `word ${i}`),
      text: 'a'.repeat(1_000_000),
      late: `${'a'.repeat(400_000)}b`,
      csv: 'a,'.repeat(500_000),
    }
    it.each([
      'action.payload.items.all(x, x in action.payload.allowed)',
      'cel.bind(l, action.payload.allowed, action.payload.items.all(x, x in l))',
      'cel.bind(l, action.payload.allowed, action.payload.items.exists(x, l == [x]))',
      'cel.bind(l, action.payload.allowed, cel.bind(m, l + l, cel.bind(n, m + m, cel.bind(o, n + n, o + o + o == []))))',
      'action.payload.items.exists(x, action.payload.items.exists(y, x + y < 0))',
      // The error of each element is dropped for that of the next, and costs a hundred times as much as an answer.
      'action.payload.nothing.all(x, x > 1)',
      'action.payload.nothing.all(x, x > 1 || x > 2 || true)',
      'action.payload.words.exists(x, int(x) == 1)',
      'action.payload.items.all(x, timestamp(x).getHours("Europe/Berlin") >= 0)',
      'cel.bind(t, action.payload.text, action.payload.items.all(x, t.size() > x))',
      'action.payload.text.lastIndexOf(action.payload.late) == -1',
      // A search for a long text looks at it again at each place.
      'action.payload.text.contains(action.payload.late)',
      'action.payload.text.indexOf(action.payload.late) == 0',
      // A part is dearer than the character it is made of.
      'action.payload.text.split("").size() == 1',
      'action.payload.words.join(action.payload.late) == ""',
      'action.payload.csv.split(",").all(x, x == "a" || x == "")',
      'action.payload.items.all(x, !action.payload.text.matches("(a|b)+c"))',
      'action.payload.items.map(x, action.payload.text + action.payload.text) == []',
      // Dropped errors do not make an answer of it.
      'action.payload.items.all(x, x in action.payload.allowed) || true',
      'action.payload.items.exists(x, x in action.payload.allowed ? x < 0 : true)',
    ])('%s ends early, in error', (expression) => {
      const compiled = compileExpression(expression, ['action'])
      if ('refused' in compiled) throw new Error(compiled.refused)
      let told: unknown
      // Some tens of milliseconds; without the budget seconds to minutes.
      expect(cpuMs(() => (told = compiled.evaluate({ action: { payload } })))).toBeLessThan(5000)
      expect(told).toEqual({ error: 'the data is too large for an expression' })
      // The next evaluation has a budget of its own.
      expect(compiled.evaluate({ action: { payload: null } })).not.toMatchObject({
        error: expect.stringContaining('large'),
      })
    })

    it.each<[string, unknown]>([
      ['l.map(x, x + 1)', [2, 3, 4]],
      ['l.map(x, [x])', [[1], [2], [3]]],
      ['l.map(x, {"n": x})', [{ n: 1 }, { n: 2 }, { n: 3 }]],
      ['l.map(x, "k")', ['k', 'k', 'k']],
      ['l.map(x, x > 1, x * 2)', [4, 6]],
      ['l.map(x, null)', [null, null, null]],
      ['l.exists_one(x, x == 2)', true],
      ['l.filter(x, x != 2).map(x, string(x)).join("-")', '1-3'],
      ['l.all(x, x > 5 || x < 5)', true],
      ['l.all(x, x > "a" || x < 5)', true],
      ['l.exists(x, x > "a" && x < 5)', 'no such overload: dyn<int> > string'],
      ['"a,b,c".split(",")', ['a', 'b', 'c']],
      ['"a,b,c".split(",", 2)', ['a', 'b,c']],
      ['"a,b,c".split(",", 0)', []],
      ['"a,b,c".split(",", -1).join()', 'abc'],
      ['"banana".contains("nan") && !"banana".contains("x")', true],
      [
        '["banana".indexOf("na"), "banana".indexOf("na", 3), "banana".lastIndexOf("na"), "banana".lastIndexOf("na", 3)]',
        [2, 4, 4, 2],
      ],
      ['"banana".indexOf("a", 9)', 'the index is out of range'],
      ['"banana".indexOf("", 9)', 9],
    ])('%s is what it was', (expression, expected) => {
      const compiled = compileExpression(expression, ['l'])
      if ('refused' in compiled) throw new Error(compiled.refused)
      const answer = compiled.evaluate({ l: [1, 2, 3] })
      expect('error' in answer ? answer.error : answer.value).toEqual(expected)
    })
  })

  it.each([
    ['!'.repeat(50_000), '"cel" is over 10000 characters'],
    // Which limit is met first, a parser's or the stack's, is a question of who calls.
    [`${'!'.repeat(9_000)}true`, '"cel" is '],
    [`${'('.repeat(4_000)}1${')'.repeat(4_000)} == 1`, 'maxDepth'],
  ])('an expression nested without end is refused, not thrown: %#', (expression, why) => {
    expect(compileExpression(expression, [])).toEqual({ refused: expect.stringContaining(why) })
  })
})
