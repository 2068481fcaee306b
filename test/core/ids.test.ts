import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import {
  deliveryToken,
  joinParts,
  seededRandom,
  sha256,
  systemRandom,
  uuidv5,
  uuidv7Floor,
  uuidv7Of,
  uuidv7Source,
  uuidv7Time,
} from '../../src/core/ids.ts'

const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const V5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const AT = Date.UTC(2026, 0, 5, 12)
/** A source on a clock the test sets. */
function source(seed = 1) {
  const clock = { now: AT }
  return { clock, next: uuidv7Source(() => clock.now, seededRandom(seed)) }
}
const isAscending = (ids: readonly string[]): boolean => ids.every((id, i) => i === 0 || ids[i - 1]! < id)
const moment = fc.integer({ min: 0, max: 2 ** 48 - 1 })

describe('UUIDv7', () => {
  it('has version, variant and time', () => {
    const { next } = source()
    for (let i = 0; i < 300; i++) {
      const id = next()
      expect(id).toMatch(V7)
      expect(uuidv7Time(id)).toBe(AT)
    }
  })

  it('sorts in the order they were made, more than 4096 in a millisecond included', () => {
    const { clock, next } = source()
    const ids = Array.from({ length: 10_000 }, next)
    clock.now += 1 // the moment the surplus has borrowed from
    ids.push(...Array.from({ length: 5000 }, next))
    clock.now += 10
    ids.push(next())
    expect(isAscending(ids)).toBe(true)
    expect(ids.every((id) => V7.test(id))).toBe(true)
    expect(uuidv7Time(ids[4095]!)).toBe(AT)
    expect(uuidv7Time(ids[4096]!)).toBe(AT + 1)
    expect(uuidv7Time(ids.at(-1)!)).toBe(AT + 11)
  })

  it('keeps its order when the clock steps back, and its time when the clock has caught up', () => {
    const { clock, next } = source()
    const ids = [next()]
    clock.now -= 3_600_000
    for (let i = 0; i < 5000; i++) ids.push(next())
    clock.now = AT + 50
    ids.push(next())
    expect(isAscending(ids)).toBe(true)
    expect(uuidv7Time(ids.at(-1)!)).toBe(AT + 50)
  })

  it('for any steps of the clock: in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -5, max: 5 }), { maxLength: 200 }), (steps) => {
        const { clock, next } = source()
        const made = steps.map((s) => {
          clock.now += s
          return next()
        })
        expect(isAscending(made)).toBe(true)
      }),
    )
  })

  it('a clock with fractions makes no other ids', () => {
    const { clock, next } = source()
    const ids = [0.25, 0.75, 1.5].map((ms) => {
      clock.now = AT + ms
      return next()
    })
    expect(ids.map((id) => [V7.test(id), uuidv7Time(id)])).toEqual([AT, AT, AT + 1].map((ms) => [true, ms]))
    expect(isAscending(ids)).toBe(true)
  })

  it('two processes on one millisecond make none twice', () => {
    const [a, b] = [source(1), source(2)]
    const ids = Array.from({ length: 4000 }, () => [a.next(), b.next()]).flat()
    expect(new Set(ids).size).toBe(8000)
  })

  it('the floor of a moment stands below what is made then, above what was made before', () => {
    expect(uuidv7Floor(AT)).toMatch(V7)
    fc.assert(
      fc.property(moment, moment, (made, asked) => {
        const id = uuidv7Source(() => made, seededRandom(1))()
        expect(id >= uuidv7Floor(asked)).toBe(made >= asked)
        expect(uuidv7Of(made, 'x') >= uuidv7Floor(asked)).toBe(made >= asked)
        expect(uuidv7Time(uuidv7Floor(asked))).toBe(asked)
      }),
    )
    expect(uuidv7Floor(-5)).toBe(uuidv7Floor(0))
    expect(uuidv7Floor(1.9)).toBe(uuidv7Floor(1))
  })

  it('of a moment and a name is the same each time, and another for another', () => {
    const id = uuidv7Of(AT, 'chain', 'run')
    expect(id).toMatch(V7)
    expect(uuidv7Time(id)).toBe(AT)
    expect(uuidv7Of(AT, 'chain', 'run')).toBe(id)
    const others = [uuidv7Of(AT + 1, 'chain', 'run'), uuidv7Of(AT, 'chainrun'), uuidv7Of(AT, 'chain', 'run', '')]
    expect(new Set([id, ...others]).size).toBe(4)
  })
})

