import { createHash } from 'node:crypto'
import type { Answer, Captured, Reply } from '../capture.ts'

export type Service = 'sns' | 'sqs' | 'lambda' | 'eventbridge' | 's3' | 'ses' | 'sts'

export const xml = (status: number, body: string): Reply => ({
  status,
  headers: { 'content-type': 'text/xml' },
  body,
})
export const json = (status: number, body: object, version: string): Reply => ({
  status,
  headers: { 'content-type': `application/x-amz-json-${version}` },
  body: JSON.stringify(body),
})

/** Answers of AWS's protocols, written out: query XML (SNS, SES, STS), JSON (SQS, EventBridge), REST (Lambda, S3). */
export const ok: { readonly [S in Service]: Answer } = {
  sns: () => xml(200, result('Publish', '<MessageId>sns-1</MessageId>', 'sns/doc/2010-03-31')),
  ses: () => xml(200, result('SendRawEmail', '<MessageId>ses-1</MessageId>', 'ses/doc/2010-12-01')),
  sqs: (r) => {
    const body = JSON.parse(r.body.toString()) as { MessageBody?: string }
    const md5 = createHash('md5')
      .update(body.MessageBody ?? '')
      .digest('hex')
    return json(200, { MessageId: 'sqs-1', MD5OfMessageBody: md5 }, '1.0')
  },
  eventbridge: () => json(200, { FailedEntryCount: 0, Entries: [{ EventId: 'eb-1' }] }, '1.1'),
  lambda: () => ({ status: 200, headers: { 'content-type': 'application/json' }, body: '{"logged":true}' }),
  s3: () => ({ status: 200, headers: { etag: '"abc"' } }),
  sts: () => xml(200, assumed('ASIA1', '2026-01-05T13:00:00Z')),
}

export function error(service: Service, status: number, code: string): Reply {
  const id = '<RequestId>r-1</RequestId>'
  switch (service) {
    case 'sqs':
    case 'eventbridge':
      return json(status, { __type: `com.amazonaws.${service}#${code}`, message: 'said in words' }, '1.0')
    case 'lambda':
      return { ...json(status, { message: 'said in words' }, '1.1'), headers: { 'x-amzn-errortype': code } }
    case 's3':
      return xml(status, `<Error><Code>${code}</Code><Message>said in words</Message>${id}</Error>`)
    default:
      return xml(
        status,
        `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>said in words</Message></Error>${id}</ErrorResponse>`,
      )
  }
}

/** What each service calls throttling: three of them with a status that alone would be permanent. */
export const throttled: { readonly [S in Service]: Reply } = {
  sns: error('sns', 400, 'Throttling'),
  ses: error('ses', 400, 'Throttling'),
  sts: error('sts', 400, 'Throttling'),
  sqs: error('sqs', 400, 'RequestThrottled'),
  eventbridge: error('eventbridge', 400, 'ThrottlingException'),
  lambda: error('lambda', 429, 'TooManyRequestsException'),
  s3: error('s3', 503, 'SlowDown'),
}

export const assumed = (accessKey: string, expiration: string): string =>
  `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
  <AccessKeyId>${accessKey}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session-${accessKey}</SessionToken>
  <Expiration>${expiration}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`

const result = (action: string, inner: string, ns: string): string =>
  `<${action}Response xmlns="http://${ns}/"><${action}Result>${inner}</${action}Result></${action}Response>`

/** The form fields of a query-protocol request. */
export const form = (r: Captured): { readonly [key: string]: string } =>
  Object.fromEntries(new URLSearchParams(r.body.toString()))

/** The access key id a request was signed with. */
export const signer = (r: Captured): string | undefined =>
  /Credential=([^/]+)\//.exec(r.headers.authorization ?? '')?.[1]
