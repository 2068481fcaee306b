import { type Clock, deadline } from '../core/clock.ts'
import type { Log } from '../core/env.ts'
import { ProviderError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { Provider, Receipt } from '../core/provider.ts'

/** The claim went while an attempt was under way: whatever comes of it is somebody else's now. */
export class ClaimLost extends Error {
  override readonly name = 'ClaimLost'
}

/**
 * One attempt. Rejects with a ProviderError, or ClaimLost when `lost` aborts, and with nothing else; at `timeoutMs` at the
 * latest, also when the provider does not heed its signal. After a timeout nobody knows what the other side did.
 */
export function attempt(
  deps: { readonly clock: Clock; readonly log: Log },
  provider: Provider,
  request: Json,
  opts: { readonly token: string; readonly timeoutMs: number; readonly lost: AbortSignal },
): Promise<Receipt> {
  if (!provider.hasEffect) return here(deps.log, provider, request, opts.token)
  return new Promise((resolve, reject) => {
    const abort = new AbortController()
    const clear = () => {
      timer.cancel()
      opts.lost.removeEventListener('abort', lose)
    }
    const fail = (e: ProviderError | ClaimLost) => {
      clear()
      reject(e)
      abort.abort(e)
    }
    const lose = () => fail(new ClaimLost('the claim is lost'))
    const timer = deadline(deps.clock, opts.timeoutMs, () => {
      const message = `${provider.name} did not answer within ${opts.timeoutMs} ms`
      fail(new ProviderError('timeout', message, { retryable: true, unknown: true, timeout: true }))
    })
    opts.lost.addEventListener('abort', lose, { once: true })
    const send = async () => provider.send(request, { token: opts.token, signal: abort.signal })
    send().then(
      (receipt) => {
        clear()
        resolve(receipt)
      },
      (e: unknown) => {
        if (!abort.signal.aborted) fail(asProviderError(deps.log, provider.name, e))
      },
    )
  })
}

/** For what nobody ever cuts short. */
export const NEVER = new AbortController().signal

/** What leaves the machine alone neither hangs nor ends unknown: no timer, nothing to cut short. */
async function here(log: Log, provider: Provider, request: Json, token: string): Promise<Receipt> {
  try {
    return await provider.send(request, { token, signal: NEVER })
  } catch (e) {
    throw asProviderError(log, provider.name, e)
  }
}

/** A provider that throws something else has a fault of its own: nobody knows how far it had come, and the text is for the log. */
export function asProviderError(log: Log, provider: string, e: unknown): ProviderError {
  if (e instanceof ProviderError) return e
  log.error({ provider, err: e }, 'a provider threw something that is no provider error')
  const message = `${provider} failed without saying how; the log of the gateway has it`
  return new ProviderError('provider_fault', message, { unknown: true, cause: e })
}
