import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { action, holds, ruleset, traced } from './build.ts'

const cel = (expression: string, payload: JsonObject = {}) =>
  holds(`{ cel: ${JSON.stringify(expression)} }`, action(payload, { metadata: { zone: 'n' } }))

describe('cel', () => {
  it.each<[string, JsonObject]>([
    ['action.payload.value > 85', { value: 86 }],
    ['action.payload.value > 85.5', { value: 86 }],
    ['action.payload.value * 2 == 10', { value: 5 }],
    ['action.payload.value % 2 == 1', { value: 5 }],
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
    expect(cel('action.payload.list.exists(x, action.payload.list.exists(y, y == x))', { list })).toBe(false)
  })
})
