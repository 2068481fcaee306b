/** Routes that are not AWS: health and sent mails as on LocalStack, and our own list of invocations. */
import type { Invocations } from './lambda/invocations.ts'
import type { Ses } from './ses.ts'
import { type Answer, type Call, json } from './wire.ts'

export const SERVICES = ['sns', 'sqs', 's3', 'dynamodb', 'events', 'lambda', 'ses', 'sts'] as const

const health = (): Answer => {
  const services = Object.fromEntries(SERVICES.map((name) => [name, 'running']))
  const answer = json(undefined)
  // With a blank after each colon, as LocalStack has it: scripts grep for `"sqs": "running"`.
  const body = JSON.stringify({ services, edition: 'community', version: '4.4.0' }, null, 1).replace(/\n */g, ' ')
  return { ...answer, body }
}

export const ownRoute = (call: Call, ses: Ses, invocations: Invocations): Answer | undefined => {
  const query = call.url.searchParams
  switch (`${call.method} ${call.url.pathname}`) {
    case 'GET /_localstack/health':
      return health()
    case 'HEAD /_localstack/health':
      return json(undefined)
    case 'GET /_aws/ses':
      return json({ messages: ses.mails({ id: query.get('id'), email: query.get('email') }) })
    case 'DELETE /_aws/ses':
      ses.forget(query.get('id'))
      return json(undefined, 204)
    case 'GET /_local/lambda/invocations':
      return json({ invocations: invocations.list(query.get('function')) })
    case 'DELETE /_local/lambda/invocations':
      invocations.clear()
      return json(undefined, 204)
    default:
      return /^\/_(localstack|aws|local)\//.test(call.url.pathname) ? json({ message: 'Not found' }, 404) : undefined
  }
}
