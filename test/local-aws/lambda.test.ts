import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateAliasCommand,
  CreateFunctionCommand,
  DeleteFunctionCommand,
  GetFunctionCommand,
  InvokeCommand,
  LambdaClient,
  ListEventSourceMappingsCommand,
  ListFunctionsCommand,
  PublishVersionCommand,
  type Runtime,
  UpdateFunctionCodeCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionActiveV2,
} from '@aws-sdk/client-lambda'
import { CreateTopicCommand, PublishCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns'
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Invocation } from '../../scripts/local-aws/lambda/invocations.ts'
import { SOON } from '../fakes/soon.ts'
import { client, url, useLocalAws, zip } from './setup.ts'

useLocalAws()
let lambda: LambdaClient
beforeAll(() => {
  lambda = new LambdaClient(client())
})

const Role = 'arn:aws:iam::000000000000:role/lambda'
const nodeZip = (source: string) => zip({ 'index.js': source })
const create = (FunctionName: string, ZipFile: Buffer, more: { Runtime?: Runtime; Timeout?: number } = {}) => {
  const python = more.Runtime?.startsWith('python')
  const Handler = python ? 'main.handler' : 'index.handler'
  return lambda.send(
    new CreateFunctionCommand({ FunctionName, Role, Runtime: 'nodejs22.x', Handler, Code: { ZipFile }, ...more }),
  )
}
const invoke = async (FunctionName: string, payload: unknown = {}, more: Partial<InvokeCommand['input']> = {}) => {
  const input = { FunctionName, Payload: JSON.stringify(payload), ...more }
  const answer = await lambda.send(new InvokeCommand(input))
  const text = answer.Payload?.transformToString() ?? ''
  return { ...answer, result: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>) }
}
const seen = async (name: string): Promise<Invocation[]> => {
  const answer = await fetch(`${url()}/_local/lambda/invocations?function=${name}`)
  return ((await answer.json()) as { invocations: Invocation[] }).invocations
}
const clientContext = Buffer.from('{"custom":{"token":"t1"}}').toString('base64')

const COUNTING = `
let calls = 0
exports.handler = async (event, context) => {
  console.log('called with', event)
  if (event.boom) throw new TypeError('boom')
  if (event.exit) process.exit(3)
  if (event.sleep) await new Promise((done) => setTimeout(done, event.sleep))
  return { calls: ++calls, event, token: context.clientContext?.custom?.token, arn: context.invokedFunctionArn, flag: process.env.FLAG }
}`
const HELD = `
const { existsSync, writeFileSync } = require('node:fs')
exports.handler = async ({ began, go }) => {
  writeFileSync(began, '')
  while (!existsSync(go)) await new Promise((done) => setTimeout(done, 10))
  return 'old'
}`
const PYTHON = `
import os
calls = 0
def handler(event, context):
    global calls
    print("called with", event)
    if event.get("boom"):
        raise ValueError("boom")
    if event.get("exit"):
        os._exit(3)
    if event.get("bad"):
        return {1, 2}
    calls += 1
    token = context.client_context.custom["token"] if context.client_context else None
    return {"calls": calls, "event": event, "token": token, "text": "\\u00fc", "left": context.get_remaining_time_in_millis() > 0}
`

