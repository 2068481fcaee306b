import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  cycleOf,
  type Lineage,
  lineageSigner,
  longer,
  MAX_HOPS,
  newLineage,
  nextHop,
  type Passed,
  passing,
} from '../../src/core/lineage.ts'

const ORIGIN = '019b8d8e-0000-7000-8000-000000000001'
const SECRET = 'a secret that nobody knows'

const name = fc.string({ minLength: 1, maxLength: 40, unit: 'binary' })
const step: fc.Arbitrary<Passed> = fc
  .tuple(fc.constantFrom('rule', 'chain'), name)
  .map(([k, n]) => `${k}:${n}` as Passed)
const lineage: fc.Arbitrary<Lineage> = fc.record({
  origin: fc.uuid(),
  passed: fc.array(step, { maxLength: 12 }),
  hops: fc.nat(MAX_HOPS + 1),
})
const size = (l: Lineage): number => Buffer.byteLength(JSON.stringify(l))

describe('what an action has behind it', () => {
  it('begins with its run, and remembers steps and hops in order', () => {
    const l = nextHop(passing(passing(newLineage(ORIGIN), 'rule:a', 'chain:b'), 'rule:c'))
    expect(l).toEqual({ origin: ORIGIN, passed: ['rule:a', 'chain:b', 'rule:c'], hops: 1 })
  })

  it('is never changed: each step makes a new one', () => {
    fc.assert(
      fc.property(lineage, step, (l, s) => {
        const before = structuredClone(l)
        passing(l, s)
        nextHop(l)
        expect(l).toEqual(before)
      }),
    )
  })

  it('keeps the latest steps of very many', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const l = steps.reduce<Lineage>((so, s) => passing(so, s), newLineage(ORIGIN))
        expect(l.passed).toEqual(steps.slice(-64))
        expect(passing(newLineage(ORIGIN), ...steps)).toEqual(l)
      }),
    )
  })
})

describe('a cycle', () => {
  it('is named from the last time to this one, both ends included', () => {
    const l = passing(newLineage(ORIGIN), 'rule:x', 'rule:a', 'chain:b')
    expect(cycleOf(l, 'rule:a')).toEqual(['rule:a', 'chain:b', 'rule:a'])
    expect(cycleOf(l, 'chain:b')).toEqual(['chain:b', 'chain:b'])
    expect(cycleOf(l, 'rule:b')).toBeUndefined() // a chain of that name is no rule
    expect(cycleOf(passing(l, 'rule:a'), 'rule:a')).toEqual(['rule:a', 'rule:a'])
  })

  it('is there exactly when the step was taken before, and begins and ends with it', () => {
    fc.assert(
      fc.property(lineage, step, (l, s) => {
        const cycle = cycleOf(l, s)
        expect(cycle !== undefined).toBe(l.passed.includes(s))
        if (cycle) expect([cycle[0], cycle.at(-1)]).toEqual([s, s])
        expect(cycleOf(passing(l, s), s)).toEqual([s, s])
      }),
    )
  })
})

describe('of two that meet', () => {
  it('the one with more hops counts, then the one that has passed more', () => {
    const near = passing(newLineage('near'), 'rule:a', 'rule:b')
    const far = nextHop(newLineage('far'))
    expect(longer(near, far)).toBe(far)
    expect(longer(passing(far, 'rule:a'), nextHop(near))).toEqual(nextHop(near))
    expect(longer(undefined, near)).toBe(near)
    expect(longer(near, undefined)).toBe(near)
    expect(longer(undefined, undefined)).toBeUndefined()
    const other = { ...near, origin: 'other' }
    expect(longer(near, other)).toBe(near)
  })

  it('the order of many does not matter to the length that is chosen', () => {
    const of = (all: readonly Lineage[]) => {
      const l = all.reduce<Lineage | undefined>(longer, undefined)
      return l && [l.hops, l.passed.length]
    }
    fc.assert(
      fc.property(fc.array(lineage, { maxLength: 8 }), (all) => {
        expect(of(all)).toEqual(of([...all].reverse()))
      }),
    )
  })
})

