import type { Dispatcher } from 'undici'
import { MAX_RESPONSE_BYTES } from './data.ts'
import { codeOfError, failure, providerErrorCodes } from './errors.ts'

export interface TargetAnswer {
  readonly status: number
  readonly headers: { readonly [name: string]: string | string[] | undefined }
  readonly text: string
  readonly truncated: boolean
}

/**
 * Sends one request and gathers its whole answer, cut at 1 MiB, which `truncated` tells. Without the stream that undici would put in
 * between: making it and reading it cost a tenth of a small request. Rejects with undici's error, or with the signal's reason.
 */
export function gather(
  to: Dispatcher,
  request: Dispatcher.DispatchOptions,
  signal: AbortSignal,
): Promise<TargetAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    let status = 0
    let headers: TargetAnswer['headers'] = {}
    let stop: (() => void) | undefined
    let started = false
    const over = (): void => {
      if (stop) signal.removeEventListener('abort', stop)
      stop = undefined
    }
    const answered = (): void => {
      over()
      const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      const truncated = size > MAX_RESPONSE_BYTES
      const text = (truncated ? bytes.subarray(0, MAX_RESPONSE_BYTES) : bytes).toString('utf8')
      resolve({ status, headers, text, truncated })
    }
    to.dispatch(request, {
      onRequestStart(controller) {
        started = true
        over()
        if (signal.aborted) return controller.abort(signal.reason)
        stop = () => controller.abort(signal.reason)
        signal.addEventListener('abort', stop, { once: true })
      },
      onResponseStart(_, code, fields) {
        // What comes before the answer proper (100, 103) is none of it.
        if (code < 200) return
        status = code
        headers = fields
      },
      onResponseData(controller, chunk) {
        if (size > MAX_RESPONSE_BYTES) return
        chunks.push(chunk)
        size += chunk.length
        if (size <= MAX_RESPONSE_BYTES) return
        answered()
        // Nobody reads the rest: the connection is closed.
        controller.abort(new Error('the answer is too long'))
      },
      onResponseEnd: answered,
      onResponseError(_, error) {
        over()
        reject(started ? error : unsent(error))
      },
    })
  })
}

/** A connection that broke before the request had one, as in the middle of TLS, has carried nothing of it. */
function unsent(error: Error): Error {
  if (codeOfError(error) !== 'connection_reset') return error
  return failure('connection_failed', providerErrorCodes.connection_failed.meaning, { cause: error })
}
