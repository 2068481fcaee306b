import {
  GetSendStatisticsCommand,
  ListIdentitiesCommand,
  ListTemplatesCommand,
  SESClient,
  SendEmailCommand,
  SendRawEmailCommand,
  VerifyEmailIdentityCommand,
} from '@aws-sdk/client-ses'
import { AssumeRoleCommand, GetCallerIdentityCommand, GetFederationTokenCommand, STSClient } from '@aws-sdk/client-sts'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Mail } from '../../scripts/local-aws/ses.ts'
import { client, url, useLocalAws } from './setup.ts'

useLocalAws()

describe('SES', () => {
  let ses: SESClient
  beforeAll(() => {
    ses = new SESClient(client())
  })
  const mails = async (query = ''): Promise<Mail[]> => {
    const answer = await fetch(`${url()}/_aws/ses${query}`)
    return ((await answer.json()) as { messages: Mail[] }).messages
  }
  const mail = (Source: string) =>
    new SendEmailCommand({
      Source,
      Destination: { ToAddresses: ['a@example.org', 'b@example.org'], CcAddresses: ['c@example.org'] },
      Message: { Subject: { Data: 'Hi' }, Body: { Text: { Data: 'text' }, Html: { Data: '<b>html</b>' } } },
    })

  it('keeps what a verified sender sends', async () => {
    await expect(ses.send(mail('me@example.org'))).rejects.toMatchObject({ name: 'MessageRejected' })
    await ses.send(new VerifyEmailIdentityCommand({ EmailAddress: 'me@example.org' }))
    expect((await ses.send(new ListIdentitiesCommand({}))).Identities).toEqual(['me@example.org'])
    const { MessageId } = await ses.send(mail('Me <me@example.org>'))
    expect(await mails(`?id=${MessageId}`)).toEqual([
      {
        Id: MessageId,
        Region: 'us-east-1',
        Timestamp: expect.any(String),
        Source: 'Me <me@example.org>',
        Destination: {
          ToAddresses: ['a@example.org', 'b@example.org'],
          CcAddresses: ['c@example.org'],
          BccAddresses: [],
        },
        Subject: 'Hi',
        Body: { text_part: 'text', html_part: '<b>html</b>' },
      },
    ])
    expect((await ses.send(new GetSendStatisticsCommand({}))).SendDataPoints).toMatchObject([{ DeliveryAttempts: 1 }])
  })

  it('keeps a raw mail as it came', async () => {
    const raw = 'From: me@example.org\r\nTo: x@example.org\r\nX-Token: t\r\nSubject: ü\r\n\r\nbody'
    const { MessageId } = await ses.send(new SendRawEmailCommand({ RawMessage: { Data: Buffer.from(raw) } }))
    expect(await mails(`?id=${MessageId}`)).toMatchObject([
      { RawData: raw, Source: 'me@example.org', Destination: { ToAddresses: ['x@example.org'] } },
    ])
    await fetch(`${url()}/_aws/ses`, { method: 'DELETE' })
    expect(await mails()).toEqual([])
  })

  it('refuses operations it does not have', async () => {
    await expect(ses.send(new ListTemplatesCommand({}))).rejects.toMatchObject({ name: 'InvalidAction' })
  })
})

describe('STS', () => {
  let sts: STSClient
  beforeAll(() => {
    sts = new STSClient(client())
  })

  it('says who calls, and gives credentials for a role', async () => {
    expect((await sts.send(new GetCallerIdentityCommand({}))).Account).toBe('000000000000')
    const RoleArn = 'arn:aws:iam::123456789012:role/team/Reader'
    const { Credentials, AssumedRoleUser } = await sts.send(
      new AssumeRoleCommand({ RoleArn, RoleSessionName: 'signalbox', ExternalId: 'x', DurationSeconds: 900 }),
    )
    expect(AssumedRoleUser?.Arn).toBe('arn:aws:sts::123456789012:assumed-role/Reader/signalbox')
    const left = (Credentials?.Expiration?.getTime() ?? 0) - Date.now()
    expect(left).toBeGreaterThan(890_000)
    expect(left).toBeLessThanOrEqual(900_000)
  })

  it('refuses a bad role and operations it does not have', async () => {
    const bad = new AssumeRoleCommand({ RoleArn: 'arn:aws:iam::1:user/me-me-me', RoleSessionName: 'signalbox' })
    await expect(sts.send(bad)).rejects.toMatchObject({ name: 'ValidationError' })
    await expect(sts.send(new GetFederationTokenCommand({ Name: 'me' }))).rejects.toMatchObject({
      name: 'InvalidAction',
    })
  })
})

describe('the port', () => {
  it('says what it serves', async () => {
    const text = await (await fetch(`${url()}/_localstack/health`)).text()
    expect(text).toContain('"dynamodb": "running"')
    expect(Object.keys((JSON.parse(text) as { services: object }).services)).toHaveLength(8)
  })

  it.each([
    ['a JSON target', { 'x-amz-target': 'AWSStepFunctions.ListStateMachines' }, '{}'],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'Action=ListRoles&Version=2010-05-08'],
    [
      'a signed path',
      { authorization: 'AWS4-HMAC-SHA256 Credential=k/20261120/us-east-1/apigateway/aws4_request' },
      '',
    ],
  ])('answers 501 to a service it does not have: %s', async (_, headers, body) => {
    const answer = await fetch(`${url()}/`, { method: 'POST', headers, body })
    expect([answer.status, await answer.text()]).toEqual([501, expect.stringContaining('NotImplemented')])
  })

  it.each(['AmazonSQS.CreateQueue', 'AWSEvents.PutEvents', 'DynamoDB_20120810.GetItem'])(
    'answers a body it cannot read with 400: %s',
    async (target) => {
      const headers = { 'x-amz-target': target, 'content-type': 'application/x-amz-json-1.0' }
      const answer = await fetch(`${url()}/`, { method: 'POST', headers, body: '{' })
      expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('SerializationException')])
    },
  )
})
