import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/core/json.ts'
import { comparisons } from '../../src/rules/conditions/index.ts'

const compile = (source: string, roots: readonly string[] = ['origin', 'prev', 'steps', 'item', 'index']) =>
  comparisons.expression(source, roots)
function evaluate(source: string, at: { readonly [root: string]: Json | undefined }) {
  const compiled = compile(source)
  if ('refused' in compiled) throw new Error(compiled.refused)
  return compiled.evaluate(at)
}

const ODD = JSON.parse('{"__proto__": 1, "constructor": 2}') as Json

describe('an expression over named roots', () => {
  const at = {
    origin: { payload: { n: 3, list: [1, 2.5, 3], text: 'a1', at: '2026-01-05T12:00:00Z', big: 1e20, odd: ODD } },
    steps: { look: { success: true, body: { total: 7 } } },
    item: { price: 2.5, count: 4 },
    index: 1,
  }
  it.each<[string, Json]>([
    ['origin.payload.n * 2', 6],
    ['origin.payload.n / 2', 1],
    ['item.price * double(item.count)', 10],
    ['index + 1', 2],
    ['steps.look.body.total > 5', true],
    ['origin.payload.list.map(x, x)', [1, 2.5, 3]],
    ['{"a": origin.payload.n, "b": [origin.payload.text]}', { a: 3, b: ['a1'] }],
    ['origin.payload', at.origin.payload],
    ['prev', null],
    ['prev.body.x', null],
    ['origin.payload.nothing', null],
    ['"__proto__" in origin.payload', false],
    ['origin.payload.odd', ODD],
    ['[origin.payload.odd, item].map(x, x.constructor)', [2, null]],
    ['origin.payload.text.matches("^a[0-9]$")', true],
    ['timestamp(origin.payload.at) + duration("90m")', '2026-01-05T13:30:00.000Z'],
    ['duration("90s")', 90],
    ['uint(7)', 7],
    ['origin.payload.list.exists(index, index == 3)', true],
  ])('%s', (source, value) => {
    expect(evaluate(source, at)).toEqual({ value })
  })

  it.each([
    ['origin.payload.nothing + 1', /no such overload/],
    ['9007199254740992 + 1', /no number that JSON holds exactly/],
    ['1.0 / 0.0', /no number that JSON holds exactly/],
    ['type(index)', /nothing that JSON has/],
    ['b"ab"', /nothing that JSON has/],
  ])('%s goes wrong, and that is the answer', (source, why) => {
    expect(evaluate(source, at)).toEqual({ error: expect.stringMatching(why) })
  })

  it.each([
    ['origin.', /^"cel" is not an expression/],
    ['action.payload.x', /^"cel" is not right at character 1: .*action/],
    ['env.HOME', /^"cel" is not right/],
    ['origin.payload.text.matches(origin.payload.text)', /literal pattern/],
    ['1 + "a"', /^"cel" is not right/],
  ])('%s is refused', (source, why) => {
    expect(compile(source)).toEqual({ refused: expect.stringMatching(why) })
  })

  it('says what it gives, where that can be known', () => {
    const gives = (source: string) => {
      const compiled = compile(source)
      return 'refused' in compiled ? compiled : compiled.gives
    }
    expect(gives('index > 1')).toBe('bool')
    expect(gives('"a" + "b"')).toBe('string')
    expect(gives('origin.payload.n')).toBe('dyn')
  })

  it('says where it looks, names of its own left out', () => {
    const reads = (source: string) => {
      const compiled = compile(source)
      return 'refused' in compiled ? compiled : compiled.reads.map((r) => r.join('/'))
    }
    expect(reads('steps.look.body.x > steps["look-again"].body[0].y')).toEqual([
      'steps/look/body/x',
      'steps/look-again/body/0/y',
    ])
    expect(reads('has(steps.a.body) ? origin.payload[prev.body] : [steps.b, 1][0]')).toEqual([
      'steps/a/body',
      'origin/payload',
      'prev/body',
      'steps/b',
    ])
    expect(reads('origin.payload.list.exists(steps, steps.x == item)')).toEqual(['origin/payload/list', 'item'])
    expect(reads('cel.bind(prev, prev.body, prev.x == 1)')).toEqual(['prev/body'])
  })

  it('sees the roots it is given and no others', () => {
    expect(compile('item', ['origin'])).toEqual({ refused: expect.stringMatching(/item/) })
    expect(evaluate('origin.x', { origin: { x: 1 }, secret: 2 })).toEqual({ value: 1 })
  })
})
