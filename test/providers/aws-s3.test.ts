import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { error } from './aws/answers.ts'
import { awsRigs } from './aws/rig.ts'
import { TOKEN } from './open.ts'

const open = awsRigs('aws-s3', 's3', { bucket_name: 'archive', object_prefix: 'raw/' })
const put = (payload: JsonObject) => ({ action_type: 'put_object', payload })

test('put_object: objects are serialised, the path has bucket and prefix, the token is metadata', async () => {
  const { wire, send } = await open()
  const r = await wire(put({ key: 'd-1/x.json', body: { total: 3 }, metadata: { source: 'pipeline', Floor: 3 } }))
  expect(r).toMatchObject({ method: 'PUT' })
  expect(r.path).toMatch(/^\/archive\/raw\/d-1\/x\.json(\?x-id=PutObject)?$/)
  expect(r.body.toString()).toBe('{"total":3}')
  expect(r.headers).toMatchObject({
    'content-type': 'application/json',
    'x-amz-meta-source': 'pipeline',
    'x-amz-meta-floor': '3',
    'x-amz-meta-signalbox-token': TOKEN,
  })
  expect(await send(put({ key: 'k', body: '' }))).toEqual({ bucket: 'archive', key: 'raw/k', etag: '"abc"' })
})

test.each([
  [{ body: 'text' }, 'text', 'text/plain; charset=utf-8'],
  [{ body: '{"a":1}', content_type: 'application/json' }, '{"a":1}', 'application/json'],
  [{ body_base64: 'AAH/' }, '\x00\x01\xff', 'application/octet-stream'],
  [{ body: [1, null] }, '[1,null]', 'application/json'],
])('put_object %j', async (payload, body, type) => {
  const { wire } = await open()
  const r = await wire(put({ key: 'k', ...payload }))
  expect(r.body.toString('latin1')).toBe(body)
  expect(r.headers['content-type']).toBe(type)
})

test('metadata beyond ASCII is encoded, control characters are refused', async () => {
  const { wire, render } = await open()
  const r = await wire(put({ key: 'k', body: '', metadata: { room: 'Küche', gone: null } }))
  expect(r.headers['x-amz-meta-room']).toBe(`=?UTF-8?B?${Buffer.from('Küche').toString('base64')}?=`)
  expect(r.headers).not.toHaveProperty('x-amz-meta-gone')
  expect(() => render(put({ key: 'k', body: '', metadata: { a: 'x\r\ny' } }))).toThrow(
    expect.objectContaining({ pointer: '/payload/metadata/a' }),
  )
})

test('get_object gives data where the type says so, text, or base64', async () => {
  const get = { action_type: 'get_object', payload: { key: 'k' } }
  const { send, server } = await open()
  const of = (type: string, body: string | Buffer) => () => ({
    status: 200,
    headers: { 'content-type': type, etag: '"e"' },
    body,
  })
  const at = { bucket: 'archive', key: 'raw/k', etag: '"e"' }
  server.answer = of('application/json', '{"a":1}')
  expect(await send(get)).toEqual({ ...at, content_type: 'application/json', body: { a: 1 } })
  server.answer = of('text/csv', 'a,b')
  expect(await send(get)).toEqual({ ...at, content_type: 'text/csv', body: 'a,b' })
  server.answer = of('image/png', Buffer.from([0xff, 0xd8]))
  expect(await send(get)).toEqual({ ...at, content_type: 'image/png', body_base64: '/9g=' })
  server.answer = of('text/plain', Buffer.alloc(1_048_577, 'x'))
  await expect(send(get)).rejects.toMatchObject({ code: 'response_too_large', retryable: false })
  server.answer = () => error('s3', 404, 'NoSuchKey')
  await expect(send(get)).rejects.toMatchObject({ code: 'not_found', retryable: false })
})

test('delete_object', async () => {
  const { wire, send } = await open({}, () => ({ status: 204 }))
  const action = { action_type: 'delete_object', payload: { key: 'k' } }
  expect(await wire(action)).toMatchObject({ method: 'DELETE' })
  expect(await send(action)).toEqual({ bucket: 'archive', key: 'raw/k', deleted: true })
})

test('another verb is an unknown operation, permanently', async () => {
  const { render } = await open()
  expect(() => render({ action_type: 'sensor_reading' })).toThrow(
    expect.objectContaining({ code: 'unknown_operation', retryable: false, unknown: false }),
  )
})

test.each([
  [{ body: 'x' }, '/payload/key'],
  [{ key: '', body: 'x' }, '/payload/key'],
  [{ key: 5, body: 'x' }, '/payload/key'],
  [{ key: 'half \ud83d', body: 'x' }, '/payload/key'],
  [{ key: '../../other-bucket/x', body: 'x' }, '/payload/key'],
  [{ key: 'a/./b', body: 'x' }, '/payload/key'],
  [{ key: 'a/..', body: 'x' }, '/payload/key'],
  [{ key: 'k' }, '/payload/body'],
  [{ key: 'k', body: 'x', body_base64: 'eA==' }, '/payload/body_base64'],
  [{ key: 'k', body_base64: 'not base64' }, '/payload/body_base64'],
  [{ key: 'k', body: 'x', content_type: 'a\nb' }, '/payload/content_type'],
  [{ key: 'k', body: 'x', content_type: 'text/→' }, '/payload/content_type'],
  [{ key: 'k', body: 'x', content_type: 'text/\x07' }, '/payload/content_type'],
  [{ key: 'k', body: 'x', metadata: 'm' }, '/payload/metadata'],
  [{ key: 'k', body: 'x', metadata: { a: {} } }, '/payload/metadata/a'],
  [{ key: 'k', body: 'x', metadata: { 'a b': 'c' } }, '/payload/metadata/a b'],
])('wrong: %j', async (payload, pointer) => {
  const { render } = await open()
  expect(() => render(put(payload))).toThrow(expect.objectContaining({ code: 'invalid_payload', pointer }))
})

test('dots that are part of a name are a key like another', async () => {
  const { render } = await open()
  for (const key of ['.hidden', 'a..b/...', 'v1.2/.x.', '%2e%2e/x', '\\..\\x'])
    expect(render(put({ key, body: 'x' }))).toMatchObject({ input: { Key: `raw/${key}` } })
})

test('check asks for the bucket', async () => {
  const { check, server } = await open({}, () => ({ status: 404 }))
  await expect(check()).rejects.toMatchObject({ code: 'not_found' })
  expect(server.requests[0]).toMatchObject({ method: 'HEAD', path: '/archive/' })
})
