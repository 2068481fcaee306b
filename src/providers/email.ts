import { z } from 'zod'
import type { Env } from '../core/env.ts'
import { ProviderError } from '../core/errors.ts'
import type { Provider, Receipt } from '../core/provider.ts'
import { defineProvider } from '../core/provider.ts'
import { awsCalls } from './aws/client.ts'
import { awsKeys, checkAws } from './aws/config.ts'
import { type Mail, mailOf, type RawMail, rawMail } from './mail/message.ts'
import { type SmtpConfig, smtp } from './mail/smtp.ts'
import { stored } from './wire/data.ts'
import { failure, untilAborted } from './wire/errors.ts'

const line = z.string().regex(/^[^\r\n\0]*$/, 'takes no line breaks')
const addresses = z.union([line.min(3), z.array(line.min(3)).min(1)])

const config = z
  .strictObject({
    backend: z.enum(['smtp', 'ses']).default('smtp'),
    from_address: line.min(3),
    to: addresses.optional(),
    cc: addresses.optional(),
    reply_to: addresses.optional(),
    subject: line.optional(),
    smtp_host: z.string().min(1).optional(),
    smtp_port: z.int().min(1).max(65_535).optional().describe('default 587, or 465 with smtp_tls = "implicit"'),
    smtp_username: z.string().optional(),
    smtp_password: z.string().optional(),
    smtp_tls: z.enum(['starttls', 'implicit', 'none']).optional().describe('default starttls, implicit on port 465'),
    ...awsKeys,
  })
  .superRefine((c, ctx) => {
    const refuse = (key: string, message: string) => ctx.addIssue({ code: 'custom', path: [key], message })
    const other = c.backend === 'ses' ? 'smtp_' : 'aws_'
    for (const key of Object.keys(c))
      if (key.startsWith(other) && key !== 'aws_session_name' && c[key as keyof typeof c] !== undefined)
        refuse(key, `has no effect with backend = "${c.backend}"`)
    if (c.backend === 'ses') return checkAws(c, ctx)
    if (c.smtp_host === undefined) refuse('smtp_host', 'is needed with backend = "smtp"')
    if ((c.smtp_username === undefined) !== (c.smtp_password === undefined))
      refuse(c.smtp_username === undefined ? 'smtp_username' : 'smtp_password', 'is needed beside the other of the two')
  })

type Config = z.output<typeof config>
interface Backend {
  send(mail: Mail, signal: AbortSignal): Promise<Receipt>
  check(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/**
 * Mails through SMTP or SES. The keys are read for every action_type. The token is the header `X-Signalbox-Token` and
 * the local part of the Message-ID (which SES replaces by its own).
 */
export const email = defineProvider({
  type: 'email',
  verbs: [],
  config,
  open(name, config, env): Provider {
    const backend = config.backend === 'ses' ? sesBackend(config, env) : smtpBackend(config)
    return {
      name,
      type: 'email',
      hasEffect: true,
      render: (action, context) => mailOf(action, context, config),
      dedupWindowMs: () => 0,
      send: (request, { signal }) => backend.send(stored<Mail>(request), signal),
      check: backend.check,
      close: backend.close,
    }
  },
})

function sesBackend(config: Config, env: Env): Backend {
  const aws = awsCalls(
    config,
    env,
    () => import('@aws-sdk/client-ses'),
    (sdk, settings) => new sdk.SESClient(settings),
  )
  return {
    async send(mail, signal) {
      const { raw, envelope } = await composed(mail, signal)
      const answer = await aws.call(signal, (client, sdk, options) =>
        client.send(
          new sdk.SendRawEmailCommand({
            Source: envelope.from,
            Destinations: envelope.to,
            RawMessage: { Data: raw },
          }),
          options,
        ),
      )
      return { status: 200, body: { message_id: answer.MessageId ?? null } }
    },
    async check(signal) {
      await aws.call(signal, (client, sdk, options) => client.send(new sdk.GetSendQuotaCommand({}), options))
    },
    close: aws.close,
  }
}

function smtpBackend(config: Config): Backend {
  const { smtp_host, smtp_port, smtp_username, smtp_password } = config
  if (smtp_host === undefined) throw new Error('smtp_host is needed with backend = "smtp"')
  const to: SmtpConfig = {
    host: smtp_host,
    port: smtp_port,
    tls: config.smtp_tls ?? (smtp_port === 465 ? 'implicit' : 'starttls'),
    login:
      smtp_username !== undefined && smtp_password !== undefined
        ? { user: smtp_username, pass: smtp_password }
        : undefined,
  }
  return {
    async send(mail, signal) {
      const { rejected } = await smtp(to, await composed(mail, signal), signal)
      return {
        status: 200,
        body: { message_id: mail.message_id, ...(rejected.length > 0 && { rejected }) },
      }
    },
    async check(signal) {
      await smtp(to, undefined, signal)
    },
    close: async () => {},
  }
}

/** What nodemailer will not put into a message is a fault of what it was given: nothing has been sent. */
async function composed(mail: Mail, signal: AbortSignal): Promise<RawMail> {
  try {
    return await untilAborted(rawMail(mail), signal, true)
  } catch (e) {
    if (e instanceof ProviderError) throw e
    throw failure('rejected', 'the message could not be composed', { cause: e })
  }
}
