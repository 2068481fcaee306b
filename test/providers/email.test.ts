import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Provider } from '../../src/core/provider.ts'
import { testEnv } from '../fakes/env.ts'
import { SOON } from '../fakes/soon.ts'
import { error, form } from './aws/answers.ts'
import { awsRigs } from './aws/rig.ts'
import { mailServer } from './mail/server.ts'
import { anAction, configErrors, never, openProvider, TOKEN } from './open.ts'

type Server = Awaited<ReturnType<typeof mailServer>>
const headerOf = (raw: string, name: string) =>
  new RegExp(`^${name}: (.*(?:\\r\\n[ \\t].*)*)`, 'im').exec(raw)?.[1]?.replace(/\r\n\s+/g, ' ')

describe('over SMTP', () => {
  let server: Server
  const opened: Provider[] = []
  const start = async (over: Parameters<typeof mailServer>[0] = {}) => {
    server = await mailServer(over)
  }
  beforeEach(() => start())
  afterEach(async () => {
    for (const p of opened.splice(0)) await p.close()
    await server.wire.stop()
  })
  function open(over: JsonObject = {}): Provider {
    const config = {
      from_address: 'Alerts <alerts@example.com>',
      smtp_host: '127.0.0.1',
      smtp_port: server.port,
      smtp_tls: 'none',
      ...over,
    }
    const p = openProvider('email', config, testEnv())
    opened.push(p)
    return p
  }
  const send = (p: Provider, action: Partial<Action> = {}, signal = never()) =>
    p.send(p.render(anAction(action), { token: TOKEN }), { token: TOKEN, signal })
  const restart = async (over: Parameters<typeof mailServer>[0]) => {
    await server.wire.stop()
    await start(over)
  }

  test('the keys, over the configured defaults; blind copies only on the envelope', async () => {
    const p = open({
      to: ['ops@example.com'],
      cc: 'boss@example.com',
      reply_to: 'desk@example.com',
      subject: 'Default',
    })
    const payload = {
      to: 'Eva <eva@example.com>, max@example.com',
      bcc: ['hidden@example.com'],
      subject: 'Überhitzt',
      body: 'It is hot.\n.\nVery.',
      device_id: 'ignored',
    }
    const { status, body } = await send(p, { payload })
    expect({ status, body }).toEqual({ status: 200, body: { message_id: `<${TOKEN}@example.com>` } })
    const [mail] = server.received
    expect(mail).toMatchObject({
      from: 'alerts@example.com',
      to: ['eva@example.com', 'max@example.com', 'boss@example.com', 'hidden@example.com'],
    })
    const { raw } = mail!
    expect(headerOf(raw, 'From')).toBe('Alerts <alerts@example.com>')
    expect(headerOf(raw, 'To')).toBe('Eva <eva@example.com>, max@example.com')
    expect(headerOf(raw, 'Cc')).toBe('boss@example.com')
    expect(headerOf(raw, 'Reply-To')).toBe('desk@example.com')
    expect(headerOf(raw, 'Subject')).toMatch(/^=\?UTF-8\?/)
    expect(headerOf(raw, 'X-Signalbox-Token')).toBe(TOKEN)
    expect(headerOf(raw, 'Message-ID')).toBe(`<${TOKEN}@example.com>`)
    expect(headerOf(raw, 'Date')).toBe('Mon, 05 Jan 2026 12:00:00 +0000')
    expect(raw).not.toContain('hidden@example.com')
    expect(raw).toContain('It is hot.\r\n.\r\nVery.')
  })

  test('without a body the mail is the payload', async () => {
    await send(open({ to: 'ops@example.com' }), { payload: { value: 96 }, action_type: 'sensor_reading' })
    const { raw } = server.received[0]!
    expect(headerOf(raw, 'Subject')).toBe('sensor_reading')
    expect(JSON.parse(raw.slice(raw.indexOf('\r\n\r\n')))).toEqual({ value: 96 })
  })

  test('PITFALLS 64: with HTML beside the text, the bytes are still the same each time', async () => {
    const p = open({ to: 'ops@example.com' })
    const action = { payload: { body: 'plain', html_body: '<b>bold ä</b>' } }
    await send(p, action)
    await send(open({ to: 'ops@example.com' }), action)
    const [first, second] = server.received
    expect(second!.raw).toBe(first!.raw)
    expect(headerOf(first!.raw, 'Content-Type')).toContain('multipart/alternative')
    expect(first!.raw).toContain('text/html')
  })

  test.each([
    [{ subject: 'x\r\nBcc: all@example.com' }, '/payload/subject'],
    [{ to: 'a@example.com\nBcc: b@example.com' }, '/payload/to'],
    [{ cc: ['a@example.com', 'b@example.com\r\n'] }, '/payload/cc/1'],
    [{ reply_to: 'a@example.com\0' }, '/payload/reply_to'],
    [{ to: 'ops@exa\x1bmple.com' }, '/payload/to'],
    [{ bcc: 'ops@example.com\u0085.evil.example' }, '/payload/bcc'],
    [{ to: 5 }, '/payload/to'],
    [{ to: 'nobody' }, '/payload/to'],
    [{ body: { a: 1 } }, '/payload/body'],
    [{ html_body: 1 }, '/payload/html_body'],
    [{ to: [] }, '/payload/to'],
  ])('header injection and wrong types are refused: %j', (payload, pointer) => {
    const p = open()
    const action = anAction({ payload: { to: 'ok@example.com', ...payload } })
    expect(() => p.render(action, { token: TOKEN })).toThrow(
      expect.objectContaining({ code: 'invalid_payload', pointer, retryable: false }),
    )
  })

  test('no line is longer than mail servers take, however long the subject', async () => {
    for (const subject of ['x'.repeat(3000), `a ${'y'.repeat(1500)} z`, `${'short '.repeat(400)}end`])
      await send(open({ to: 'ops@example.com' }), { payload: { subject, body: 'b'.repeat(3000) } })
    for (const { raw } of server.received)
      for (const line of raw.split('\r\n')) expect(line.length).toBeLessThanOrEqual(998)
    const [first, second, third] = server.received.map(({ raw }) => headerOf(raw, 'Subject') ?? '')
    const read = (subject: string) =>
      subject
        .replace(/\?= =\?/g, '?==?')
        .replace(/=\?UTF-8\?B\?(.*?)\?=/g, (_, b64: string) => Buffer.from(b64, 'base64').toString())
    expect(read(first!)).toBe('x'.repeat(3000))
    expect(read(second!)).toBe(`a ${'y'.repeat(1500)} z`)
    expect(third).toBe(`${'short '.repeat(400)}end`)
  })

  test('nobody to send to is a fault of the payload', () => {
    expect(() => open().render(anAction(), { token: TOKEN })).toThrow(
      expect.objectContaining({ pointer: '/payload/to' }),
    )
  })

  test('logs in, and a refused login is permanent', async () => {
    const users: (string | undefined)[] = []
    await restart({
      allowInsecureAuth: true,
      authOptional: false,
      onAuth({ username, password }, _session, done) {
        users.push(username)
        if (password === 'right') done(null, { user: username ?? '' })
        else done(Object.assign(new Error('no'), { responseCode: 535 }))
      },
    })
    const login = (smtp_password: string) => open({ to: 'o@example.com', smtp_username: 'gate', smtp_password })
    await send(login('right'))
    await login('right').check(never())
    await expect(send(login('wrong'))).rejects.toMatchObject({
      code: 'access_denied',
      retryable: false,
      unknown: false,
    })
    expect(users).toEqual(['gate', 'gate', 'gate'])
    expect(server.received).toHaveLength(1)
  })

  test('some recipients refused: sent, and said so; all refused: permanent', async () => {
    await restart({
      onRcptTo({ address }, _session, done) {
        done(address.startsWith('no') ? Object.assign(new Error('unknown'), { responseCode: 550 }) : null)
      },
    })
    const { body } = await send(open({ to: ['yes@example.com', 'no@example.com'] }))
    expect(body).toMatchObject({ rejected: ['no@example.com'] })
    await expect(send(open({ to: 'no@example.com' }))).rejects.toMatchObject({ code: 'rejected', unknown: false })
  })

  test('what breaks before the message is asked for is definite', async () => {
    await restart({
      onMailFrom(_address, _session) {
        for (const s of server.sockets) s.resetAndDestroy()
      },
    })
    await expect(send(open({ to: 'o@example.com' }))).rejects.toMatchObject({ retryable: true, unknown: false })
  })

  test('a timeout before the message is asked for is definite', async () => {
    let asked = () => {}
    const reached = new Promise<void>((done) => {
      asked = done
    })
    await restart({ onMailFrom: () => asked() })
    const stop = new AbortController()
    const sending = send(open({ to: 'o@example.com' }), {}, stop.signal)
    await reached
    stop.abort(new DOMException('timed out', 'TimeoutError'))
    await expect(sending).rejects.toMatchObject({ code: 'connect_timeout', timeout: true, unknown: false })
    await vi.waitFor(() => expect(server.sockets.size).toBe(0), SOON)
  })

  test('STARTTLS is demanded by default: a server without it gets neither login nor mail', async () => {
    const p = openProvider(
      'email',
      { from_address: 'a@example.com', to: 'o@example.com', smtp_host: '127.0.0.1', smtp_port: server.port },
      testEnv(),
    )
    opened.push(p)
    await expect(send(p)).rejects.toMatchObject({ code: 'tls_failed', unknown: false })
    expect(server.received).toEqual([])
  })

  test('a certificate nobody vouches for', async () => {
    await restart({ secure: true })
    const p = open({ to: 'o@example.com', smtp_tls: 'implicit' })
    await expect(send(p)).rejects.toMatchObject({ code: 'tls_failed', retryable: true, unknown: false })
  })
})

