import { z } from 'zod'
import { notFound, type Problem } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import { parseWire } from '../../core/wire.ts'
import { json } from '../answer.ts'
import type { Answered } from '../answered.ts'
import { optionalBody } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { cut, PAGE, pageOf, readPage } from '../page.ts'
import { readQuery } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Ctx, Route } from '../route.ts'

const OF = ['circuit_breakers']
const handSchema = z.strictObject({ why: z.string().max(1000).optional() })

const none = ({ breakers }: HttpDeps, provider: string): Problem =>
  notFound(
    'circuit breaker of this provider',
    didYouMean(
      provider,
      breakers.list().map((b) => b.provider),
    ),
  )

async function byHand(c: Ctx, deps: HttpDeps, what: 'trip' | 'reset'): Promise<Answered> {
  readQuery(c, [])
  const provider = param(c, 'provider')
  const { why } = parseWire(handSchema, await optionalBody(c, deps.server.bodyLimitBytes), 'change')
  const by = callerOf(c)
  const said = why === undefined ? {} : { why }
  const record = deps.adminRow(`circuit breaker ${what}`, { provider, ...said }, by)
  if (!(await deps.breakers[what](provider, { by, ...said, ...(record && { record }) }))) throw none(deps, provider)
  return json(200, deps.breakers.get(provider) ?? { provider })
}

export const circuitBreakerRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/circuit-breakers',
    doc: 'Circuit breakers',
    handle(c, { breakers }) {
      const { items, next } = cut(breakers.list(), (b) => b.provider, readPage(readQuery(c, PAGE), OF))
      return pageOf('circuit_breakers', items, next, OF)
    },
  },
  {
    method: 'GET',
    path: '/v1/circuit-breakers/{provider}',
    doc: 'One circuit breaker',
    handle(c, deps) {
      readQuery(c, [])
      const provider = param(c, 'provider')
      const found = deps.breakers.get(provider)
      if (!found) throw none(deps, provider)
      return json(200, found)
    },
  },
  {
    method: 'POST',
    path: '/v1/circuit-breakers/{provider}/trip',
    doc: 'Open a breaker by hand ({"why": "…"}); it recovers as from failures',
    handle: (c, deps) => byHand(c, deps, 'trip'),
  },
  {
    method: 'POST',
    path: '/v1/circuit-breakers/{provider}/reset',
    doc: 'Close a breaker and forget the failures',
    handle: (c, deps) => byHand(c, deps, 'reset'),
  },
]