describe('signed', () => {
  const signer = lineageSigner(SECRET)

  it('comes back as it was, in a form every header takes', () => {
    fc.assert(
      fc.property(lineage, (l) => {
        const text = signer.sign(l)
        expect(text).toMatch(/^v1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/)
        if (size(l) < 1400) expect(signer.read(text)).toEqual(l)
      }),
    )
  })

  it('the same is signed alike: a request rendered twice has the same bytes', () => {
    fc.assert(
      fc.property(lineage, (l) => {
        expect(signer.sign(structuredClone(l))).toBe(signer.sign(l))
      }),
    )
  })

  it('never outgrows its bound: the oldest steps go, the hops stay', () => {
    const long = fc.string({ minLength: 100, maxLength: 128, unit: 'binary' }).map((n): Passed => `rule:${n}`)
    fc.assert(
      fc.property(fc.array(long, { minLength: 10, maxLength: 64 }), (passed) => {
        const text = signer.sign({ origin: ORIGIN, passed, hops: 7 })
        expect(text.length).toBeLessThanOrEqual(2048)
        const read = signer.read(text)!
        expect(read.hops).toBe(7)
        expect(read.passed.length).toBeLessThan(passed.length)
        expect(read.passed).toEqual(passed.slice(passed.length - read.passed.length))
      }),
    )
  })

  it('a changed character anywhere makes it none', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.='
    fc.assert(
      fc.property(lineage, fc.nat(), fc.nat(alphabet.length - 1), (l, at, n) => {
        const text = signer.sign(l)
        const i = at % text.length
        const changed = text.slice(0, i) + alphabet[n] + text.slice(i + 1)
        fc.pre(changed !== text)
        expect(signer.read(changed)).toBeUndefined()
      }),
    )
  })

  it('any other text is none, and no error', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        expect(signer.read(text)).toBeUndefined()
      }),
    )
    for (const text of ['', 'v1', 'v1..', 'v1.e30', `v2.${signer.sign(newLineage(ORIGIN)).slice(3)}`])
      expect(signer.read(text)).toBeUndefined()
    expect(signer.read('v1.'.padEnd(10_000, 'A'))).toBeUndefined()
  })

  it('a mail may have folded it', () => {
    const text = signer.sign(newLineage(ORIGIN))
    expect(signer.read(text.replace(/.{30}/g, '$&\r\n '))).toEqual(newLineage(ORIGIN))
    expect(signer.read(text + ' '.repeat(5000))).toBeUndefined()
  })

  it('what is signed under another secret is none; under a previous one it still counts', () => {
    const old = lineageSigner('the secret of before')
    const text = old.sign(newLineage(ORIGIN))
    expect(signer.read(text)).toBeUndefined()
    const rotated = lineageSigner(SECRET, ['another', 'the secret of before'])
    expect(rotated.read(text)).toEqual(newLineage(ORIGIN))
    expect(signer.read(rotated.sign(newLineage(ORIGIN)))).toEqual(newLineage(ORIGIN))
  })

  it('rightly signed, but of another shape, is none', () => {
    const forged = (body: string): string => {
      const signed = `v1.${Buffer.from(body).toString('base64url')}`
      return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
    }
    const good = newLineage(ORIGIN)
    expect(signer.read(forged(JSON.stringify(good)))).toEqual(good)
    for (const bad of [
      'null',
      '[]',
      '{',
      '{}',
      { ...good, more: 1 },
      { ...good, origin: '' },
      { ...good, origin: 'x'.repeat(65) },
      { ...good, hops: -1 },
      { ...good, hops: 1.5 },
      { ...good, hops: '1' },
      { ...good, passed: 'rule:a' },
      { ...good, passed: ['a'] },
      { ...good, passed: ['rule:'] },
      { ...good, passed: [1] },
      { ...good, passed: Array.from({ length: 65 }, () => 'rule:a') },
    ])
      expect(signer.read(forged(typeof bad === 'string' ? bad : JSON.stringify(bad)))).toBeUndefined()
  })
})
