import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { JsonObject } from '../../../src/core/json.ts'
import type { Provider } from '../../../src/core/provider.ts'
import { testEnv } from '../../fakes/env.ts'
import { type Answer, type Captured, type CaptureServer, captureServer } from '../capture.ts'
import { anAction, configErrors, never, openProvider, TOKEN } from '../open.ts'
import { assumed, error, form, ok, signer, xml } from './answers.ts'
import { bareAws } from './environment.ts'

const isSts = (r: Captured) => form(r)['Action'] === 'AssumeRole'
const queue = { queue_url: 'http://localhost:4566/000000000000/metrics' }
const role = { aws_role_arn: 'arn:aws:iam::111111111111:role/publisher', aws_external_id: 'trust' }
const MINUTE = 60_000

let server: CaptureServer
let provider: Provider | undefined
let env = testEnv()
beforeEach(async () => {
  bareAws()
  env = testEnv()
  server = await captureServer(ok.sqs)
})
afterEach(async () => {
  await provider?.close()
  await server.stop()
  vi.unstubAllEnvs()
})
const open = (over: JsonObject = {}): Provider => {
  const place = { aws_region: 'us-east-1', aws_endpoint_url: server.url }
  provider = openProvider('aws-sqs', { ...place, ...queue, ...over }, env)
  return provider
}
const send = (p: Provider, signal = never()) => p.send(p.render(anAction(), { token: TOKEN }), { token: TOKEN, signal })
/** STS hands out ASIA1, ASIA2, …, each for an hour of the test's clock. */
function withSts(rest: Answer): Answer {
  let n = 0
  return (r) => {
    if (!isSts(r)) return rest(r)
    return xml(200, assumed(`ASIA${++n}`, new Date(env.clock.now() + 60 * MINUTE).toISOString()))
  }
}

describe('region', () => {
  test('aws_region, else AWS_REGION, else a configuration error that names both', async () => {
    expect(configErrors('aws-sqs', queue)).toEqual([
      'aws_region: set aws_region, or the environment variable AWS_REGION',
    ])
    vi.stubEnv('AWS_REGION', 'eu-west-3')
    expect(configErrors('aws-sqs', queue)).toEqual([])
    const p = openProvider('aws-sqs', { ...queue, aws_endpoint_url: server.url }, env)
    await send(p)
    await p.close()
    expect(server.requests[0]!.headers.authorization).toContain('/eu-west-3/sqs/aws4_request')
  })
  test('an SES backend needs one too, an SMTP one does not', () => {
    const from = { from_address: 'a@example.com' }
    expect(configErrors('email', { ...from, backend: 'ses' })[0]).toMatch(/^aws_region: /)
    expect(configErrors('email', { ...from, backend: 'smtp', smtp_host: 'mail' })).toEqual([])
  })
  test('an external id without a role is a mistake', () => {
    const c = { ...queue, aws_region: 'x', aws_external_id: 'e' }
    expect(configErrors('aws-sqs', c)).toEqual(['aws_external_id: has no effect without aws_role_arn'])
  })
})

describe('standard chain', () => {
  test('with an endpoint and no credentials anywhere: test/test', async () => {
    await send(open())
    expect(signer(server.requests[0]!)).toBe('test')
  })
  test('credentials of the environment come first', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAENV')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
    await send(open())
    expect(signer(server.requests[0]!)).toBe('AKIAENV')
  })
  test('an endpoint of AWS itself is never met with test/test', async () => {
    const p = open({ aws_endpoint_url: 'https://vpce-1.sqs.us-east-1.vpce.amazonaws.com' })
    await expect(send(p)).rejects.toMatchObject({ code: 'credentials_unavailable', retryable: true, unknown: false })
  })
  test('expired credentials: fresh ones and one more attempt, no third', async () => {
    for (const code of ['ExpiredTokenException', 'ExpiredToken']) {
      server.requests.length = 0
      vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAOLD')
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
      server.answer = (r) => {
        if (signer(r) !== 'AKIAOLD') return ok.sqs(r)
        vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIANEW')
        return error('sqs', 400, code)
      }
      const p = open()
      await send(p)
      expect(server.requests.map(signer)).toEqual(['AKIAOLD', 'AKIANEW'])
      expect(server.requests[1]!.body.equals(server.requests[0]!.body)).toBe(true)
      await p.close()
    }
    server.answer = () => error('sqs', 400, 'ExpiredToken')
    server.requests.length = 0
    await expect(send(open())).rejects.toMatchObject({
      code: 'credentials_unavailable',
      retryable: true,
      unknown: false,
    })
    expect(server.requests).toHaveLength(2)
  })
})

