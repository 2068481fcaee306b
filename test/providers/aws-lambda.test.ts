import { expect, test } from 'vitest'
import { error } from './aws/answers.ts'
import { awsRigs } from './aws/rig.ts'
import { anAction, TOKEN } from './open.ts'

const open = awsRigs('aws-lambda', 'lambda', { function_name: 'detector' })
const answering =
  (body: string, headers: { [name: string]: string } = {}) =>
  () => ({ status: 200, headers, body })

test('the payload is the event whatever the action type; the token is in the client context', async () => {
  const { wire } = await open({ qualifier: 'live' })
  for (const action_type of ['invoke', 'reading']) {
    const r = await wire({ action_type })
    expect(r.path).toBe('/2015-03-31/functions/detector/invocations?Qualifier=live')
    expect(JSON.parse(r.body.toString())).toEqual(anAction().payload)
    expect(r.headers['x-amz-invocation-type']).toBe('RequestResponse')
    const context = Buffer.from(String(r.headers['x-amz-client-context']), 'base64').toString()
    expect(JSON.parse(context)).toEqual({ custom: { signalbox_token: TOKEN } })
  }
})

test.each([
  ['{"logged":true,"anomaly":false}', { logged: true, anomaly: false }],
  ['"text"', 'text'],
  ['null', null],
  ['', null],
  ['[1,2]', [1, 2]],
  ['not json', { text: 'not json' }],
])('the body is the function’s own result: %s', async (said, body) => {
  const { send } = await open({}, answering(said))
  expect(await send({})).toEqual(body)
})

test('an asynchronous call has no client context, and no result', async () => {
  const { wire, send } = await open({ invocation_type: 'Event' }, () => ({ status: 202 }))
  const r = await wire({})
  expect(r.headers['x-amz-invocation-type']).toBe('Event')
  expect(r.headers).not.toHaveProperty('x-amz-client-context')
  expect(await send({})).toBeNull()
})

test('PITFALLS 30: FunctionError is a failure though the status is 200, and carries the function’s error', async () => {
  const said = { errorType: 'KeyError', errorMessage: 'value' }
  const { send } = await open({}, answering(JSON.stringify(said), { 'x-amz-function-error': 'Unhandled' }))
  await expect(send({})).rejects.toMatchObject({
    code: 'function_error',
    retryable: false,
    unknown: false,
    response: { status: 200, body: said },
  })
})

test('response = proxy decodes the body; PITFALLS 30: its statusCode of 500 and more fails', async () => {
  const proxy = { response: 'proxy' }
  const said = (o: object) => answering(JSON.stringify(o))
  const { send, server } = await open(proxy, said({ statusCode: 201, body: '{"id":7}' }))
  expect(await send({})).toEqual({ id: 7 })
  server.answer = said({ statusCode: 200, body: 'eyJpZCI6OH0=', isBase64Encoded: true })
  expect(await send({})).toEqual({ id: 8 })
  server.answer = said({ statusCode: 200, body: 'plain' })
  expect(await send({})).toEqual({ text: 'plain' })
  server.answer = said({ statusCode: 503, body: '{"why":"db"}' })
  await expect(send({})).rejects.toMatchObject({
    code: 'server_error',
    retryable: true,
    unknown: true,
    response: { status: 503, body: { why: 'db' } },
  })
  server.answer = said({ logged: true })
  await expect(send({})).rejects.toMatchObject({ code: 'function_error', retryable: false })
})

test('raw leaves a proxy’s shape alone', async () => {
  const { send } = await open({}, answering('{"statusCode":500,"body":"x"}'))
  expect(await send({})).toEqual({ statusCode: 500, body: 'x' })
})

test('throttling may come with 502, and is definite', async () => {
  const { send } = await open({}, () => error('lambda', 502, 'EC2ThrottledException'))
  await expect(send({})).rejects.toMatchObject({ code: 'rate_limited', unknown: false })
})

test('check asks for the function', async () => {
  const { check, server } = await open({}, () => error('lambda', 404, 'ResourceNotFoundException'))
  await expect(check()).rejects.toMatchObject({ code: 'not_found' })
  expect(server.requests[0]).toMatchObject({ method: 'GET', path: '/2015-03-31/functions/detector' })
})
