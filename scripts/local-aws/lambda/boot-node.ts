/**
 * Runs inside a function's process: loads the handler, then answers one line with one line.
 * stdin: {id, payload, context?, deadline, arn}; fd 3: {ready} | {init: error}, then {id, result} | {id, error}.
 * stdout and stderr stay the function's own.
 */
import { existsSync } from 'node:fs'
import { Socket } from 'node:net'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import type { FunctionFault, WorkerRequest } from './worker.ts'

type Handler = (event: unknown, context: object, callback: (error: unknown, value?: unknown) => void) => unknown

const out = new Socket({ fd: 3, readable: false, writable: true })
const say = (message: object, then?: () => void) => out.write(`${JSON.stringify(message)}\n`, then)

const fault = (error: unknown): FunctionFault => {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] }
  return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? '').split('\n') }
}
const runtimeError = (name: string, message: string): Error => Object.assign(new Error(message), { name })

const load = async (): Promise<Handler> => {
  const [, file = '', name = ''] = /^(.*)\.([^.]+)$/.exec(process.env._HANDLER ?? '') ?? []
  const path = ['.js', '.mjs', '.cjs'].map((extension) => resolve(file + extension)).find((each) => existsSync(each))
  if (!path) throw runtimeError('Runtime.ImportModuleError', `Error: Cannot find module '${file}'`)
  const loaded = (await import(pathToFileURL(path).href)) as Record<string, unknown> & {
    default?: Record<string, unknown>
  }
  const handler = loaded[name] ?? loaded.default?.[name]
  if (typeof handler === 'function') return handler as Handler
  throw runtimeError('Runtime.HandlerNotFound', `${file}.${name} is undefined or not exported`)
}

const contextFor = ({ id, context, deadline, arn }: WorkerRequest): object => ({
  awsRequestId: id,
  functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
  functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
  invokedFunctionArn: arn,
  memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
  logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
  logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
  callbackWaitsForEmptyEventLoop: true,
  getRemainingTimeInMillis: () => deadline - Date.now(),
  ...(context === undefined ? {} : { clientContext: JSON.parse(context) as unknown }),
})

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

const answer = (handler: Handler, request: WorkerRequest): Promise<unknown> =>
  new Promise((done, fail) => {
    const returned = handler(JSON.parse(request.payload), contextFor(request), (error, value) =>
      error ? fail(error) : done(value),
    )
    if (isThenable(returned)) returned.then(done, fail)
    else if (handler.length < 3) done(returned)
  })

try {
  const handler = await load()
  say({ ready: true })
  const lines = createInterface({ input: process.stdin })
  lines.on('close', () => process.exit(0))
  lines.on('line', async (line) => {
    const request = JSON.parse(line) as WorkerRequest
    try {
      say({ id: request.id, result: JSON.stringify((await answer(handler, request)) ?? null) })
    } catch (error) {
      say({ id: request.id, error: fault(error) })
    }
  })
} catch (error) {
  say({ init: fault(error) }, () => process.exit(1))
}