describe('assumed role', () => {
  test('AssumeRole at the endpoint, with external id and session name', async () => {
    server.answer = withSts(ok.sqs)
    await send(open(role))
    const [sts, sqs] = server.requests
    expect(form(sts!)).toMatchObject({
      RoleArn: role.aws_role_arn,
      ExternalId: 'trust',
      RoleSessionName: 'signalbox',
    })
    expect(signer(sts!)).toBe('test')
    expect(signer(sqs!)).toBe('ASIA1')
    expect(sqs!.headers['x-amz-security-token']).toBe('session-ASIA1')
  })

  test('one call while it lasts, the next before it expires', async () => {
    server.answer = withSts(ok.sqs)
    const p = open({ ...role, aws_session_name: 'prod' })
    await Promise.all([send(p), send(p), send(p)])
    await env.clock.advance(54 * MINUTE)
    await send(p)
    expect(server.requests.filter(isSts)).toHaveLength(1)
    await env.clock.advance(2 * MINUTE)
    await send(p)
    const calls = server.requests.filter(isSts)
    expect(calls).toHaveLength(2)
    expect(form(calls[1]!)['RoleSessionName']).toBe('prod')
    expect(signer(server.requests.at(-1)!)).toBe('ASIA2')
  })

  test('a refresh that fails early leaves the old credentials in use until they end', async () => {
    server.answer = withSts(ok.sqs)
    const p = open(role)
    await send(p)
    server.answer = (r) => (isSts(r) ? error('sts', 500, 'InternalFailure') : ok.sqs(r))
    await env.clock.advance(57 * MINUTE)
    await send(p)
    await send(p)
    expect(server.requests.filter(isSts)).toHaveLength(2)
    expect(signer(server.requests.at(-1)!)).toBe('ASIA1')
    await env.clock.advance(4 * MINUTE)
    await expect(send(p)).rejects.toMatchObject({ code: 'credentials_unavailable', retryable: true, unknown: false })
  })

  test('the service says expired: the role is assumed again, once', async () => {
    const rest: Answer = (r) => (signer(r) === 'ASIA1' ? error('sqs', 400, 'ExpiredTokenException') : ok.sqs(r))
    server.answer = withSts(rest)
    await send(open(role))
    expect(server.requests.map(signer)).toEqual(['test', 'ASIA1', 'test', 'ASIA2'])
  })

  test('many sendings that meet the expired session at once assume the role once more, not once each', async () => {
    const rest: Answer = (r) => (signer(r) === 'ASIA1' ? error('sqs', 400, 'ExpiredTokenException') : ok.sqs(r))
    server.answer = withSts(rest)
    const p = open(role)
    await Promise.all(Array.from({ length: 8 }, () => send(p)))
    expect(server.requests.filter(isSts)).toHaveLength(2)
  })

  test('a source that never answers does not hold up later sendings', async () => {
    server.answer = () => 'hang'
    const p = open(role)
    const sending = send(p).catch((e: unknown) => e)
    await server.arrived(1)
    await env.clock.advance(31_000)
    expect(await sending).toMatchObject({ code: 'connect_timeout', retryable: true, unknown: false })
    server.answer = withSts(ok.sqs)
    await send(p)
    expect(signer(server.requests.at(-1)!)).toBe('ASIA1')
  })

  test('a role that may not be assumed is permanent; nothing was sent', async () => {
    server.answer = (r) => (isSts(r) ? error('sts', 403, 'AccessDenied') : ok.sqs(r))
    await expect(send(open(role))).rejects.toMatchObject({ code: 'access_denied', retryable: false, unknown: false })
    expect(server.requests.every(isSts)).toBe(true)
  })

  test('a timeout while waiting for credentials is definite', async () => {
    server.answer = () => 'hang'
    const stop = new AbortController()
    const sending = send(open(role), stop.signal)
    await server.arrived(1)
    stop.abort(new DOMException('timed out', 'TimeoutError'))
    await expect(sending).rejects.toMatchObject({ code: 'connect_timeout', timeout: true, unknown: false })
  })
})