describe('a Node function', () => {
  beforeAll(async () => {
    await create('counting', nodeZip(COUNTING))
  })

  it('is active at once and answers its own result, warm', async () => {
    await waitUntilFunctionActiveV2({ client: lambda, maxWaitTime: 5 }, { FunctionName: 'counting' })
    const first = await invoke('counting', { a: 1 }, { ClientContext: clientContext, LogType: 'Tail' })
    expect(first).toMatchObject({ StatusCode: 200, ExecutedVersion: '$LATEST' })
    expect(first.FunctionError).toBeUndefined()
    expect(first.result).toMatchObject({ calls: 1, event: { a: 1 }, token: 't1' })
    expect(Buffer.from(first.LogResult ?? '', 'base64').toString()).toContain('called with { a: 1 }')
    expect((await invoke('counting')).result).toMatchObject({ calls: 2 })
  })

  it('reports what it throws as a function error', async () => {
    const failed = await invoke('counting', { boom: true })
    expect(failed).toMatchObject({ StatusCode: 200, FunctionError: 'Unhandled' })
    expect(failed.result).toMatchObject({ errorType: 'TypeError', errorMessage: 'boom' })
  })

  it('starts anew after a crash', async () => {
    const crashed = await invoke('counting', { exit: true })
    expect(crashed.FunctionError).toBe('Unhandled')
    expect(crashed.result).toMatchObject({ errorType: 'Runtime.ExitError' })
    expect((await invoke('counting')).result).toMatchObject({ calls: 1 })
  })

  it('runs concurrent calls side by side', async () => {
    const all = await Promise.all([1, 2, 3].map(() => invoke('counting', { sleep: 100 })))
    expect(all.map(({ FunctionError }) => FunctionError)).toEqual([undefined, undefined, undefined])
  })

  it('takes Event and DryRun calls; the invocations can be read', async () => {
    expect((await invoke('counting', { from: 'dry run' }, { InvocationType: 'DryRun' })).StatusCode).toBe(204)
    const event = { InvocationType: 'Event', ClientContext: clientContext } as const
    expect((await invoke('counting', { from: 'event' }, event)).StatusCode).toBe(202)
    await vi.waitFor(async () => {
      const last = (await seen('counting')).at(-1)
      expect(last).toMatchObject({ function: 'counting', payload: { from: 'event' }, client_context: null })
      expect(last?.result).toMatchObject({ event: { from: 'event' } })
    }, SOON)
    const all = await seen('counting')
    expect(all.find(({ error }) => error?.errorType === 'TypeError')?.payload).toEqual({ boom: true })
    expect(all.find(({ client_context }) => client_context !== null)).toMatchObject({
      client_context: { custom: { token: 't1' } },
    })
  })
})

describe('a Python function', () => {
  beforeAll(async () => {
    await create('snake', zip({ 'main.py': PYTHON }), { Runtime: 'python3.12' })
  })

  it('answers its own result, warm, with the client context', async () => {
    const first = await invoke('snake', { a: 1 }, { ClientContext: clientContext, LogType: 'Tail' })
    expect(first.result).toEqual({ calls: 1, event: { a: 1 }, token: 't1', text: 'ü', left: true })
    expect(Buffer.from(first.LogResult ?? '', 'base64').toString()).toContain("called with {'a': 1}")
    expect((await invoke('snake')).result).toMatchObject({ calls: 2, token: null })
  })

  it('reports what it raises, what cannot be marshalled, and a crash', async () => {
    const failed = await invoke('snake', { boom: true })
    expect(failed).toMatchObject({
      FunctionError: 'Unhandled',
      result: { errorType: 'ValueError', errorMessage: 'boom' },
    })
    expect((await invoke('snake', { bad: true })).result).toMatchObject({ errorType: 'Runtime.MarshalError' })
    expect((await invoke('snake', { exit: true })).result).toMatchObject({ errorType: 'Runtime.ExitError' })
    expect((await invoke('snake')).result).toMatchObject({ calls: 1 })
  })

  it('says that a module cannot be imported', async () => {
    await create('broken', zip({ 'main.py': 'import not_there' }), { Runtime: 'python3.12' })
    expect((await invoke('broken')).result).toMatchObject({
      errorType: 'Runtime.ImportModuleError',
      errorMessage: "Unable to import module 'main': No module named 'not_there'",
    })
  })
})

