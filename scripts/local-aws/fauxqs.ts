/** SNS, SQS and S3 come from fauxqs, without a port of its own. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buildApp } from 'fauxqs'
import { AwsError } from './wire.ts'

export interface Reply {
  status: number
  headers: Record<string, string>
  body: Buffer
}

export interface Fauxqs {
  /** `host` and `region` end up in what it creates: queue URLs and ARNs. */
  post(headers: Record<string, string>, body: string, region: string): Promise<Reply>
  get(path: string, host?: string): Promise<Reply>
  /** Hands over a request whose body has not been read. */
  serve(request: IncomingMessage, response: ServerResponse): void
  close(): Promise<void>
}

const signedFor = (region: string): string =>
  `AWS4-HMAC-SHA256 Credential=test/20260101/${region}/any/aws4_request, SignedHeaders=host, Signature=none`

export const openFauxqs = async (): Promise<Fauxqs> => {
  // With a host given, its queue URLs are http://sqs.<region>.<host>/…: the only form that keeps the region.
  const app = buildApp({ logger: false, host: 'fauxqs' })
  await app.ready()
  const inject = async (method: 'GET' | 'POST', url: string, headers: Record<string, string>, payload?: string) => {
    const reply = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) })
    const flat = Object.entries(reply.headers).map(([name, value]) => [name, String(value)])
    return { status: reply.statusCode, headers: Object.fromEntries(flat), body: reply.rawPayload }
  }
  return {
    post: (headers, body, region) =>
      inject('POST', '/', { host: 'localhost', authorization: signedFor(region), ...headers }, body),
    get: (path, host = 'localhost') => inject('GET', path, { host }),
    serve: (request, response) => app.routing(request, response),
    close: () => app.close(),
  }
}

/** Reads one S3 object, as Lambda does for its code. */
export const readObject = async (fauxqs: Fauxqs, bucket: string, key: string): Promise<Buffer> => {
  const path = [bucket, ...key.split('/')].map(encodeURIComponent).join('/')
  const reply = await fauxqs.get(`/${path}`)
  if (reply.status === 200) return reply.body
  throw new AwsError(
    'InvalidParameterValueException',
    `Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: no object ${bucket}/${key}`,
  )
}