describe('PITFALLS 16: parts never run into each other', () => {
  const parts = fc.array(
    fc.string({ unit: fc.constantFrom('a', ':', '1', '/', '%', '\u0000', '\ud800', '\udc00', 'é') }),
    {
      maxLength: 4,
    },
  )
  it('as text, and under every hash', () => {
    expect(joinParts(['a', 'b:c'])).not.toBe(joinParts(['a:b', 'c']))
    const same = (a: readonly string[], b: readonly string[]) => JSON.stringify(a) === JSON.stringify(b)
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        expect(joinParts(a) === joinParts(b)).toBe(same(a, b))
        expect(uuidv5(...a) === uuidv5(...b)).toBe(same(a, b))
        expect(uuidv7Of(AT, ...a) === uuidv7Of(AT, ...b)).toBe(same(a, b))
        expect(sha256(joinParts(a)) === sha256(joinParts(b))).toBe(same(a, b))
      }),
    )
  })

  it('half characters differ, though UTF-8 has them not', () => {
    expect(uuidv5('\ud800')).not.toBe(uuidv5('\ud801'))
    expect(uuidv5('\ud800')).not.toBe(uuidv5('\ufffd'))
    expect(sha256('\ud800')).not.toBe(sha256('\ufffd'))
  })
})

test('UUIDv5 has version and variant, and is that of the SHA-1 of its parts', () => {
  expect(uuidv5('a', 'b')).toMatch(V5)
  expect(uuidv5('a', 'b')).toBe(uuidv5('a', 'b'))
  // sha1('1:a1:b'), version and variant set: stored runs depend on it for ever.
  expect(uuidv5('a', 'b')).toBe('95253b90-414f-54c6-b977-9b57f9eb73d0')
})

test('SHA-256 is base64url without padding', () => {
  expect(sha256('abc')).toBe('ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0')
  expect(sha256(new TextEncoder().encode('abc'))).toBe(sha256('abc'))
})

describe('the delivery token', () => {
  it('is a function of run, step, iteration and nonce, each by itself', () => {
    const all = [
      deliveryToken('run'),
      deliveryToken('run', 'step'),
      deliveryToken('run', 'step', 1),
      deliveryToken('run', 'step', 11),
      deliveryToken('run', 'step1', 1),
      deliveryToken('run', 'step', 1, 'nonce'),
      deliveryToken('run', '', 0, 'step'),
      deliveryToken('runstep'),
    ]
    expect(new Set(all).size).toBe(all.length)
    expect(deliveryToken('run', '', 0, '')).toBe(deliveryToken('run'))
  })

  it('travels in any header or attribute: 43 characters of base64url', () =>
    expect(deliveryToken('run', 'schritt é')).toMatch(/^[A-Za-z0-9_-]{43}$/))
})

describe('chance', () => {
  it('seeded is repeatable, and another for another seed', () => {
    const draw = (seed: number) => {
      const r = seededRandom(seed)
      return JSON.stringify([r.float(), [...r.fill(new Uint8Array(9))], r.float()])
    }
    expect(draw(7)).toBe(draw(7))
    expect(draw(7)).not.toBe(draw(8))
  })

  it.each([
    ['seeded', seededRandom(3)],
    ['of the system', systemRandom()],
  ])('%s: lies in [0, 1), spreads, and fills all it is given', (_, r) => {
    const floats = Array.from({ length: 4000 }, () => r.float())
    expect(floats.every((f) => f >= 0 && f < 1)).toBe(true)
    expect(floats.reduce((a, b) => a + b) / 4000).toBeCloseTo(0.5, 1)
    for (const size of [1, 10, 4095, 4096, 4097, 10_000]) {
      const bytes = new Uint8Array(size)
      expect(r.fill(bytes)).toBe(bytes)
      if (size > 4000) expect(new Set(bytes).size).toBeGreaterThan(200)
    }
  })

  it('of the system repeats nothing across its blocks', () => {
    const r = systemRandom()
    const drawn = Array.from({ length: 3000 }, () => [...r.fill(new Uint8Array(10))].join())
    expect(new Set(drawn).size).toBe(3000)
  })
})
