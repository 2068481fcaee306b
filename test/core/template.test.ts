import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import type { Json } from '../../src/core/json.ts'
import { compileTemplate, TextTooLong, type Variables } from '../../src/core/template.ts'
import { cpuMs } from '../fakes/cpu.ts'

const variables: Variables = {
  origin: {
    payload: { n: 1, zero: 0, no: false, nil: null, empty: '', text: 'hi', list: [1, { a: 'b' }], o: { k: [1] } },
  },
  prev: JSON.parse('{"body":{"__proto__":{"polluted":"own"},"constructor":"mine","a b":"space","0":"zero"}}') as Json,
  step_result: 'done',
  gone: undefined,
}
function rendered(source: Json, v: Variables = variables): { value: Json; missing: string[] } {
  const missing: string[] = []
  return { value: compileTemplate(source).render(v, missing), missing }
}

describe('a string that is one reference keeps the JSON type', () => {
  test.each<[string, Json]>([
    ['{{origin.payload.n}}', 1],
    ['{{origin.payload.zero}}', 0],
    ['{{origin.payload.no}}', false],
    ['{{origin.payload.nil}}', null],
    ['{{origin.payload.empty}}', ''],
    ['{{origin.payload.list}}', [1, { a: 'b' }]],
    ['{{origin.payload.o}}', { k: [1] }],
    ['{{origin.payload.list.1.a}}', 'b'],
    ['{{  origin.payload.n\t\n}}', 1],
    ['{{step_result}}', 'done'],
    ['{{prev.body.a b}}', 'space'],
    ['{{prev.body.0}}', 'zero'],
  ])('%s', (source, value) => expect(rendered(source)).toEqual({ value, missing: [] }))
})

test('metadata is flat: dots below it are of its key, and of that of an action it belongs to', () => {
  const metadata = { 'app.io/name': 'gw', zone: 'n' }
  const v = {
    metadata,
    action: { metadata },
    origin: { metadata },
    payload: { metadata: { app: { 'io/name': 'deep' } } },
  }
  for (const at of ['metadata', 'action.metadata', 'origin.metadata']) {
    expect(rendered(`{{${at}.app.io/name}}`, v)).toEqual({ value: 'gw', missing: [] })
    expect(rendered(`{{${at}.zone}}`, v)).toEqual({ value: 'n', missing: [] })
    expect(rendered(`{{${at}}}`, v)).toEqual({ value: metadata, missing: [] })
    expect(rendered(`{{${at}.zone.x}}`, v)).toEqual({ value: null, missing: [`${at}.zone.x`] })
  }
  expect(rendered('{{payload.metadata.app.io/name}}', v)).toEqual({ value: 'deep', missing: [] })
})

describe('anything around a reference makes text', () => {
  test.each<[string, string]>([
    [' {{origin.payload.n}}', ' 1'],
    ['{{origin.payload.n}}{{origin.payload.no}}', '1false'],
    ['<{{origin.payload.text}}>', '<hi>'],
    ['<{{origin.payload.nil}}>', '<>'],
    ['<{{origin.payload.list}}>', '<[1,{"a":"b"}]>'],
    ['<{{origin.payload.o}}>', '<{"k":[1]}>'],
  ])('%s', (source, value) => expect(rendered(source)).toEqual({ value, missing: [] }))
})

describe('a path that is not there', () => {
  test.each<[string, Json, string]>([
    ['{{origin.payload.none}}', null, 'origin.payload.none'],
    ['<{{ origin.payload.none }}>', '<>', 'origin.payload.none'],
    ['{{nowhere.a}}', null, 'nowhere.a'],
    ['{{gone}}', null, 'gone'],
    ['{{origin.payload.list.2}}', null, 'origin.payload.list.2'],
    ['{{origin.payload.list.01}}', null, 'origin.payload.list.01'],
    ['{{origin.payload.list.-1}}', null, 'origin.payload.list.-1'],
    ['{{origin.payload.list.length}}', null, 'origin.payload.list.length'],
    ['{{origin.payload.list.99999999999999999999}}', null, 'origin.payload.list.99999999999999999999'],
    ['{{origin.payload.text.length}}', null, 'origin.payload.text.length'],
    ['{{origin.payload.text.0}}', null, 'origin.payload.text.0'],
    ['{{origin..payload}}', null, 'origin..payload'],
    ['{{}}', null, ''],
    ['{{   }}', null, ''],
  ])('%s is null as a whole value, empty in text, and listed', (source, value, name) =>
    expect(rendered(source)).toEqual({ value, missing: [name] }),
  )

  it('is listed as often as it is asked for; without a list nobody minds', () => {
    expect(rendered(['{{a.b}}', { k: 'x {{a.b}} {{c}}' }])).toEqual({
      value: [null, { k: 'x  ' }],
      missing: ['a.b', 'a.b', 'c'],
    })
    expect(compileTemplate('{{a.b}}').render(variables)).toBeNull()
  })

  it('a null that is there is not missing', () => expect(rendered('{{origin.payload.nil}}').missing).toEqual([]))
})

