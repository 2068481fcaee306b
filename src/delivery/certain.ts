import type { Json } from '../core/json.ts'
import type { Provider, Receipt } from '../core/provider.ts'
import { asProviderError, NEVER } from './attempt.ts'
import type { createLanes } from './lane.ts'
import { attempted, type LegDeps } from './leg.ts'
import type { Route } from './route.ts'

/** Providers to which sending can neither fail nor wait: breaker, bulkhead and rate limit have no say. */
export interface Certain {
  /** It has no effect outside, no rate limit, and its breaker is closed. */
  is(provider: string): boolean
  /** One attempt, done when it returns. Never throws. Undefined: it failed all the same, and the log says how. */
  sendNow(to: Instant, request: Json): Receipt | undefined
  /** One that has to be waited for. Never rejects. */
  send(to: Provider, request: Json): Promise<Receipt | undefined>
}
type Instant = Provider & Required<Pick<Provider, 'sendNow'>>
export const isInstant = (p: Provider): p is Instant => p.sendNow !== undefined

export function createCertain(
  legDeps: LegDeps,
  lanes: ReturnType<typeof createLanes>,
  routeOf: (provider: string) => Route | undefined,
): Certain {
  const { clock, log } = legDeps.env
  function succeeded(name: string, startedAt: number, receipt: Receipt): Receipt {
    legDeps.breakers.succeeded(name, attempted(legDeps, lanes.of(name), name, startedAt))
    return receipt
  }
  function didFail(name: string, startedAt: number, e: unknown): undefined {
    const error = asProviderError(log, name, e)
    attempted(legDeps, lanes.of(name), name, startedAt, error)
    log.error({ provider: name, code: error.code }, 'a provider that cannot fail did')
  }
  return {
    is(provider) {
      const route = routeOf(provider)
      if (!route || route.provider.hasEffect || route.rateLimit) return false
      return legDeps.breakers.closed(provider) && lanes.of(provider).limiter.blockedUntil <= clock.now()
    },
    sendNow(to, request) {
      const startedAt = clock.now()
      try {
        return succeeded(to.name, startedAt, to.sendNow(request))
      } catch (e) {
        return didFail(to.name, startedAt, e)
      }
    },
    async send(to, request) {
      const startedAt = clock.now()
      try {
        return succeeded(to.name, startedAt, await to.send(request, { token: '', signal: NEVER }))
      } catch (e) {
        return didFail(to.name, startedAt, e)
      }
    },
  }
}
