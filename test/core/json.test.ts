import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import {
  canonicalJson,
  follow,
  isObject,
  type Json,
  jsonDepth,
  jsonOf,
  mergePatch,
  nestsDeeper,
  own,
  setOwn,
} from '../../src/core/json.ts'

const parse = (text: string): Json => JSON.parse(text) as Json
const json = fc.jsonValue({ depthSize: 'small' }).map((v) => parse(JSON.stringify(v)))

// RFC 7396, appendix A: all of it.
test.each([
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['["a","b"]', '["c","d"]', '["c","d"]'],
  ['{"a":"b"}', '["c"]', '["c"]'],
  ['{"a":"foo"}', 'null', 'null'],
  ['{"a":"foo"}', '"bar"', '"bar"'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
])('merge patch %s + %s', (target, patch, result) => {
  const before = parse(target)
  expect(JSON.stringify(mergePatch(before, parse(patch)))).toBe(result)
  expect(JSON.stringify(before)).toBe(target)
})

describe('a merge patch', () => {
  it('of nothing at all is what the patch leaves', () =>
    expect(mergePatch(undefined, { a: { b: null, c: 1 } })).toEqual({ a: { c: 1 } }))

  it('treats __proto__ and constructor as plain keys', () => {
    const patched = mergePatch(
      parse('{"__proto__":{"a":1},"x":1}'),
      parse('{"__proto__":{"b":2},"constructor":{"c":3}}'),
    )
    expect(JSON.stringify(patched)).toBe('{"__proto__":{"a":1,"b":2},"x":1,"constructor":{"c":3}}')
    expect(Object.getPrototypeOf(patched)).toBe(Object.prototype)
    expect(JSON.stringify(mergePatch(patched, parse('{"__proto__":null,"toString":null}')))).toBe(
      '{"x":1,"constructor":{"c":3}}',
    )
    expect(Object.hasOwn(Object.prototype, 'a') || Object.hasOwn(Object.prototype, 'b')).toBe(false)
  })

  it('applied twice is applied once, and holds no null it was not given a target for', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const once = mergePatch(target, patch)
        expect(mergePatch(once, patch)).toEqual(once)
        if (isObject(patch))
          for (const k of Object.keys(patch))
            if (own(patch, k) === null) expect(Object.hasOwn(Object(once), k)).toBe(false)
      }),
    )
  })
})

describe('follow', () => {
  const data = parse('{"a":{"b":[10,{"c":null}]},"__proto__":{"p":1},"":{"":2},"t":"text","0":"zero"}')
  test.each<[string, string[], Json | undefined]>([
    ['itself', [], data],
    ['a key', ['a', 'b', '0'], 10],
    ['null, which is there', ['a', 'b', '1', 'c'], null],
    ['an own __proto__', ['__proto__', 'p'], 1],
    ['empty keys', ['', ''], 2],
    ['a key that is a number', ['0'], 'zero'],
    ['nothing beyond the array', ['a', 'b', '2'], undefined],
    ['nothing by another spelling of an index', ['a', 'b', '00'], undefined],
    ['nothing by a negative index', ['a', 'b', '-1'], undefined],
    ['nothing by 1e0', ['a', 'b', '1e0'], undefined],
    ['nothing by a huge index', ['a', 'b', '9'.repeat(400)], undefined],
    ['no length of an array', ['a', 'b', 'length'], undefined],
    ['no part of a text', ['t', '0'], undefined],
    ['nothing under null', ['a', 'b', '1', 'c', 'd'], undefined],
    ['no inherited key', ['constructor'], undefined],
    ['no inherited key of an array', ['a', 'b', 'map'], undefined],
    ['no prototype', ['a', '__proto__'], undefined],
  ])('%s', (_, path, expected) => expect(follow(data, path)).toEqual(expected))

  it('nothing leads nowhere', () => expect(follow(undefined, ['a'])).toBeUndefined())

  it('every place in any data is found by its path, and only there', () => {
    fc.assert(
      fc.property(json, (v) => {
        const walk = (at: Json, path: string[]): void => {
          expect(follow(v, path)).toBe(at)
          expect(follow(v, [...path, 'not there'])).toBeUndefined()
          if (typeof at === 'object' && at !== null) for (const k of Object.keys(at)) walk(own(at, k)!, [...path, k])
        }
        walk(v, [])
      }),
    )
  })
})

