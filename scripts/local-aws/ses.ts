/** SES v1. Nothing is sent: mails are kept, and read at `GET /_aws/ses` as on LocalStack. */
import { randomUUID } from 'node:crypto'
import {
  type Answer,
  AwsError,
  type Call,
  element,
  type Form,
  type FormTree,
  formList,
  formTree,
  perRegion,
  queryProtocol,
} from './wire.ts'

interface Destination {
  ToAddresses: string[]
  CcAddresses: string[]
  BccAddresses: string[]
}
export interface Mail {
  Id: string
  Region: string
  Timestamp: string
  Source: string
  Destination: Destination
  Subject?: string
  Body?: { text_part: string | null; html_part: string | null }
  RawData?: string
}

export interface Ses {
  query(call: Call, form: Form): Promise<Answer>
  mails(filter: { id?: string | null; email?: string | null }): Mail[]
  forget(id?: string | null): void
}

const MAX_MAILS = 1000

const node = (tree: string | FormTree | undefined, ...path: string[]): string | FormTree | undefined =>
  path.reduce((at, part) => (typeof at === 'object' ? at[part] : undefined), tree)
const text = (tree: FormTree, ...path: string[]): string | undefined => {
  const found = node(tree, ...path)
  return typeof found === 'string' ? found : undefined
}
const addresses = (tree: FormTree, ...path: string[]): string[] => formList(node(tree, ...path, 'member')).map(String)
const members = (name: string, values: Iterable<string>): string =>
  `<${name}>${[...values].map((value) => element('member', value)).join('')}</${name}>`

/** `Some One <one@example.org>` → `one@example.org` */
const bare = (address: string): string => (/<([^<>]+)>\s*$/.exec(address)?.[1] ?? address).trim().toLowerCase()
const rawHeader = (raw: string, name: string): string | undefined => {
  const head = (raw.split(/\r?\n\r?\n/, 1)[0] ?? '').replace(/\r?\n[ \t]+/g, ' ')
  return new RegExp(`^${name}:\\s*(.+)$`, 'im').exec(head)?.[1]?.trim()
}
const rawList = (raw: string, name: string): string[] =>
  (rawHeader(raw, name) ?? '')
    .split(',')
    .map((each) => each.trim())
    .filter(Boolean)

