import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/json.ts'
import { error } from './aws/answers.ts'
import { awsRigs } from './aws/rig.ts'
import type { Captured } from './capture.ts'
import { anAction, TOKEN } from './open.ts'

const url = 'http://localhost:4566/000000000000/metrics'
const open = awsRigs('aws-sqs', 'sqs', { queue_url: url })
const bodyOf = (r: Captured) => JSON.parse(r.body.toString()) as { readonly [key: string]: unknown }

test('any action: the payload is the body, the token an attribute', async () => {
  const { wire, send } = await open()
  const r = await wire({})
  expect(r.headers['x-amz-target']).toBe('AmazonSQS.SendMessage')
  expect(bodyOf(r)).toEqual({
    QueueUrl: url,
    MessageBody: JSON.stringify(anAction().payload),
    MessageAttributes: { signalbox_token: { DataType: 'String', StringValue: TOKEN } },
  })
  expect(await send({})).toEqual({ message_id: 'sqs-1', queue_url: url })
})

test('send_message: body, delay, group, attributes', async () => {
  const { wire } = await open()
  const payload = {
    message_body: 'hello',
    delay_seconds: 15,
    message_group_id: 'fair',
    message_attributes: { a: 'b', on: true },
  }
  expect(bodyOf(await wire({ action_type: 'send_message', payload }))).toEqual({
    QueueUrl: url,
    MessageBody: 'hello',
    DelaySeconds: 15,
    MessageGroupId: 'fair',
    MessageAttributes: {
      a: { DataType: 'String', StringValue: 'b' },
      on: { DataType: 'String', StringValue: 'true' },
      signalbox_token: { DataType: 'String', StringValue: TOKEN },
    },
  })
})

test('an attribute may be called __proto__', async () => {
  const { wire } = await open()
  const payload = JSON.parse('{"message_attributes": {"__proto__": "a", "b": "c"}}') as JsonObject
  const sent = bodyOf(await wire({ action_type: 'send_message', payload }))
  expect(Object.keys(sent['MessageAttributes'] as object)).toEqual(['__proto__', 'b', 'signalbox_token'])
})

test('a message with all ten attributes of its own goes without the token’s', async () => {
  const { wire } = await open()
  const ten = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`a${i}`, 'x']))
  const sent = bodyOf(await wire({ action_type: 'send_message', payload: { message_attributes: ten } }))
  expect(Object.keys(sent['MessageAttributes'] as object)).toEqual(Object.keys(ten))
})

test('a FIFO queue deduplicates by the token for five minutes; PITFALLS 78: not by the payload’s own id', async () => {
  const { wire, windowMs, render } = await open({ queue_url: `${url}.fifo` })
  const sent = bodyOf(await wire({}))
  expect(sent).toMatchObject({ MessageDeduplicationId: TOKEN, MessageGroupId: 'iot/hq' })
  expect(sent).not.toHaveProperty('MessageAttributes')
  expect(windowMs({})).toBe(300_000)
  expect(windowMs({ action_type: 'send_message', payload: { message_deduplication_id: 'm' } })).toBe(0)
  expect(() => render({ action_type: 'send_message', payload: { delay_seconds: 1 } })).toThrow(
    expect.objectContaining({ pointer: '/payload/delay_seconds' }),
  )
})

test.each([
  [{ message_body: { a: 1 } }, '/payload/message_body'],
  [{ delay_seconds: '5' }, '/payload/delay_seconds'],
  [{ delay_seconds: 901 }, '/payload/delay_seconds'],
  [{ delay_seconds: 1.5 }, '/payload/delay_seconds'],
])('wrong: %j', async (payload, pointer) => {
  const { render } = await open()
  expect(() => render({ action_type: 'send_message', payload })).toThrow(
    expect.objectContaining({ code: 'invalid_payload', pointer, retryable: false }),
  )
})

test('PITFALLS 31: throttling is told by its typed name, with a status that alone would be permanent', async () => {
  for (const name of ['ThrottlingException', 'RequestThrottled', 'KmsThrottled', 'OverLimit']) {
    const { send } = await open({}, () => error('sqs', 400, name))
    await expect(send({})).rejects.toMatchObject({ code: 'rate_limited', retryable: true, unknown: false })
  }
  const { send } = await open({}, () => ({
    ...error('sqs', 400, 'InvalidParameterValue'),
    body: JSON.stringify({ __type: 'x#InvalidParameterValue', message: 'ThrottlingException: Rate exceeded' }),
  }))
  await expect(send({})).rejects.toMatchObject({ code: 'rejected', retryable: false })
})

test('the service’s own words and Retry-After come with the error', async () => {
  const { send } = await open({}, () => {
    const r = error('sqs', 503, 'ServiceUnavailable')
    return { ...r, headers: { ...r.headers, 'retry-after': '7' } }
  })
  await expect(send({})).rejects.toMatchObject({
    code: 'unavailable',
    unknown: false,
    retryAfterMs: 7000,
    response: { status: 503, body: { error: 'ServiceUnavailable', message: 'said in words' } },
  })
})

test('an answer that is not the protocol’s is unknown: the message may be in the queue', async () => {
  const html = { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>hello</html>' }
  const { send, server } = await open({}, () => html)
  await expect(send({})).rejects.toMatchObject({ code: 'bad_response', retryable: true, unknown: true })
  server.answer = () => ({ ...html, status: 502 })
  await expect(send({})).rejects.toMatchObject({ code: 'server_error', retryable: true, unknown: true })
})

test('one attempt is one request: retries are delivery’s', async () => {
  const { send, server } = await open({}, () => error('sqs', 503, 'ServiceUnavailable'))
  await expect(send({})).rejects.toMatchObject({ code: 'unavailable' })
  expect(server.requests).toHaveLength(1)
})

test('check asks for the queue’s attributes', async () => {
  const { check, server } = await open({}, () => error('sqs', 400, 'QueueDoesNotExist'))
  await expect(check()).rejects.toMatchObject({ code: 'not_found' })
  expect(server.requests[0]!.headers['x-amz-target']).toBe('AmazonSQS.GetQueueAttributes')
})
