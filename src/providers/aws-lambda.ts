import { z } from 'zod'
import { isObject, type Json, own } from '../core/json.ts'
import { LINEAGE_KEY } from '../core/lineage.ts'
import { defineProvider, type Receipt, type RenderContext } from '../core/provider.ts'
import { awsCalls } from './aws/client.ts'
import { awsConfig } from './aws/config.ts'
import { decode, stored } from './wire/data.ts'
import { failure } from './wire/errors.ts'

type Request = {
  readonly FunctionName: string
  readonly Qualifier?: string
  readonly InvocationType: 'RequestResponse' | 'Event' | 'DryRun'
  readonly Payload: string
  readonly ClientContext?: string
}

/**
 * Invokes one function with the payload as its event; the answer is the function's own result. Token and lineage travel as
 * `context.client_context.custom.signalbox_…`, which Lambda hands only to synchronous calls.
 */
export const awsLambda = defineProvider({
  type: 'aws-lambda',
  verbs: ['invoke'],
  config: awsConfig({
    function_name: z.string().min(1),
    qualifier: z.string().min(1).optional(),
    invocation_type: z.enum(['RequestResponse', 'Event', 'DryRun']).default('RequestResponse'),
    response: z.enum(['raw', 'proxy']).default('raw'),
  }),
  open(name, config, env) {
    const target = {
      FunctionName: config.function_name,
      ...(config.qualifier !== undefined && { Qualifier: config.qualifier }),
    }
    const synchronous = config.invocation_type === 'RequestResponse'
    const aws = awsCalls(
      config,
      env,
      () => import('@aws-sdk/client-lambda'),
      (sdk, settings) => new sdk.LambdaClient(settings),
    )
    return {
      name,
      type: 'aws-lambda',
      hasEffect: true,
      render: (action, context): Request => ({
        ...target,
        InvocationType: config.invocation_type,
        Payload: JSON.stringify(action.payload),
        ...(synchronous && { ClientContext: clientContext(context) }),
      }),
      dedupWindowMs: () => 0,
      async send(request, { signal }) {
        const { Payload, ...input } = stored<Request>(request)
        const answer = await aws.call(signal, (client, sdk, options) =>
          client.send(new sdk.InvokeCommand({ ...input, Payload: Buffer.from(Payload) }), options),
        )
        const status = answer.StatusCode ?? 200
        const text = answer.Payload ? Buffer.from(answer.Payload).toString('utf8') : ''
        const body = text === '' ? null : decode(text)
        if (answer.FunctionError !== undefined)
          throw failure('function_error', `the function failed (${answer.FunctionError})`, {
            response: { status, body },
          })
        return config.response === 'proxy' && synchronous ? unwrapProxy(body) : { status, body }
      },
      async check(signal) {
        await aws.call(signal, (client, sdk, options) => client.send(new sdk.GetFunctionCommand(target), options))
      },
      close: aws.close,
    }
  },
})

const clientContext = ({ token, lineage }: RenderContext): string => {
  const custom = { signalbox_token: token, ...(lineage !== undefined && { [LINEAGE_KEY]: lineage }) }
  return Buffer.from(JSON.stringify({ custom })).toString('base64')
}

/** The shape API Gateway's proxy integration gives a result: `{statusCode, headers, body, isBase64Encoded}`. */
function unwrapProxy(result: Json): Receipt {
  const status = isObject(result) ? own(result, 'statusCode') : undefined
  if (!isObject(result) || typeof status !== 'number')
    throw failure('function_error', 'the function gave no statusCode, which response = "proxy" needs', {
      response: { status: 200, body: result },
    })
  const raw = own(result, 'body') ?? null
  const text = typeof raw === 'string' && own(result, 'isBase64Encoded') === true ? fromBase64(raw) : raw
  const body = typeof text === 'string' ? decode(text) : text
  if (status >= 500) throw failure('server_error', `the function answered ${status}`, { response: { status, body } })
  return { status, body }
}
const fromBase64 = (text: string): string => Buffer.from(text, 'base64').toString('utf8')
