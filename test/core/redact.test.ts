import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { isObject, type Json } from '../../src/core/json.ts'
import { compileRedact } from '../../src/core/redact.ts'
import { cpuMs } from '../fakes/cpu.ts'

const X = '[REDACTED]'
const redact = (fields: string[], value: Json): Json => compileRedact({ enabled: true, fields, placeholder: X })(value)

test.each<[string, string[], Json, Json]>([
  ['a name at any depth', ['key'], { key: 1, a: { key: { b: 2 } }, b: 3 }, { key: X, a: { key: X }, b: 3 }],
  ['a name in arrays', ['key'], [[{ key: 1 }], { a: [{ key: null }] }], [[{ key: X }], { a: [{ key: X }] }]],
  ['no name that only resembles', ['key'], { keys: 1, mykey: 2, ke: 3 }, { keys: 1, mykey: 2, ke: 3 }],
  ['no value that is the name', ['key'], { a: 'key', b: ['key'] }, { a: 'key', b: ['key'] }],
  [
    'whatever the case',
    ['apiKey', 'CARD.number'],
    { APIKEY: 1, Card: { Number: 2, exp: 3 } },
    { APIKEY: X, Card: { Number: X, exp: 3 } },
  ],
  ['a path', ['card.number'], { card: { number: 1, exp: 2 }, number: 3 }, { card: { number: X, exp: 2 }, number: 3 }],
  [
    'a path wherever it begins',
    ['card.number'],
    { response: { body: { card: { number: 1 } } } },
    { response: { body: { card: { number: X } } } },
  ],
  [
    'a path through arrays',
    ['items.secret'],
    { items: [{ secret: 1 }, [{ secret: 2, a: 3 }]] },
    { items: [{ secret: X }, [{ secret: X, a: 3 }]] },
  ],
  [
    'a path with an index',
    ['items.1.secret'],
    { items: [{ secret: 1 }, { secret: 2 }] },
    { items: [{ secret: 1 }, { secret: X }] },
  ],
  ['one element', ['items.0'], { items: [1, 2], other: [1] }, { items: [X, 2], other: [1] }],
  ['no path that is interrupted', ['a.c'], { a: { b: { c: 1 } } }, { a: { b: { c: 1 } } }],
  ['a path that begins again within itself', ['a.a.b'], { a: { a: { a: { b: 1 } } } }, { a: { a: { a: { b: X } } } }],
  [
    'paths with a common beginning',
    ['a.b', 'a.c.d'],
    { a: { b: 1, c: { d: 2, e: 3 } } },
    { a: { b: X, c: { d: X, e: 3 } } },
  ],
  ['the shorter of two paths', ['a', 'a.b'], { a: { b: 1, c: 2 } }, { a: X }],
  [
    'a key that spells a path',
    ['card.number', 'token'],
    { 'card.number': 1, 'x.token.y': 2, 'a.card': { number: 3 } },
    { 'card.number': X, 'x.token.y': X, 'a.card': { number: X } },
  ],
  [
    'labels of a group',
    ['ssn', 'payload.zone'],
    { labels: { 'payload.ssn': 1, 'payload.zone': 2, 'payload.floor': 3 } },
    { labels: { 'payload.ssn': X, 'payload.zone': X, 'payload.floor': 3 } },
  ],
  [
    'labels of a group under their short names',
    ['payload.zone', 'metadata.floor', 'ssn'],
    { group_key: 'k', labels: { zone: 1, floor: 2, ssn: 3, other: 4 } },
    { group_key: 'k', labels: { zone: X, floor: X, ssn: X, other: 4 } },
  ],
  [
    'labels that are no group\u2019s by their own path',
    ['labels.token', 'payload.labels.key', 'payload.zone'],
    { labels: { token: 1, key: 2, zone: 3 }, payload: { labels: { token: 1, key: 2, zone: 3 } } },
    { labels: { token: X, key: 2, zone: 3 }, payload: { labels: { token: X, key: X, zone: 3 } } },
  ],
  [
    'the words of rules',
    ['action.payload.ssn', 'action.metadata.user'],
    { payload: { ssn: 1 }, metadata: { user: 'u' }, ssn: 2 },
    { payload: { ssn: X }, metadata: { user: X }, ssn: 2 },
  ],
  [
    'metadata keys with dots',
    ['metadata.app.io/user'],
    { metadata: { 'app.io/user': 'u', app: 'a' } },
    { metadata: { 'app.io/user': X, app: 'a' } },
  ],
  [
    'keys every object has',
    ['constructor', '__proto__'],
    JSON.parse('{"__proto__":{"a":1},"constructor":2}') as Json,
    JSON.parse(`{"__proto__":"${X}","constructor":"${X}"}`) as Json,
  ],
])('hides %s', (_, fields, value, expected) => {
  expect(JSON.stringify(redact(fields, value))).toBe(JSON.stringify(expected))
})

