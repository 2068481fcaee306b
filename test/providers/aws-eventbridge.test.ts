import { expect, test } from 'vitest'
import { error, json } from './aws/answers.ts'
import { awsRigs } from './aws/rig.ts'
import type { Captured } from './capture.ts'
import { anAction, TOKEN } from './open.ts'

const open = awsRigs('aws-eventbridge', 'eventbridge', { event_bus_name: 'building-events' })
const entryOf = (r: Captured) => (JSON.parse(r.body.toString()) as { Entries: object[] }).Entries[0]

test('any action: source and type from the action, the payload as detail, the token as resource', async () => {
  const { wire, send } = await open()
  const r = await wire({ action_type: 'device_lifecycle' })
  expect(r.headers['x-amz-target']).toBe('AWSEvents.PutEvents')
  expect(entryOf(r)).toEqual({
    EventBusName: 'building-events',
    Source: 'signalbox.iot',
    DetailType: 'device_lifecycle',
    Detail: JSON.stringify(anAction().payload),
    Resources: [TOKEN],
  })
  expect(await send({})).toEqual({ event_id: 'eb-1', event_bus: 'building-events' })
})

test('configured source and type come before the action’s, the verb’s keys before both', async () => {
  const { wire } = await open({ source: 'building', detail_type: 'Reading' })
  expect(entryOf(await wire({}))).toMatchObject({ Source: 'building', DetailType: 'Reading' })
  const payload = { source: 'acteon.iot', detail_type: 'CriticalAlert', detail: { a: 1 } }
  expect(entryOf(await wire({ action_type: 'put_event', payload }))).toMatchObject({
    Source: 'acteon.iot',
    DetailType: 'CriticalAlert',
    Detail: '{"a":1}',
  })
  expect(entryOf(await wire({ action_type: 'other', payload }))).toMatchObject({
    Source: 'building',
    Detail: JSON.stringify(payload),
  })
})

test('detail may be the JSON text of an object, and goes out as it is', async () => {
  const { wire } = await open()
  const detail = '{ "a": 1 }'
  expect(entryOf(await wire({ action_type: 'put_event', payload: { detail } }))).toMatchObject({ Detail: detail })
})

test.each([['[1]'], ['text'], [5], [true]])('detail cannot be %j', async (detail) => {
  const { render } = await open()
  expect(() => render({ action_type: 'put_event', payload: { detail } })).toThrow(
    expect.objectContaining({ code: 'invalid_payload', pointer: '/payload/detail' }),
  )
})

test.each([
  ['ThrottlingException', { code: 'rate_limited', retryable: true }],
  ['InternalFailure', { code: 'unavailable', retryable: true }],
  ['NotAuthorizedForSource', { code: 'rejected', retryable: false }],
  ['MalformedDetail', { code: 'rejected', retryable: false }],
])('PITFALLS 30: an entry refused with 200 is a failure: %s', async (ErrorCode, expected) => {
  const entry = { ErrorCode, ErrorMessage: 'no' }
  const { send } = await open({}, () => json(200, { FailedEntryCount: 1, Entries: [entry] }, '1.1'))
  await expect(send({})).rejects.toMatchObject({
    ...expected,
    unknown: false,
    response: { body: { error: ErrorCode, message: 'no' } },
  })
})

test('a failed call of the bus itself is unknown', async () => {
  const { send } = await open({}, () => error('eventbridge', 500, 'InternalException'))
  await expect(send({})).rejects.toMatchObject({ code: 'server_error', retryable: true, unknown: true })
})

test('check describes the bus', async () => {
  const { check, server } = await open({}, () => error('eventbridge', 400, 'ResourceNotFoundException'))
  await expect(check()).rejects.toMatchObject({ code: 'not_found' })
  expect(server.requests[0]!.headers['x-amz-target']).toBe('AWSEvents.DescribeEventBus')
})
