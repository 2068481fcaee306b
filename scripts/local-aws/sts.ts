import { randomBytes } from 'node:crypto'
import { ACCOUNT, type Answer, AwsError, type Call, element, type Form, queryProtocol } from './wire.ts'

const letters = (length: number): string => randomBytes(length).toString('hex').toUpperCase().slice(0, length)

const credentials = (form: Form): string => {
  const seconds = Number(form.DurationSeconds ?? 3600)
  if (!(seconds >= 900 && seconds <= 43200))
    throw new AwsError(
      'ValidationError',
      `1 validation error detected: Value '${form.DurationSeconds}' at 'durationSeconds' failed to satisfy constraint`,
    )
  const fields = [
    element('AccessKeyId', `ASIA${letters(16)}`),
    element('SecretAccessKey', randomBytes(30).toString('base64')),
    element('SessionToken', randomBytes(48).toString('base64')),
    element('Expiration', new Date(Date.now() + seconds * 1000).toISOString()),
  ]
  return `<Credentials>${fields.join('')}</Credentials>`
}

const assumeRole = (form: Form): string => {
  const { RoleArn: role = '', RoleSessionName: session = '' } = form
  const [, account, name] = /^arn:aws:iam::(\d{12}):role\/(?:.*\/)?([^/]+)$/.exec(role) ?? []
  if (!name) throw new AwsError('ValidationError', `${role} is invalid`)
  if (!/^[\w+=,.@-]{2,64}$/.test(session))
    throw new AwsError(
      'ValidationError',
      `1 validation error detected: Value '${session}' at 'roleSessionName' failed to satisfy constraint`,
    )
  const user =
    element('AssumedRoleId', `AROA${letters(17)}:${session}`) +
    element('Arn', `arn:aws:sts::${account}:assumed-role/${name}/${session}`)
  return `${credentials(form)}<AssumedRoleUser>${user}</AssumedRoleUser>${element('PackedPolicySize', 6)}`
}

const operations: Record<string, (form: Form) => string> = {
  GetCallerIdentity: () =>
    element('UserId', 'AKIAIOSFODNN7EXAMPLE') +
    element('Account', ACCOUNT) +
    element('Arn', `arn:aws:iam::${ACCOUNT}:root`),
  AssumeRole: assumeRole,
  GetSessionToken: credentials,
}

export const sts: (call: Call, form: Form) => Promise<Answer> = queryProtocol(
  'https://sts.amazonaws.com/doc/2011-06-15/',
  (action) => operations[action],
)
