import type { Action } from '../../core/action.ts'
import { LINEAGE_HEADER } from '../../core/lineage.ts'
import type { RenderContext } from '../../core/provider.ts'
import { invalidPayload } from '../wire/errors.ts'
import { lineAt, linesAt, pointerTo, textAt } from '../wire/payload.ts'

/** As stored: all that the bytes of the message are made from, so that they are the same each time. */
export interface Mail {
  readonly [key: string]: string | readonly string[]
  readonly token: string
  /** Empty: none. */
  readonly lineage: string
  readonly from: string
  readonly to: readonly string[]
  readonly cc: readonly string[]
  readonly bcc: readonly string[]
  readonly reply_to: readonly string[]
  readonly subject: string
  readonly text: string
  /** Empty: plain text only. */
  readonly html: string
  readonly message_id: string
  /** RFC 5322 date, of the action's creation. */
  readonly date: string
}
export interface MailDefaults {
  readonly from_address: string
  readonly to?: string | readonly string[] | undefined
  readonly cc?: string | readonly string[] | undefined
  readonly reply_to?: string | readonly string[] | undefined
  readonly subject?: string | undefined
}
/** RFC 5322 bytes with who they go to. */
export interface RawMail {
  readonly raw: Buffer
  readonly envelope: { readonly from: string; readonly to: string[] }
}

/** Reads the payload's keys over the configured defaults; without a `body` the mail is the payload as JSON. */
export function mailOf(action: Action, { token, lineage = '' }: RenderContext, defaults: MailDefaults): Mail {
  const { payload } = action
  const list = (key: string, or?: string | readonly string[]) => addresses(linesAt(payload, key) ?? asList(or), key)
  const to = list('to', defaults.to)
  const cc = list('cc', defaults.cc)
  const bcc = list('bcc')
  if (to.length + cc.length + bcc.length === 0) throw invalidPayload(pointerTo('to'), 'expected a recipient')
  return {
    token,
    lineage,
    from: defaults.from_address,
    to,
    cc,
    bcc,
    reply_to: list('reply_to', defaults.reply_to),
    subject: lineAt(payload, 'subject') ?? defaults.subject ?? action.action_type,
    text: textAt(payload, 'body') ?? JSON.stringify(payload, null, 2),
    html: textAt(payload, 'html_body') ?? '',
    message_id: `<${token}@${domainOf(defaults.from_address)}>`,
    date: new Date(Date.parse(action.created_at)).toUTCString().replace('GMT', '+0000'),
  }
}

/** A line of a mail ends before its 998th character, and is only broken where there is a space. */
const LINE = /.{900}/g

/** nodemailer encodes what is not ASCII, and folds at spaces; ASCII with no space for longer than a line is encoded here (RFC 2047). */
const foldable = (subject: string): string =>
  /[^ ]{900}/.test(subject) && /^[\x20-\x7e]*$/.test(subject)
    ? (subject.match(/.{1,36}/g) ?? []).map((part) => `=?UTF-8?B?${Buffer.from(part).toString('base64')}?=`).join(' ')
    : subject

/** The message's bytes, by nodemailer with everything it would draw or look up (date, id, boundary) given. */
export async function rawMail(mail: Mail): Promise<RawMail> {
  const { default: MailComposer } = await import('nodemailer/lib/mail-composer')
  const message = new MailComposer({
    from: mail.from,
    to: [...mail.to],
    cc: [...mail.cc],
    bcc: [...mail.bcc],
    replyTo: [...mail.reply_to],
    subject: foldable(mail.subject),
    text: mail.text,
    ...(mail.html !== '' && { html: mail.html }),
    messageId: mail.message_id,
    date: mail.date,
    baseBoundary: mail.token,
    headers: {
      'X-Signalbox-Token': mail.token,
      ...(mail.lineage !== '' && { [LINEAGE_HEADER]: mail.lineage.replace(LINE, '$& ').trimEnd() }),
    },
    disableFileAccess: true,
    disableUrlAccess: true,
  }).compile()
  const { from, to } = message.getEnvelope()
  return { raw: await message.build(), envelope: { from: from || mail.from, to } }
}

const asList = (v: string | readonly string[] | undefined): readonly string[] =>
  v === undefined ? [] : typeof v === 'string' ? [v] : v

/** nodemailer leaves them out of an address, which is then another one. */
const CONTROL = /[\0-\x08\x0a-\x1f\x7f-\x9f]/

function addresses(list: readonly string[], key: string): readonly string[] {
  for (const text of list) {
    if (CONTROL.test(text)) throw invalidPayload(pointerTo(key), 'takes no control characters')
    if (!/[^\s@]@[^\s@]/.test(text)) throw invalidPayload(pointerTo(key), 'expected an e-mail address')
  }
  return list
}

/** `Alerts <a@example.com>` → example.com */
const domainOf = (from: string): string => /@([A-Za-z0-9.-]+)/.exec(from)?.[1] ?? 'localhost'