describe('Lambda', () => {
  it('ends a call at its timeout', async () => {
    await create('slow', nodeZip('exports.handler = () => new Promise(() => setInterval(() => {}, 1000))'), {
      Timeout: 1,
    })
    const { result } = await invoke('slow')
    expect(result).toMatchObject({ errorType: 'Sandbox.Timedout' })
    expect(result?.errorMessage).toMatch(/Task timed out after 1\.00 seconds$/)
  })

  it('runs new code and configuration, while a published version stays as it was', async () => {
    const FunctionName = 'versions'
    await create(FunctionName, nodeZip('exports.handler = (event, context, done) => done(null, "one")'))
    const { Version } = await lambda.send(new PublishVersionCommand({ FunctionName }))
    await lambda.send(new CreateAliasCommand({ FunctionName, Name: 'live', FunctionVersion: Version }))
    await lambda.send(new UpdateFunctionCodeCommand({ FunctionName, ZipFile: nodeZip(COUNTING) }))
    const Environment = { Variables: { FLAG: 'up' } }
    await lambda.send(new UpdateFunctionConfigurationCommand({ FunctionName, Environment }))
    expect((await invoke(FunctionName)).result).toMatchObject({ flag: 'up' })
    const live = await invoke(FunctionName, {}, { Qualifier: 'live' })
    expect([live.result, live.ExecutedVersion]).toEqual(['one', '1'])
    await expect(invoke(FunctionName, {}, { Qualifier: 'nope' })).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    })
  })

  it('lets a call end on the code it began with', async () => {
    const FunctionName = 'replaced'
    const dir = mkdtempSync(join(tmpdir(), 'signalbox-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const [began, go] = [join(dir, 'began'), join(dir, 'go')]
    await create(FunctionName, nodeZip(HELD), { Timeout: 60 })
    const before = invoke(FunctionName, { began, go })
    await vi.waitUntil(() => existsSync(began), SOON)
    await lambda.send(
      new UpdateFunctionCodeCommand({ FunctionName, ZipFile: nodeZip('exports.handler = async () => "new"') }),
    )
    expect((await invoke(FunctionName)).result).toBe('new')
    writeFileSync(go, '')
    expect((await before).result).toBe('old')
  })

  it('is called by a topic it is subscribed to', async () => {
    await create('listener', nodeZip('exports.handler = async (event) => event.Records[0].Sns.Message'))
    const sns = new SNSClient(client())
    const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: 'calls' }))
    const Endpoint = 'arn:aws:lambda:us-east-1:000000000000:function:listener'
    await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'lambda', Endpoint }))
    await sns.send(new PublishCommand({ TopicArn, Message: 'ring' }))
    await vi.waitFor(async () => expect(await seen('listener')).toMatchObject([{ result: 'ring' }]), SOON)
  })

  it('lists, deletes, and says what does not exist', async () => {
    await create('brief', nodeZip('exports.handler = async () => 1'))
    await expect(create('brief', nodeZip(''))).rejects.toMatchObject({ name: 'ResourceConflictException' })
    const { Functions = [] } = await lambda.send(new ListFunctionsCommand({}))
    expect(Functions.map(({ FunctionName }) => FunctionName)).toContain('brief')
    await lambda.send(new DeleteFunctionCommand({ FunctionName: 'brief' }))
    const gone = { name: 'ResourceNotFoundException', $metadata: { httpStatusCode: 404 } }
    await expect(invoke('brief')).rejects.toMatchObject(gone)
    await expect(lambda.send(new GetFunctionCommand({ FunctionName: 'brief' }))).rejects.toMatchObject(gone)
  })

  it('refuses what it cannot read or run', async () => {
    await expect(create('text', Buffer.from('not a zip'))).rejects.toMatchObject({
      name: 'InvalidParameterValueException',
    })
    await expect(create('escape', zip({ '../../evil.js': '' }))).rejects.toMatchObject({
      name: 'InvalidParameterValueException',
    })
    await expect(create('java', nodeZip(''), { Runtime: 'java21' })).rejects.toMatchObject({
      name: 'InvalidParameterValueException',
    })
    await expect(
      lambda.send(new InvokeCommand({ FunctionName: 'counting', Payload: 'not json' })),
    ).rejects.toMatchObject({ name: 'InvalidRequestContentException' })
    await expect(lambda.send(new ListEventSourceMappingsCommand({}))).rejects.toMatchObject({
      name: 'UnknownOperationException',
    })
  })
})
