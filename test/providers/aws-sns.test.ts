import { expect, test } from 'vitest'
import { error, form } from './aws/answers.ts'
import { awsRigs } from './aws/rig.ts'
import { anAction, configErrors, TOKEN } from './open.ts'

const arn = 'arn:aws:sns:us-east-1:000000000000:alerts'
const open = awsRigs('aws-sns', 'sns', { topic_arn: arn })

test('any action: the payload is the message, the token an attribute', async () => {
  const { wire } = await open()
  const request = form(await wire({}))
  expect(request).toMatchObject({
    Action: 'Publish',
    TopicArn: arn,
    Message: JSON.stringify(anAction().payload),
    'MessageAttributes.entry.1.Name': 'signalbox_token',
    'MessageAttributes.entry.1.Value.DataType': 'String',
    'MessageAttributes.entry.1.Value.StringValue': TOKEN,
  })
  expect(request).not.toHaveProperty('MessageGroupId')
  expect(request).not.toHaveProperty('MessageDeduplicationId')
})

test('publish: its keys are read, others ignored, null is absent', async () => {
  const { wire, send } = await open()
  const payload = {
    message: 'hot',
    subject: 'Alert',
    message_attributes: { severity: 'critical', n: 3, raw: { data_type: 'Binary', binary_value: 'AAE=' }, gone: null },
    device_id: 'ignored',
    message_group_id: 'only for FIFO',
  }
  const request = form(await wire({ action_type: 'publish', payload }))
  expect(request).toMatchObject({
    Message: 'hot',
    Subject: 'Alert',
    'MessageAttributes.entry.1.Name': 'severity',
    'MessageAttributes.entry.1.Value.StringValue': 'critical',
    'MessageAttributes.entry.2.Value.DataType': 'Number',
    'MessageAttributes.entry.2.Value.StringValue': '3',
    'MessageAttributes.entry.3.Value.BinaryValue': 'AAE=',
    'MessageAttributes.entry.4.Name': 'signalbox_token',
  })
  expect(request).not.toHaveProperty('MessageGroupId')
  const without = { message: null, device_id: 'd' }
  expect(form(await wire({ action_type: 'publish', payload: without }))['Message']).toBe(JSON.stringify(without))
  expect(await send({})).toEqual({ message_id: 'sns-1', topic_arn: arn })
})

test('keys that look like a verb’s are data under another action type', async () => {
  const { wire } = await open()
  const payload = { message: { deep: true }, subject: 7 }
  expect(form(await wire({ action_type: 'reading', payload }))).toMatchObject({ Message: JSON.stringify(payload) })
})

test('a FIFO topic: the token is the deduplication id, the scope the group', async () => {
  const fifo = `${arn}.fifo`
  const { wire, windowMs } = await open({ topic_arn: fifo })
  const request = form(await wire({}))
  expect(request).toMatchObject({ MessageDeduplicationId: TOKEN, MessageGroupId: 'iot/hq' })
  expect(request).not.toHaveProperty('MessageAttributes.entry.1.Name')
  expect(windowMs({})).toBe(300_000)
  expect(windowMs({ action_type: 'publish', payload: { message_group_id: 'g' } })).toBe(300_000)
})

test('PITFALLS 78: a deduplication id of the payload’s own, and a standard topic, claim no window', async () => {
  const standard = await open()
  expect(standard.windowMs({})).toBe(0)
  const { wire, windowMs } = await open({ topic_arn: `${arn}.fifo` })
  const action = { action_type: 'publish', payload: { message_deduplication_id: 'mine', message_group_id: 'g' } }
  expect(windowMs(action)).toBe(0)
  expect(form(await wire(action))).toMatchObject({
    MessageDeduplicationId: 'mine',
    MessageGroupId: 'g',
    'MessageAttributes.entry.1.Value.StringValue': TOKEN,
  })
})

test('PITFALLS 16: scopes never share a default group by accident', async () => {
  const { wire } = await open({ topic_arn: `${arn}.fifo` })
  const groups = []
  for (const [namespace, tenant] of [
    ['a/b', 'c'],
    ['a', 'b/c'],
    ['a b', 'c'],
    ['ä', 'c'],
    ['x'.repeat(100), 'y'.repeat(100)],
  ] as const)
    groups.push(form(await wire({ namespace, tenant }))['MessageGroupId'])
  expect(new Set(groups).size).toBe(groups.length)
  for (const g of groups) expect(g).toMatch(/^[\w-]{43}$/)
})

test.each([
  ['message', { message: {} }, '/payload/message'],
  ['subject', { subject: 1 }, '/payload/subject'],
  ['a line break', { subject: 'a\nb' }, '/payload/subject'],
  ['attributes', { message_attributes: [] }, '/payload/message_attributes'],
  ['an attribute', { message_attributes: { 'a/b': [] } }, '/payload/message_attributes/a~1b'],
  [
    'base64',
    { message_attributes: { x: { data_type: 'Binary', binary_value: '*' } } },
    '/payload/message_attributes/x/binary_value',
  ],
  ['type', { message_attributes: { x: { binary_value: 'AAE=' } } }, '/payload/message_attributes/x/data_type'],
  ['value', { message_attributes: { x: { data_type: 'Binary' } } }, '/payload/message_attributes/x'],
])('a wrong %s is named', async (_name, payload, pointer) => {
  const { render } = await open()
  expect(() => render({ action_type: 'publish', payload })).toThrow(
    expect.objectContaining({ code: 'invalid_payload', pointer }),
  )
})

test.each([
  ['message', { message: 'half \ud83d' }],
  ['subject', { message: 'm', subject: '\ude00' }],
  ['an attribute', { message: 'm', message_attributes: { '\ud83d': 'x' } }],
])('half of a character in %s is a fault of the payload, and nothing was sent', async (_name, payload) => {
  const { send } = await open()
  await expect(send({ action_type: 'publish', payload })).rejects.toMatchObject({
    code: 'invalid_payload',
    retryable: false,
    unknown: false,
  })
})

test('check asks for the topic’s attributes', async () => {
  const { check, server } = await open({}, () => error('sns', 404, 'NotFound'))
  await expect(check()).rejects.toMatchObject({ code: 'not_found', retryable: false })
  expect(form(server.requests[0]!)).toMatchObject({ Action: 'GetTopicAttributes', TopicArn: arn })
})

test('a missing target, and an unknown key, are configuration errors', () => {
  expect(configErrors('aws-sns', { aws_region: 'x' })[0]).toMatch(/^topic_arn: /)
  expect(configErrors('aws-sns', { aws_region: 'x', topic_arn: arn, topicarn: '' })).toHaveLength(1)
})
