import { describe, expect, it } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/json.ts'
import { readAction } from '../../src/dispatch/read-action.ts'

const NOW = Date.UTC(2026, 0, 5, 12)
const read = (body: unknown, at = '') => readAction(body as Json, { newId: () => 'made', now: NOW }, at)
const wrong = (body: unknown, at = ''): Record<string, string> => {
  try {
    read(body, at)
  } catch (e) {
    if (!(e instanceof Problem)) throw e
    expect([e.status, e.code]).toEqual([400, 'invalid_action'])
    return Object.fromEntries(e.errors.map((x) => [x.pointer, x.message]))
  }
  throw new Error('it was read')
}

describe('an action at the door', () => {
  it('gets its defaults', () => {
    expect(read({ action_type: 'a' })).toEqual({
      id: 'made',
      namespace: 'default',
      tenant: 'default',
      action_type: 'a',
      payload: {},
      metadata: {},
      created_at: '2026-01-05T12:00:00.000Z',
    })
  })

  it('null is absent, in known fields and unknown ones', () => {
    const fields = ['id', 'namespace', 'tenant', 'provider', 'payload', 'metadata', 'dedup_key', 'fingerprint']
    const nothing = Object.fromEntries(
      [...fields, 'status', 'starts_at', 'ends_at', 'created_at', 'unheard_of'].map((f) => [f, null]),
    )
    expect(read({ action_type: 'a', ...nothing })).toEqual(read({ action_type: 'a' }))
    expect(wrong({ action_type: null })).toEqual({ '/action_type': 'is required' })
  })

  it('names every field at fault at once', () => {
    expect(
      wrong({
        namespace: '',
        tenant: 5,
        provider: 'a\u0000b',
        id: 'x'.repeat(257),
        payload: [],
        metadata: { a: 1, 'b/c~d': null },
        dedup_key: 'é'.repeat(257),
        starts_at: 'tomorrow',
        surprise: 1,
      }),
    ).toEqual({
      '/action_type': 'is required',
      '/namespace': 'must not be empty',
      '/tenant': 'expected a string',
      '/provider': 'holds a control character',
      '/id': 'longer than 256 characters',
      '/payload': 'expected an object',
      '/metadata/a': 'expected a string',
      '/metadata/b~1c~0d': 'expected a string',
      '/dedup_key': 'longer than 512 bytes',
      '/starts_at': expect.stringContaining('RFC 3339'),
      '/surprise': 'unknown field',
    })
  })

  it('names the first of very many unknown fields, and says how many there are', () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`payloda${i}`, 1]))
    const told = wrong({ action_type: 'a', ...many })
    expect(Object.keys(told)).toHaveLength(101)
    expect(told['']).toBe('and 4900 more unknown fields')
  })
  it('points into a batch', () => {
    expect(wrong({ action_type: 1 }, '/3')).toEqual({ '/3/action_type': 'expected a string' })
    expect(wrong('text', '/4')).toEqual({ '/4': 'expected an object' })
  })

  it.each([[null], [[]], ['a'], [1], [true]])('%j is no action', (body) => {
    expect(wrong(body)).toEqual({ '': 'expected an object' })
  })

  it.each([
    ['action_type', 128],
    ['namespace', 128],
    ['tenant', 128],
    ['provider', 128],
    ['status', 128],
    ['id', 256],
    ['dedup_key', 512],
    ['fingerprint', 512],
  ] as const)('%s may be %i long, and no longer', (field, max) => {
    expect(read({ action_type: 'a', [field]: 'x'.repeat(max) })).toMatchObject({ [field]: 'x'.repeat(max) })
    expect(Object.keys(wrong({ action_type: 'a', [field]: 'x'.repeat(max + 1) }))).toEqual([`/${field}`])
  })

  it.each(['\u0000', '\u001f', '\u007f', '\u0085', '\n', '\ud800', '\udc00x'])('refuses a name with %j', (bad) => {
    for (const field of ['action_type', 'namespace', 'tenant', 'provider', 'id', 'dedup_key', 'fingerprint', 'status'])
      expect(Object.keys(wrong({ action_type: 'a', [field]: `a${bad}` }))).toEqual([`/${field}`])
  })

  it('takes any printable name, as it is', () => {
    for (const tenant of ['a:b', 'a/b', '%', '_', '*', ' ', 'ü', '🏢', '"', "'", '\\', '__proto__', 'constructor'])
      expect(read({ action_type: 'a', tenant }).tenant).toBe(tenant)
  })

  it('__proto__ and friends are plain data', () => {
    const body = JSON.parse(
      '{"action_type":"a","payload":{"__proto__":{"x":1},"constructor":2},"metadata":{"__proto__":"p","toString":"t"}}',
    ) as Json
    const action = read(body)
    expect(JSON.stringify(action.payload)).toBe('{"__proto__":{"x":1},"constructor":2}')
    expect(JSON.stringify(action.metadata)).toBe('{"__proto__":"p","toString":"t"}')
    expect(Object.getPrototypeOf(action.metadata)).toBe(Object.prototype)
    expect(wrong(JSON.parse('{"action_type":"a","__proto__":{"tenant":"x"}}'))).toEqual({
      '/__proto__': 'unknown field',
    })
    expect(read(JSON.parse('{"action_type":"a","payload":{"__proto__":{"tenant":"x"}}}')).tenant).toBe('default')
  })

  it('metadata.labels is flattened', () => {
    expect(read({ action_type: 'a', metadata: { labels: { zone: 'x' } } }).metadata).toEqual({ zone: 'x' })
    expect(read({ action_type: 'a', metadata: { labels: 'x' } }).metadata).toEqual({ labels: 'x' })
    expect(wrong({ action_type: 'a', metadata: { labels: { zone: 1 } } })).toEqual({
      '/metadata/labels/zone': 'expected a string',
    })
    expect(wrong({ action_type: 'a', metadata: 'x' })).toEqual({ '/metadata': 'expected an object of strings' })
  })

  it.each([
    '2026-01-05T12:00:00Z',
    '2026-01-05t12:00:00.123456z',
    '2026-01-05T12:00:00+05:30',
    '2028-02-29T23:59:59-00:00',
  ])('%s is a time', (t) => {
    expect(read({ action_type: 'a', created_at: t, starts_at: t, ends_at: t })).toMatchObject({
      created_at: t,
      starts_at: t,
      ends_at: t,
    })
  })
  it.each([
    '2026-01-05',
    '2026-01-05 12:00:00Z',
    '2026-01-05T12:00:00',
    '2026-02-30T00:00:00Z',
    '2027-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-05T24:00:00Z',
    '2026-01-05T12:00:00+99:00',
    '1767614400',
    'Mon, 05 Jan 2026 12:00:00 GMT',
  ])('%s is none', (t) => {
    expect(Object.keys(wrong({ action_type: 'a', created_at: t }))).toEqual(['/created_at'])
  })
})