describe('own and setOwn', () => {
  it('__proto__ is set as data, everywhere else untouched', () => {
    const o = {}
    setOwn(o, '__proto__', { evil: true })
    setOwn(o, 'constructor', 1)
    expect(JSON.stringify(o)).toBe('{"__proto__":{"evil":true},"constructor":1}')
    expect(own(o, '__proto__')).toEqual({ evil: true })
    expect('evil' in o).toBe(false)
    setOwn(o, '__proto__', 2)
    expect(own(o, '__proto__')).toBe(2)
  })
  it('an inherited key is absent', () => {
    for (const k of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) expect(own({}, k)).toBeUndefined()
  })
  it('isObject: neither array nor null', () => {
    expect([{}, Object.create(null), [], null, 'a', 1, undefined].map(isObject)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ])
  })
})

describe('jsonDepth', () => {
  const depth = (v: Json): number =>
    typeof v !== 'object' || v === null ? 0 : 1 + Math.max(0, ...(Array.isArray(v) ? v : Object.values(v)).map(depth))

  it('is the depth of what the text says, with any white space', () => {
    fc.assert(
      fc.property(json, fc.nat(3), (v, space) => {
        expect(jsonDepth(JSON.stringify(v, null, space))).toBe(depth(v))
      }),
    )
  })

  test.each([
    ['', 0],
    ['1', 0],
    ['[]', 1],
    ['"[[["', 0],
    ['["[{", {"]}": "\\"[["}]', 2],
    ['"\\\\" [', 1],
    ['"\\u005b\\"[" {', 1],
    ['"never closed [[[', 0],
    ['"at its end \\', 0],
    ['[[[', 3],
  ])('%s: %d', (text, expected) => expect(jsonDepth(text)).toBe(expected))

  it('nestsDeeper: as it says, whatever brackets stand beside each other or in text', () => {
    const texts = ['', '{}', '[[]]', '[{},{},{}]', '{"a":{"b":[1]}}', '"[[[["', '["{{{{", "[[", {}]', '[[[[[[]]]]]]']
    for (const text of texts)
      for (let max = 0; max < 8; max++)
        expect([text, max, nestsDeeper(text, max)]).toEqual([text, max, jsonDepth(text) > max])
  })
  it('a million brackets are only counted', () => expect(jsonDepth('['.repeat(1_000_000))).toBe(1_000_000))
})

describe('canonicalJson', () => {
  it('is JSON, with the keys in order at any depth', () => {
    expect(canonicalJson(parse('{"b":[{"z":1,"y":"\\u0000"}],"a":null,"__proto__":2,"10":1,"9":1}'))).toBe(
      '{"10":1,"9":1,"__proto__":2,"a":null,"b":[{"y":"\\u0000","z":1}]}',
    )
    expect(canonicalJson(undefined)).toBe('null')
  })

  it('is the same text for the same data in any order, and another for other data', () => {
    const turned = (v: Json): Json => {
      if (Array.isArray(v)) return v.map(turned)
      if (!isObject(v)) return v
      const out = {}
      for (const k of Object.keys(v).reverse()) setOwn(out, k, turned(own(v, k)!))
      return out
    }
    fc.assert(
      fc.property(json, json, (a, b) => {
        expect(canonicalJson(turned(a))).toBe(canonicalJson(a))
        expect(parse(canonicalJson(a))).toEqual(a)
        if (canonicalJson(a) === canonicalJson(b)) expect(a).toEqual(b)
      }),
    )
  })
})

describe('jsonOf', () => {
  it('is what a text says, or undefined where it is no JSON', () => {
    expect(['{"a":[1,null]}', 'null', '"x"'].map(jsonOf)).toEqual([{ a: [1, null] }, null, 'x'])
    expect(['', '{', 'x', '1 2', '{"a":undefined}'].map(jsonOf)).toEqual(Array(5).fill(undefined))
  })
})
