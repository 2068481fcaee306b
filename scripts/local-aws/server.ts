/** SNS, SQS, S3, DynamoDB, EventBridge, Lambda, SES and STS on one port, in memory, without Docker. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDynamoDb } from './dynamodb/api.ts'
import { openEventBridge } from './eventbridge/operations.ts'
import { openFauxqs, readObject } from './fauxqs.ts'
import { LAMBDA_PATH, openLambda } from './lambda/api.ts'
import { openInvocations } from './lambda/invocations.ts'
import { ownRoute } from './own-routes.ts'
import { router } from './router.ts'
import { openS3 } from './s3.ts'
import { openSes } from './ses.ts'
import { openSns } from './sns.ts'
import { openSqs } from './sqs.ts'
import { sts } from './sts.ts'
import { type Answer, asAwsError, type Call, DEFAULT_REGION, jsonError, type Service } from './wire.ts'

export interface LocalAws {
  /** `http://localhost:<port>` */
  url: string
  /** Ends every function process and removes what was written. */
  close(): Promise<void>
}

const readAll = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const callOf = (request: IncomingMessage, response: ServerResponse): Call => {
  const url = new URL(request.url ?? '/', 'http://localhost')
  const credential = /Credential=([^,\s]+)/.exec(request.headers.authorization ?? '')?.[1]
  const [, , region, service] = (credential ?? url.searchParams.get('X-Amz-Credential') ?? '').split('/')
  let body: Promise<Buffer> | undefined
  return {
    method: request.method ?? 'GET',
    url,
    headers: request.headers,
    region: region || DEFAULT_REGION,
    service: service || undefined,
    body: () => {
      body ??= readAll(request)
      return body
    },
    request,
    response,
  }
}

const listener = (serve: Service) => async (request: IncomingMessage, response: ServerResponse) => {
  const send = ({ status, headers, body }: Answer) => {
    if (response.headersSent) return
    response.writeHead(status, headers)
    response.end(body)
  }
  try {
    const answer = await serve(callOf(request, response))
    if (answer) send(answer)
  } catch (error) {
    send(jsonError(asAwsError(error)))
  }
}

/** @param port 0 takes any free one; `now`: the time by which DynamoDB's items expire */
export const startLocalAws = async ({ port, now }: { port: number; now?: () => number }): Promise<LocalAws> => {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-local-aws-'))
  const fauxqs = await openFauxqs()
  let url = ''
  const invocations = openInvocations()
  const lambda = openLambda({ folder, endpoint: () => url, invocations }, (bucket, key) =>
    readObject(fauxqs, bucket, key),
  )
  const sqs = openSqs(fauxqs)
  const sns = openSns(fauxqs, lambda.invoke)
  const ses = openSes()
  const serve = router({
    own: (call) => ownRoute(call, ses, invocations),
    targets: {
      DynamoDB_20120810: openDynamoDb(now),
      AmazonSQS: sqs.json,
      AWSEvents: openEventBridge({ send: sqs.send, publish: sns.publish, invoke: lambda.invoke }),
    },
    forms: { '2010-03-31': sns.query, '2012-11-05': sqs.query, '2010-12-01': ses.query, '2011-06-15': sts },
    isLambda: (call) =>
      call.service === 'lambda' || (call.service === undefined && LAMBDA_PATH.test(call.url.pathname)),
    lambda: lambda.service,
    s3: openS3(fauxqs),
  })

  const servers: Server[] = []
  const listen = async (at: number, host: string): Promise<number> => {
    const server = createServer(listener(serve))
    // Clients keep connections for longer than Node's 5 seconds; one closed under them is a lost request.
    server.keepAliveTimeout = 65_000
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(at, host, resolve)
    })
    servers.push(server)
    return (server.address() as AddressInfo).port
  }
  const close = async (): Promise<void> => {
    for (const server of servers) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
    await lambda.close()
    await fauxqs.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  try {
    const bound = await listen(port, '127.0.0.1')
    url = `http://localhost:${bound}`
    // `localhost` may mean either; where there is no IPv6 the first will do.
    await listen(bound, '::1').catch(() => {})
  } catch (error) {
    await close()
    throw error
  }
  return { url, close }
}