describe('braces that make no reference stay as they are', () => {
  test.each(['{{', '}}', '{{a', '{a}', '{{a}', '{{a{b}}', '{{a}b}}', '{ {a} }', '', '{{{', '${NAME}'])(
    '%s',
    (source) => {
      expect(rendered(source)).toEqual({ value: source, missing: [] })
      expect(compileTemplate(source).references).toEqual([])
    },
  )

  test.each([
    ['{{{step_result}}}', '{done}'],
    ['{{a {{step_result}} b}}', '{{a done b}}'],
    ['{{step_result}}}}', 'done}}'],
    ['{{{{step_result}}', '{{done'],
  ])('%s holds one', (source, value) => expect(rendered(source).value).toBe(value))
})

describe('PITFALLS 40: one pass', () => {
  const evil = { prev: { body: { x: '{{secret}}', open: '{{', name: 'secret', close: '}}' } }, secret: 'leaked' }

  it('text from data is never expanded again', () => {
    expect(rendered('{{prev.body.x}}', evil).value).toBe('{{secret}}')
    expect(rendered('a {{prev.body.x}} b', evil).value).toBe('a {{secret}} b')
    expect(rendered('{{prev.body}}', evil).value).toEqual(evil.prev.body)
  })

  it('nor do pieces of data join to a reference', () =>
    expect(rendered('{{prev.body.open}}{{prev.body.name}}{{prev.body.close}}', evil).value).toBe('{{secret}}'))

  it('for any data: what is rendered is what was in the data', () => {
    fc.assert(
      fc.property(fc.jsonValue({ depthSize: 'small' }), (data) => {
        const d = JSON.parse(JSON.stringify(data)) as Json
        expect(compileTemplate('{{x}}').render({ x: d })).toEqual(d)
        expect(compileTemplate('[{{x}}]').render({ x: d })).toBe(
          `[${d === null ? '' : typeof d === 'string' ? d : JSON.stringify(d)}]`,
        )
      }),
    )
  })
})

describe('keys that are properties of every object', () => {
  it('are read only where the data has them', () => {
    expect(rendered('{{prev.body.constructor}}').value).toBe('mine')
    expect(rendered('{{prev.body.__proto__.polluted}}').value).toBe('own')
    for (const path of ['constructor', '__proto__', 'toString', 'origin.constructor', 'origin.__proto__.toString'])
      expect(rendered(`{{${path}}}`)).toEqual({ value: null, missing: [path] })
  })

  it('are written as plain data', () => {
    const source = JSON.parse('{"__proto__": {"x": "{{origin.payload.n}}"}, "constructor": "c"}') as Json
    const { value } = rendered(source)
    expect(JSON.stringify(value)).toBe('{"__proto__":{"x":1},"constructor":"c"}')
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  })
})

it('leaves what is no string, and keys, alone', () => {
  const source = { '{{step_result}}': 1, a: [null, true, 2.5, { b: {} }] }
  expect(rendered(source)).toEqual({ value: source, missing: [] })
})

it('lists its references in order, with their paths', () => {
  expect(compileTemplate({ a: '{{ x.y }} {{z}}', b: ['{{x.0}}'] }).references).toEqual([
    { text: 'x.y', path: ['x', 'y'] },
    { text: 'z', path: ['z'] },
    { text: 'x.0', path: ['x', '0'] },
  ])
})

it('compiled once, it renders each time anew', () => {
  const t = compileTemplate({ a: ['{{x}}'] })
  const first = t.render({ x: 1 })
  expect(t.render({ x: 2 })).toEqual({ a: [2] })
  expect(first).toEqual({ a: [1] })
})

// Each of these took minutes or hours under a pattern that backtracks; the suite's time limit is the test.
test.each([
  ['an open reference and white space', `{{${' '.repeat(500_000)}x`],
  ['white space before half an end', `{{${' '.repeat(250_000)}x${' '.repeat(250_000)}}`],
  ['open references without end', '{{ x '.repeat(100_000)],
  ['nothing but braces', '{'.repeat(500_000)],
  ['closed again and again', '{{x}'.repeat(100_000)],
])('huge input takes linear time: %s', (_, source) => {
  expect(cpuMs(() => expect(rendered(source)).toEqual({ value: source, missing: [] }))).toBeLessThan(5000)
})

test('a hundred thousand references', () => {
  let told: unknown
  expect(cpuMs(() => (told = rendered('{{a}}-'.repeat(100_000), { a: 'x' }).value))).toBeLessThan(5000)
  expect(told).toBe('x-'.repeat(100_000))
})

test('a few references to a long text do not fill the memory; handed on whole they cost nothing', () => {
  const long = 'x'.repeat(1_000_000)
  const v: Variables = { prev: long }
  expect(() => rendered('{{prev}}'.repeat(70), v)).toThrow(TextTooLong)
  expect(() => rendered(Array<string>(70).fill('a{{prev}}'), v)).toThrow(TextTooLong)
  expect(rendered('{{prev}}'.repeat(60), v).value).toHaveLength(60_000_000)
  expect(rendered(Array<string>(1000).fill('{{prev}}'), v).value).toHaveLength(1000)
})
