import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { type Lineage, lineageSigner, type Passed } from '../../src/core/lineage.ts'
import { testEnv } from '../fakes/env.ts'
import { form } from './aws/answers.ts'
import { awsRigs } from './aws/rig.ts'
import { type Captured, captureServer } from './capture.ts'
import { mailServer } from './mail/server.ts'
import { anAction, configErrors, never, openProvider, TOKEN } from './open.ts'

/** The lineage as it really arrives at the other side of each provider, read back from there. */

const signer = lineageSigner('a secret of the tests')
const lineage: Lineage = { origin: '019b8d8e-0000-7000-8000-000000000001', passed: ['rule:a', 'chain:b'], hops: 1 }
const signed = signer.sign(lineage)
/** As long as they come. */
const longest = signer.sign({
  ...lineage,
  passed: Array.from({ length: 60 }, (_, i): Passed => `rule:${String(i).padStart(20, 'r')}`),
})
const json = (r: Captured) => JSON.parse(r.body.toString()) as JsonObject
type Attributes = { readonly [name: string]: { readonly StringValue: string } }
const attributes = (n: number): JsonObject => Object.fromEntries(Array.from({ length: n }, (_, i) => [`a${i}`, 'x']))

test('the longest is near the bound that every way out has room for', () => {
  expect(longest.length).toBeGreaterThan(1990)
  expect(longest.length).toBeLessThanOrEqual(2048)
})

describe('webhook', () => {
  const arrived = async (config: JsonObject, text?: string): Promise<Captured> => {
    const server = await captureServer(() => ({ status: 200, body: '{}' }))
    const p = openProvider('webhook', { url: server.url, ...config }, testEnv())
    const request = JSON.parse(
      JSON.stringify(p.render(anAction(), { token: TOKEN, ...(text !== undefined && { lineage: text }) })),
    )
    await p.send(request, { token: TOKEN, signal: never() })
    await p.close()
    await server.stop()
    return server.requests[0]!
  }
  test.each(['POST', 'GET'])('a header of a %s', async (method) => {
    for (const text of [signed, longest]) {
      const { headers } = await arrived({ method }, text)
      expect(headers['signalbox-lineage']).toBe(text)
      expect(headers['idempotency-key']).toBe(TOKEN)
    }
    expect((await arrived({ method })).headers).not.toHaveProperty('signalbox-lineage')
  })
  test('that no configuration can set', () => {
    const config = { url: 'http://localhost:1', headers: { 'Signalbox-Lineage': signed } }
    expect(configErrors('webhook', config)).toEqual(['headers.Signalbox-Lineage: Invalid key in record'])
  })
})

describe('email', () => {
  test('a header, folded where a line would be too long', async () => {
    const server = await mailServer()
    const smtp = { smtp_host: '127.0.0.1', smtp_port: server.port, smtp_tls: 'none' }
    const p = openProvider('email', { from_address: 'a@example.com', to: 'b@example.com', ...smtp }, testEnv())
    for (const text of [signed, longest])
      await p.send(p.render(anAction(), { token: TOKEN, lineage: text }), { token: TOKEN, signal: never() })
    await p.send(p.render(anAction(), { token: TOKEN }), { token: TOKEN, signal: never() })
    await p.close()
    await server.wire.stop()
    const heads = server.received.map((r) => r.raw.slice(0, r.raw.indexOf('\r\n\r\n')))
    for (const line of heads.join('\r\n').split('\r\n')) expect(line.length).toBeLessThanOrEqual(998)
    const headers = heads.map((h) =>
      /^Signalbox-Lineage:(.*(?:\r\n[ \t].*)*)/m.exec(h)?.[1]?.replaceAll('\r\n', '').trim(),
    )
    expect(headers[0]).toBe(signed)
    expect(headers[1]).not.toBe(longest)
    expect(signer.read(headers[1]!)).toEqual(signer.read(longest))
    expect(signer.read(longest)?.hops).toBe(1)
    expect(headers[2]).toBeUndefined()
  })
})