export const openSes = (): Ses => {
  const verified = perRegion(() => new Set<string>())
  let kept: Mail[] = []

  const checkSource = (source: string, region: string): void => {
    const address = bare(source)
    const domain = address.split('@')[1] ?? ''
    if (verified(region).has(address) || verified(region).has(domain)) return
    throw new AwsError(
      'MessageRejected',
      `Email address is not verified. The following identities failed the check in region ${region.toUpperCase()}: ${source}`,
    )
  }
  const keep = (mail: Omit<Mail, 'Id' | 'Timestamp'>): string => {
    const Id = `${randomUUID()}-000000`
    kept = [...kept.slice(1 - MAX_MAILS), { Id, Timestamp: new Date().toISOString(), ...mail }]
    return element('MessageId', Id)
  }
  const verify = (name: string) => (form: Form, call: Call) => {
    const identity = form[name]
    if (!identity) throw new AwsError('ValidationError', `Value at '${name}' must not be empty`)
    verified(call.region).add(identity.toLowerCase())
    return name === 'Domain' ? element('VerificationToken', randomUUID()) : ''
  }

  const sendEmail = (form: Form, call: Call): string => {
    const tree = formTree(form)
    const Source = form.Source ?? ''
    const Destination = {
      ToAddresses: addresses(tree, 'Destination', 'ToAddresses'),
      CcAddresses: addresses(tree, 'Destination', 'CcAddresses'),
      BccAddresses: addresses(tree, 'Destination', 'BccAddresses'),
    }
    if (Object.values(Destination).flat().length === 0)
      throw new AwsError('InvalidParameterValue', 'Missing required header To, Cc or Bcc.')
    const Subject = text(tree, 'Message', 'Subject', 'Data')
    const text_part = text(tree, 'Message', 'Body', 'Text', 'Data') ?? null
    const html_part = text(tree, 'Message', 'Body', 'Html', 'Data') ?? null
    if (Subject === undefined || (text_part === null && html_part === null))
      throw new AwsError('ValidationError', 'A message needs a subject and a body.')
    checkSource(Source, call.region)
    return keep({ Region: call.region, Source, Destination, Subject, Body: { text_part, html_part } })
  }

  const sendRawEmail = (form: Form, call: Call): string => {
    const RawData = Buffer.from(form['RawMessage.Data'] ?? '', 'base64').toString()
    const Source = form.Source ?? rawHeader(RawData, 'From') ?? ''
    const given = formList(node(formTree(form), 'Destinations', 'member')).map(String)
    const Destination = {
      ToAddresses: given.length > 0 ? given : rawList(RawData, 'To'),
      CcAddresses: given.length > 0 ? [] : rawList(RawData, 'Cc'),
      BccAddresses: given.length > 0 ? [] : rawList(RawData, 'Bcc'),
    }
    if (Object.values(Destination).flat().length === 0)
      throw new AwsError('InvalidParameterValue', 'Missing required header To, Cc or Bcc.')
    checkSource(Source, call.region)
    return keep({ Region: call.region, Source, Destination, RawData })
  }

  const verificationAttributes = (form: Form, call: Call): string => {
    const entries = formList(node(formTree(form), 'Identities', 'member')).map((identity) => {
      const status = verified(call.region).has(String(identity).toLowerCase()) ? 'Success' : 'Pending'
      return `<entry>${element('key', String(identity))}<value>${element('VerificationStatus', status)}</value></entry>`
    })
    return `<VerificationAttributes>${entries.join('')}</VerificationAttributes>`
  }

  const operations: Record<string, (form: Form, call: Call) => string> = {
    SendEmail: sendEmail,
    SendRawEmail: sendRawEmail,
    VerifyEmailIdentity: verify('EmailAddress'),
    VerifyEmailAddress: verify('EmailAddress'),
    VerifyDomainIdentity: verify('Domain'),
    DeleteIdentity: (form, call) => {
      verified(call.region).delete((form.Identity ?? '').toLowerCase())
      return ''
    },
    ListIdentities: (form, call) => {
      const wanted = [...verified(call.region)].filter(
        (each) => !form.IdentityType || (form.IdentityType === 'EmailAddress') === each.includes('@'),
      )
      return members('Identities', wanted)
    },
    ListVerifiedEmailAddresses: (_form, call) =>
      members(
        'VerifiedEmailAddresses',
        [...verified(call.region)].filter((each) => each.includes('@')),
      ),
    GetIdentityVerificationAttributes: verificationAttributes,
    GetSendQuota: (_form, call) =>
      element('Max24HourSend', 200) + element('MaxSendRate', 1) + element('SentLast24Hours', sent(call.region).length),
    GetSendStatistics: (_form, call) => {
      const count = sent(call.region).length
      const rest = ['Bounces', 'Complaints', 'Rejects'].map((name) => element(name, 0)).join('')
      const point = element('Timestamp', new Date().toISOString()) + element('DeliveryAttempts', count) + rest
      return `<SendDataPoints>${count > 0 ? `<member>${point}</member>` : ''}</SendDataPoints>`
    },
  }
  const sent = (region: string): Mail[] => kept.filter((mail) => mail.Region === region)

  return {
    query: queryProtocol('http://ses.amazonaws.com/doc/2010-12-01/', (action) => operations[action]),
    mails: ({ id, email }) => kept.filter((mail) => (!id || mail.Id === id) && (!email || mail.Source === email)),
    forget: (id) => {
      kept = id ? kept.filter((mail) => mail.Id !== id) : []
    },
  }
}
