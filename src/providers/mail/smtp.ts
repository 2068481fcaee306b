import { Readable } from 'node:stream'
import type { ProviderError } from '../../core/errors.ts'
import { abortError, codeOfError, failure, type ProviderErrorCode, providerErrorCodes } from '../wire/errors.ts'
import type { RawMail } from './message.ts'

export interface SmtpConfig {
  readonly host: string
  readonly port?: number | undefined
  readonly tls: 'starttls' | 'implicit' | 'none'
  readonly login?: { readonly user: string; readonly pass: string } | undefined
}
/** Recipients the server refused while it took the message for the others. */
export type Sent = { readonly rejected: readonly string[] }

/** One connection, one message. Without `mail` only the connection and the login are tried. Throws ProviderError. */
export async function smtp(config: SmtpConfig, mail: RawMail | undefined, signal: AbortSignal): Promise<Sent> {
  const { default: SMTPConnection } = await import('nodemailer/lib/smtp-connection')
  const connection = new SMTPConnection({
    host: config.host,
    ...(config.port !== undefined && { port: config.port }),
    secure: config.tls === 'implicit',
    requireTLS: config.tls === 'starttls',
    ignoreTLS: config.tls === 'none',
    socketCloseTimeout: 1000,
  })
  // The message is read only after the server asked for it: until then every failure is definite.
  let begun = false
  const message = new Readable({
    read() {
      begun = true
      this.push(mail?.raw ?? null)
      this.push(null)
    },
  })
  let stop = () => {}
  try {
    return await new Promise<Sent>((done, failed) => {
      const fail = (e: unknown) => failed(smtpError(e, begun))
      stop = () => failed(abortError(signal, !begun))
      if (signal.aborted) return stop()
      signal.addEventListener('abort', stop, { once: true })
      connection.on('error', fail)
      const send = () => {
        if (mail === undefined) return done({ rejected: [] })
        connection.send(mail.envelope, message, (e, info) => {
          if (e) fail(e)
          else done({ rejected: info?.rejected.map(String) ?? [] })
        })
      }
      connection.connect((e) => {
        if (e) return fail(e)
        if (config.login === undefined) return send()
        connection.login({ ...config.login }, (refused) => (refused ? fail(refused) : send()))
      })
    })
  } finally {
    signal.removeEventListener('abort', stop)
    // A polite end where there is one to say it to; nobody waits for its answer.
    if (!signal.aborted) connection.quit()
    connection.close()
  }
}

/** nodemailer's typed codes and the server's three digits; the text is never looked at. */
function smtpError(e: unknown, begun: boolean): ProviderError {
  const { code, responseCode } = (e ?? {}) as { code?: unknown; responseCode?: unknown }
  const status = typeof responseCode === 'number' ? responseCode : undefined
  const what = status !== undefined ? ofReply(status, code) : ofNetwork(e, code, begun)
  const message = status === undefined ? providerErrorCodes[what].meaning : `the mail server answered ${status}`
  return failure(what, message, {
    ...(status !== undefined && { response: { status, body: { smtp_code: status } } }),
    cause: e,
  })
}

/** RFC 5321: 4yz may succeed later, 5yz will not; 503 speaks of the session, not of the message. */
function ofReply(status: number, code: unknown): ProviderErrorCode {
  if (code === 'ETLS') return 'tls_failed'
  if (status < 500 || status === 503) return 'unavailable'
  return code === 'EAUTH' ? 'access_denied' : 'rejected'
}

function ofNetwork(e: unknown, code: unknown, begun: boolean): ProviderErrorCode {
  const known = codeOfError(e)
  if (begun) return known === 'timeout' || code === 'ETIMEDOUT' ? 'timeout' : (known ?? 'connection_reset')
  if (known !== undefined && !providerErrorCodes[known].unknown) return known
  if (known === 'timeout' || code === 'ETIMEDOUT') return 'connect_timeout'
  if (code === 'ETLS') return 'tls_failed'
  if (code === 'EAUTH') return 'access_denied'
  return code === 'EENVELOPE' || code === 'EMESSAGE' ? 'rejected' : 'connection_failed'
}