describe('aws-sqs', () => {
  const open = awsRigs('aws-sqs', 'sqs', { queue_url: 'http://localhost:4566/000000000000/metrics' })
  const sent = (r: Captured): Attributes => (json(r)['MessageAttributes'] ?? {}) as unknown as Attributes
  test('an attribute beside the token’s and the payload’s own', async () => {
    const { wire } = await open()
    const payload = { message_body: 'x', message_attributes: { a: 'b' } }
    for (const text of [signed, longest]) {
      const all = sent(await wire({ action_type: 'send_message', payload }, text))
      expect(Object.keys(all)).toEqual(['a', 'signalbox_token', 'signalbox_lineage'])
      expect(all['signalbox_lineage']).toEqual({ DataType: 'String', StringValue: text })
    }
  })
  test('of a FIFO queue too, whose token is the deduplication id', async () => {
    const { wire } = await open({ queue_url: 'http://localhost:4566/000000000000/metrics.fifo' })
    expect(Object.keys(sent(await wire({}, signed)))).toEqual(['signalbox_lineage'])
  })
  test('stays behind where a message has no room for it: never more than ten, the token first', async () => {
    const { wire } = await open()
    const names = async (n: number) =>
      Object.keys(
        sent(await wire({ action_type: 'send_message', payload: { message_attributes: attributes(n) } }, signed)),
      ).slice(n)
    expect(await names(8)).toEqual(['signalbox_token', 'signalbox_lineage'])
    expect(await names(9)).toEqual(['signalbox_token'])
    expect(await names(10)).toEqual([])
  })
  test('stays behind where it would make a message too large', async () => {
    const { render } = await open()
    const carries = (bytes: number): boolean => {
      const payload = {
        message_body: 'x'.repeat(bytes),
        message_attributes: { a: { data_type: 'Binary', binary_value: 'AAE=' } },
      }
      return JSON.stringify(render({ action_type: 'send_message', payload }, signed)).includes(signed)
    }
    const token = 'signalbox_token'.length + 'String'.length + TOKEN.length
    const own = 'a'.length + 'Binary'.length + 2
    const more = 'signalbox_lineage'.length + 'String'.length + signed.length
    for (const limit of [262_144, 1_048_576]) {
      const room = limit - token - own
      expect(carries(room - more)).toBe(true)
      expect(carries(room - more + 1)).toBe(false)
      expect(carries(room)).toBe(false)
      expect(carries(room + 1)).toBe(true) // too large for that one anyway
    }
  })
})

describe('aws-sns', () => {
  const open = awsRigs('aws-sns', 'sns', { topic_arn: 'arn:aws:sns:us-east-1:000000000000:alerts' })
  test('an attribute', async () => {
    const { wire } = await open()
    expect(form(await wire({}, signed))).toMatchObject({
      'MessageAttributes.entry.2.Name': 'signalbox_lineage',
      'MessageAttributes.entry.2.Value.DataType': 'String',
      'MessageAttributes.entry.2.Value.StringValue': signed,
    })
  })
  test('stays behind where a message has no room for it', async () => {
    const { wire } = await open()
    const payload = { message: 'x', message_attributes: attributes(9) }
    const sent = form(await wire({ action_type: 'publish', payload }, signed))
    expect(sent['MessageAttributes.entry.10.Name']).toBe('signalbox_token')
    expect(sent).not.toHaveProperty('MessageAttributes.entry.11.Name')
  })
})

describe('aws-lambda', () => {
  const open = awsRigs('aws-lambda', 'lambda', { function_name: 'detector' })
  test('in the client context, beside the token, within its 3,583 bytes', async () => {
    const { wire } = await open()
    for (const text of [signed, longest]) {
      const header = String((await wire({}, text)).headers['x-amz-client-context'])
      expect(header.length).toBeLessThanOrEqual(3583)
      expect(JSON.parse(Buffer.from(header, 'base64').toString())).toEqual({
        custom: { signalbox_token: TOKEN, signalbox_lineage: text },
      })
    }
  })
  test('an asynchronous call has none, and its event is the payload alone', async () => {
    const { wire } = await open({ invocation_type: 'Event' }, () => ({ status: 202 }))
    const r = await wire({}, signed)
    expect(r.headers).not.toHaveProperty('x-amz-client-context')
    expect(json(r)).toEqual(anAction().payload)
  })
})

