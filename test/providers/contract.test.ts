import { beforeEach, expect, test, vi } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import type { JsonObject } from '../../src/core/json.ts'
import { providerTypes } from '../../src/providers/index.ts'
import { type Mode, providerContract, type Rig, type Wire } from '../contract/provider.contract.ts'
import { testEnv } from '../fakes/env.ts'
import { error, ok, type Service, throttled } from './aws/answers.ts'
import { bareAws } from './aws/environment.ts'
import { type Answer, bytesOf, captureServer, type Reply } from './capture.ts'
import { mailServer } from './mail/server.ts'
import { anAction, openProvider } from './open.ts'

beforeEach(() => {
  vi.unstubAllEnvs()
  bareAws()
})

async function httpWire(answers: { readonly [M in 'ok' | 'throttled' | 'rejected' | 'server_error']: Answer }) {
  const server = await captureServer(answers.ok)
  const wire: Wire = {
    sent: () => server.requests.map(bytesOf),
    mode: (m: Mode) => {
      server.answer = m === 'hang' || m === 'reset' ? () => m : answers[m]
    },
    arrived: server.arrived,
    connections: server.connections,
    stop: server.stop,
  }
  return { url: server.url, wire }
}

interface AwsCase {
  readonly service: Service
  readonly config: JsonObject
  readonly wrong?: { readonly action: Action; readonly pointer: string }
  readonly action?: Action
}
const wrongKey = (action_type: string, key: string, value = 5) => ({
  action: anAction({ action_type, payload: { key: 'k', [key]: value } }),
  pointer: `/payload/${key}`,
})

async function awsRig(type: string, { service, config, wrong, action }: AwsCase): Promise<Rig> {
  const reply = (r: Reply) => () => r
  const { url, wire } = await httpWire({
    ok: ok[service],
    throttled: reply(throttled[service]),
    rejected: reply(error(service, 400, 'ValidationException')),
    server_error: reply(error(service, 500, 'InternalError')),
  })
  const place = { aws_region: 'us-east-1', aws_endpoint_url: url }
  return {
    provider: openProvider(type, { ...place, ...config }, testEnv()),
    action: action ?? anAction(),
    ...(wrong && { wrong }),
    wire,
  }
}

const aws: { readonly [type: string]: AwsCase } = {
  'aws-sns': {
    service: 'sns',
    config: { topic_arn: 'arn:aws:sns:us-east-1:000000000000:alerts' },
    wrong: wrongKey('publish', 'message'),
  },
  'aws-sqs': {
    service: 'sqs',
    config: { queue_url: 'http://localhost:4566/000000000000/metrics' },
    wrong: wrongKey('send_message', 'message_body'),
  },
  'aws-lambda': { service: 'lambda', config: { function_name: 'detector' } },
  'aws-eventbridge': {
    service: 'eventbridge',
    config: { event_bus_name: 'building-events' },
    wrong: wrongKey('put_event', 'detail'),
  },
  'aws-s3': {
    service: 's3',
    config: { bucket_name: 'archive' },
    wrong: wrongKey('put_object', 'body_base64'),
    action: anAction({ action_type: 'put_object', payload: { key: 'a/b.json', body: { n: 1 } } }),
  },
  email: {
    service: 'ses',
    config: { backend: 'ses', from_address: 'alerts@example.com', to: 'ops@example.com' },
    wrong: wrongKey('any', 'subject'),
  },
}

const rigs: { readonly [type: string]: () => Promise<Rig> } = {
  log: async () => ({ provider: openProvider('log', {}, testEnv()), action: anAction() }),
  webhook: async () => {
    const reply = (status: number) => () => ({ status, body: '{"ok":true}' })
    const { url, wire } = await httpWire({
      ok: reply(200),
      throttled: reply(429),
      rejected: reply(422),
      server_error: reply(500),
    })
    const config = { url: `${url}/hook?x=1`, signing_secret: 'whsec_c2VjcmV0', dedup_window_seconds: 60 }
    return { provider: openProvider('webhook', config, testEnv()), action: anAction(), wire }
  },
  ...Object.fromEntries(Object.entries(aws).map(([type, c]) => [type, () => awsRig(type, c)])),
}

test('every type of the table has its contract run', () => {
  expect(Object.keys(rigs).sort()).toEqual(providerTypes.map((t) => t.type).sort())
})
for (const [type, build] of Object.entries(rigs)) providerContract(type, build)

providerContract('email over SMTP', async () => {
  const server = await mailServer()
  const config = {
    backend: 'smtp',
    from_address: 'alerts@example.com',
    to: ['ops@example.com'],
    smtp_host: '127.0.0.1',
    smtp_port: server.port,
    smtp_tls: 'none',
  }
  return {
    provider: openProvider('email', config, testEnv()),
    action: anAction(),
    wrong: { action: anAction({ payload: { cc: [1] } }), pointer: '/payload/cc/0' },
    wire: server.wire,
    without: ['server_error'],
  }
})
