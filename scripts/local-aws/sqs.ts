/** SQS in both of its protocols. Queue URLs are `http://<host asked>/000000000000/<name>`, the region is the caller's. */
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Fauxqs } from './fauxqs.ts'
import { checkMessage } from './sqs-limits.ts'
import { inputFromForm, resultToXml, type SqsInput, type SqsResult } from './sqs-query.ts'
import {
  ACCOUNT,
  type Answer,
  AwsError,
  asAwsError,
  type Call,
  type Form,
  header,
  jsonError,
  parseArn,
  parseBody,
  queryProtocol,
} from './wire.ts'

export interface Sqs {
  json(call: Call): Promise<Answer>
  query(call: Call, form: Form): Promise<Answer>
  /** For the services that put messages into queues. */
  send(queueArn: string, body: string, more?: SqsInput): Promise<void>
}

const CONTENT_TYPE = 'application/x-amz-json-1.0'

/** Any spelling of a queue URL, or a bare name, as fauxqs keeps it. */
const insideUrl = (url: string, region: string): string => {
  const named =
    /^https?:\/\/(?:sqs\.)?([a-z]{2}(?:-[a-z]+)+-\d)\./.exec(url)?.[1] ?? /\/queue\/([^/]+)\//.exec(url)?.[1]
  const name = url.split('/').filter(Boolean).at(-1) ?? ''
  return `http://sqs.${named ?? region}.fauxqs/${ACCOUNT}/${name}`
}
const outsideUrl = (url: string, host: string): string => `http://${host}/${ACCOUNT}/${url.split('/').at(-1)}`

/** Of the event loop, from a connection's last byte to the end of what is to be answered on it, and some more. */
const TURNS = 5

export const openSqs = (fauxqs: Fauxqs): Sqs => {
  const run = async (action: string, input: SqsInput, region: string, host: string): Promise<SqsResult> => {
    if (action === 'SendMessage') checkMessage(input)
    const url = input.QueueUrl
    const inside = typeof url === 'string' ? { ...input, QueueUrl: insideUrl(url, region) } : input
    const reply = await fauxqs.post(
      { 'content-type': CONTENT_TYPE, 'x-amz-target': `AmazonSQS.${action}` },
      JSON.stringify(inside),
      region,
    )
    const text = reply.body.toString()
    const result = (text === '' ? {} : JSON.parse(text)) as SqsResult & { __type?: string; message?: string }
    if (reply.status >= 400) {
      const query = reply.headers['x-amzn-query-error']
      throw new AwsError(result.__type ?? 'InternalFailure', result.message ?? text, reply.status, {
        queryError: query ?? `${result.__type?.split('#').at(-1)};Sender`,
      })
    }
    if (result.QueueUrl) result.QueueUrl = outsideUrl(result.QueueUrl, host)
    if (result.QueueUrls) result.QueueUrls = result.QueueUrls.map((each) => outsideUrl(each, host))
    return result
  }

  /** A poll whose caller has left gives its messages back instead of hiding them for the visibility timeout. */
  const handBack = async (call: Call, action: string, input: SqsInput, result: SqsResult): Promise<void> => {
    if (action !== 'ReceiveMessage' || !result.Messages?.length) return
    // What has arrived of its leaving is read first: it may have come with the message.
    for (let turn = 0; turn < TURNS && !call.response.destroyed; turn++) await setImmediate()
    if (!call.response.destroyed) return
    for (const { ReceiptHandle } of result.Messages)
      await run(
        'ChangeMessageVisibility',
        { QueueUrl: input.QueueUrl, ReceiptHandle, VisibilityTimeout: 0 },
        call.region,
        '',
      )
  }

  const host = (call: Call): string => header(call, 'host') || 'localhost'

  return {
    json: async (call) => {
      const action = header(call, 'x-amz-target').split('.')[1] ?? ''
      try {
        const input = parseBody<SqsInput>(await call.body())
        const result = await run(action, input, call.region, host(call))
        await handBack(call, action, input, result)
        return {
          status: 200,
          headers: { 'content-type': CONTENT_TYPE, 'x-amzn-requestid': randomUUID() },
          body: JSON.stringify(result),
        }
      } catch (thrown) {
        const error = asAwsError(thrown)
        const { queryError, ...fields } = error.fields
        const answer = jsonError(new AwsError(error.code, error.message, error.status, fields), CONTENT_TYPE)
        if (typeof queryError === 'string') answer.headers['x-amzn-query-error'] = queryError
        return answer
      }
    },

    query: queryProtocol('http://queue.amazonaws.com/doc/2012-11-05/', (action) => async (form, call) => {
      const input = inputFromForm(form)
      if (input.QueueUrl === undefined && call.url.pathname !== '/') input.QueueUrl = call.url.pathname
      try {
        const result = await run(action, input, call.region, host(call))
        await handBack(call, action, input, result)
        return resultToXml(action, result)
      } catch (thrown) {
        const error = asAwsError(thrown)
        const code = String(error.fields.queryError ?? error.code).split(';')[0] ?? error.code
        throw new AwsError(code, error.message, error.status)
      }
    }),

    send: async (queueArn, body, more = {}) => {
      const { region, resource } = parseArn(queueArn)
      await run('SendMessage', { ...more, QueueUrl: resource, MessageBody: body }, region, '')
    },
  }
}