describe('through SES', () => {
  const open = awsRigs('email', 'ses', { backend: 'ses', from_address: 'a@example.com', to: 'ops@example.com' })
  const rawOf = (f: { readonly [key: string]: string }) => Buffer.from(f['RawMessage.Data']!, 'base64').toString()

  test('a raw message, so that the token can be a header', async () => {
    const { wire, send } = await open()
    const f = form(await wire({ payload: { bcc: 'b@example.com', body: 'hot' } }))
    expect(f).toMatchObject({
      Action: 'SendRawEmail',
      Source: 'a@example.com',
      'Destinations.member.1': 'ops@example.com',
      'Destinations.member.2': 'b@example.com',
    })
    expect(headerOf(rawOf(f), 'X-Signalbox-Token')).toBe(TOKEN)
    expect(rawOf(f)).not.toContain('b@example.com')
    expect(await send({})).toEqual({ message_id: 'ses-1' })
  })
  test('PITFALLS 31: its throttling comes with 400', async () => {
    const { send } = await open({}, () => error('ses', 400, 'Throttling'))
    await expect(send({})).rejects.toMatchObject({ code: 'rate_limited', retryable: true, unknown: false })
  })
  test('check asks for the quota', async () => {
    const { check, server } = await open({}, () => error('ses', 403, 'AccessDenied'))
    await expect(check()).rejects.toMatchObject({ code: 'access_denied' })
    expect(form(server.requests[0]!)['Action']).toBe('GetSendQuota')
  })
})

test.each([
  [{ backend: 'smtp' }, 'smtp_host'],
  [{ backend: 'smtp', smtp_host: 'h', smtp_username: 'u' }, 'smtp_password'],
  [{ backend: 'smtp', smtp_host: 'h', aws_region: 'r' }, 'aws_region'],
  [{ backend: 'ses', aws_region: 'r', smtp_host: 'h' }, 'smtp_host'],
  [{ backend: 'smtp', smtp_host: 'h', subject: 'a\nb' }, 'subject'],
])('configuration: %j', (over, path) => {
  vi.stubEnv('AWS_REGION', undefined)
  const errors = configErrors('email', { from_address: 'a@example.com', ...over })
  expect(errors.map((e) => e.split(':')[0])).toEqual([path])
  vi.unstubAllEnvs()
})