describe('aws-eventbridge', () => {
  const open = awsRigs('aws-eventbridge', 'eventbridge', { event_bus_name: 'building-events' })
  const detailOf = (r: Captured) => (json(r)['Entries'] as unknown as { Detail: string }[])[0]!.Detail
  const put = (detail: JsonObject | string) => ({ action_type: 'put_event', payload: { detail } })
  const of = async (detail: JsonObject | string) => detailOf(await (await open()).wire(put(detail), signed))

  test('in the metadata of the detail, beside what is there', async () => {
    const { wire } = await open()
    const payload = anAction().payload
    const metadata = { signalbox_lineage: signed }
    expect(JSON.parse(detailOf(await wire({}, signed)))).toEqual({ ...payload, metadata })
    expect(JSON.parse(await of({ metadata: { zone: 'north' }, n: 1 }))).toEqual({
      metadata: { zone: 'north', ...metadata },
      n: 1,
    })
    expect(JSON.parse(await of({ metadata: { signalbox_lineage: 'old' } }))).toEqual({ metadata })
    expect(JSON.parse(await of({}))).toEqual({ metadata })
  })
  test('the rest of a text stays as it was written', async () => {
    const more = `"metadata":${JSON.stringify({ signalbox_lineage: signed })}}`
    expect(await of('{ "n": 12345678901234567890 }\n')).toBe(`{ "n": 12345678901234567890 ,${more}`)
    expect(await of(' { } ')).toBe(` { ${more}`)
    for (const text of ['{ "metadata": {}, "n": 1 }', '{"metadata":{},"n":12345678901234567890}'])
      expect(await of(text)).toBe(text)
    expect(JSON.parse(await of('{"metadata":{"a":1}}'))).toEqual({ metadata: { a: 1, signalbox_lineage: signed } })
  })
  test.each([[null], ['north'], [5], [['a']], [true]])('a metadata that is %j is left alone', async (metadata) => {
    expect(JSON.parse(await of({ metadata, n: 1 }))).toEqual({ metadata, n: 1 })
  })
  test('keys of the language stay data', async () => {
    const detail = JSON.parse('{"__proto__":{"a":1},"metadata":{"__proto__":{"b":2}}}') as JsonObject
    const sent = JSON.parse(await of(detail)) as JsonObject
    expect(Object.keys(sent)).toEqual(['__proto__', 'metadata'])
    expect(Object.keys(sent['metadata'] as JsonObject)).toEqual(['__proto__', 'signalbox_lineage'])
  })
  test('stays behind where it would make an event too large', async () => {
    const { render } = await open()
    const detail = (bytes: number) => ({ x: 'x'.repeat(bytes - '{"x":""}'.length) })
    const own = 'signalbox.iot'.length + 'put_event'.length + TOKEN.length
    const carries = (bytes: number) => JSON.stringify(render(put(detail(bytes)), signed)).includes(signed)
    expect(carries(262_144 - own)).toBe(false)
    expect(carries(262_144 - own + 1)).toBe(true)
    expect(carries(262_144 - own - 1000)).toBe(true)
  })
})

describe('aws-s3', () => {
  const open = awsRigs('aws-s3', 's3', { bucket_name: 'archive' })
  const put = (metadata: JsonObject) => ({ action_type: 'put_object', payload: { key: 'k', body: '', metadata } })
  test('in the object’s metadata', async () => {
    const { wire } = await open()
    const { headers } = await wire(put({ zone: 'north' }), signed)
    expect(headers).toMatchObject({
      'x-amz-meta-zone': 'north',
      'x-amz-meta-signalbox-token': TOKEN,
      'x-amz-meta-signalbox-lineage': signed,
    })
  })
  test('stays behind where its two kilobytes are full', async () => {
    const { wire } = await open()
    const carries = async (bytes: number) =>
      'x-amz-meta-signalbox-lineage' in (await wire(put({ a: 'x'.repeat(bytes) }), signed)).headers
    const room = 2048 - 'a'.length - 'signalbox-token'.length - TOKEN.length
    const more = 'signalbox-lineage'.length + signed.length
    expect(await carries(room - more)).toBe(true)
    expect(await carries(room - more + 1)).toBe(false)
  })
  test('reading and deleting carry none', async () => {
    const { render } = await open()
    for (const action_type of ['get_object', 'delete_object'])
      expect(JSON.stringify(render({ action_type, payload: { key: 'k' } }, signed))).not.toContain('lineage')
  })
})
