import { type Answer, AwsError, type Call, header, json } from '../wire.ts'
import type { Functions, LambdaFunction, Version } from './functions.ts'
import type { Ended } from './worker.ts'

const parsed = (text: string, what: string): string => {
  try {
    JSON.parse(text)
    return text
  } catch (error) {
    throw new AwsError(
      'InvalidRequestContentException',
      `Could not parse ${what} into json: ${(error as Error).message}`,
    )
  }
}

const tail = (id: string, version: string, log: string, milliseconds: number): string => {
  const lines = [`START RequestId: ${id} Version: ${version}`, log.trimEnd(), `END RequestId: ${id}`]
  const report = `REPORT RequestId: ${id}\tDuration: ${milliseconds} ms\tBilled Duration: ${milliseconds} ms\t`
  return Buffer.from(`${[...lines.filter(Boolean), report].join('\n')}\n`).toString('base64')
}

/** A function that fails is an answer with status 200 and `X-Amz-Function-Error`. */
const answerOf = (ended: Ended, headers: Record<string, string>): Answer =>
  'fault' in ended
    ? json(ended.fault, 200, { ...headers, 'x-amz-function-error': 'Unhandled' })
    : { ...json(undefined, 200, headers), body: ended.result }

export const invoke = async (
  functions: Functions,
  of: LambdaFunction,
  version: Version,
  call: Call,
  arn: string,
): Promise<Answer> => {
  const type = header(call, 'x-amz-invocation-type') || 'RequestResponse'
  const body = (await call.body()).toString()
  const payload = parsed(body || '{}', 'request body')
  switch (type) {
    case 'DryRun':
      return json(undefined, 204)
    case 'Event':
      // Asynchronous calls carry no client context on AWS either. A failed one is not repeated here.
      functions.invoke(version, arn, payload).catch(console.error)
      return json(undefined, 202)
    case 'RequestResponse': {
      const encoded = header(call, 'x-amz-client-context')
      const context = encoded && parsed(Buffer.from(encoded, 'base64').toString(), 'client context')
      const started = Date.now()
      const { id, ended, log } = await functions.invoke(version, arn, payload, context || undefined)
      const number = version.configuration.Version
      const wantsLog = header(call, 'x-amz-log-type') === 'Tail'
      return answerOf(ended, {
        'x-amzn-requestid': id,
        'x-amz-executed-version': number,
        ...(wantsLog ? { 'x-amz-log-result': tail(id, number, log, Date.now() - started) } : {}),
      })
    }
    default:
      throw new AwsError('InvalidParameterValueException', `Unknown invocation type ${type} for ${of.name}`)
  }
}