test.each<[string, string[]]>([
  ['constructor', ['constructor.name']],
  ['__proto__', ['__proto__.x']],
])('a path with %s reaches nothing that the data does not have', (_, fields) => {
  expect(redact(fields, { a: 1 })).toEqual({ a: 1 })
})

describe('what it leaves', () => {
  it('is everything, where it is off or names nothing', () => {
    const value = { key: 1 }
    expect(compileRedact({ enabled: false, fields: ['key'], placeholder: X })(value)).toBe(value)
    expect(compileRedact({ enabled: true, fields: [], placeholder: X })(value)).toBe(value)
  })

  it('PITFALLS 75: is the original, which delivery needs', () => {
    const value = { a: [{ key: 1 }] }
    expect(redact(['key'], value)).not.toBe(value)
    expect(value).toEqual({ a: [{ key: 1 }] })
  })

  it('is text: JSON in a string is not read', () => {
    const value = { body: '{"key":"secret"}' }
    expect(redact(['key'], value)).toEqual(value)
    expect(redact(['body'], value)).toEqual({ body: X })
  })

  it('is a bare value and an empty one', () => {
    for (const v of ['key', 1, null, true, [], {}] as Json[]) expect(redact(['key'], v)).toEqual(v)
  })
})

/** Values under a key of this name, as many as there are, each with what it says. */
function under(name: string, v: Json): Json[] {
  if (Array.isArray(v)) return v.flatMap((x: Json) => under(name, x))
  if (!isObject(v)) return []
  return Object.entries(v).flatMap(([k, x]) => [...(k.toLowerCase() === name ? [x] : []), ...under(name, x)])
}
const key = fc.constantFrom('secret', 'Secret', 'card', 'number', 'a', '0', '__proto__', 'x.y')
const { value: data } = fc.letrec<{ value: Json; leaf: Json }>((tie) => ({
  leaf: fc.constantFrom<Json>('s', 1, null, true),
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    tie('leaf'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4 }),
  ),
}))

describe('PITFALLS 52: for any data', () => {
  it('no value under a named field is left anywhere', () => {
    fc.assert(
      fc.property(data, (v) => {
        for (const seen of under('secret', redact(['secret'], v))) expect(seen).toBe(X)
      }),
    )
  })

  it('no value at the end of a path is left anywhere, arrays between or not', () => {
    const ends = (v: Json): Json[] =>
      under('card', v)
        .flatMap(unwrapped)
        .flatMap((c) => (isObject(c) ? own(c) : []))
    const unwrapped = (v: Json): Json[] => (Array.isArray(v) ? v.flatMap(unwrapped) : [v])
    const own = (c: object): Json[] => Object.entries(c).flatMap(([k, x]) => (k === 'number' ? [x as Json] : []))
    fc.assert(
      fc.property(data, (v) => {
        for (const seen of ends(redact(['card.number'], v))) expect(seen).toBe(X)
      }),
    )
  })

  it('all else stays, in its order, and hiding twice is hiding once', () => {
    fc.assert(
      fc.property(data, (v) => {
        expect(JSON.stringify(redact(['nowhere', 'a.b.c.nowhere'], v))).toBe(JSON.stringify(v))
        const once = redact(['secret', 'card.number', 'a.0.a'], v)
        expect(redact(['secret', 'card.number', 'a.0.a'], once)).toEqual(once)
      }),
    )
  })
})

test('paths that repeat themselves do not multiply the work', () => {
  let v: Json = 'end'
  for (let i = 0; i < 60; i++) v = [v]
  expect(cpuMs(() => expect(redact([`${'0.'.repeat(61)}x`, '0.0.0.x'], v)).toEqual(v))).toBeLessThan(5000)
  let o: Json = 'end'
  for (let i = 0; i < 60; i++) o = { a: o }
  expect(cpuMs(() => expect(redact([`${'a.'.repeat(60)}b`, 'a.a.b'], o)).toEqual(o))).toBeLessThan(5000)
})
