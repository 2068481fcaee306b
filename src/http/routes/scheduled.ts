import { notFound, Problem } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Cancelled } from '../../schedules/schedules.ts'
import { json, noContent } from '../answer.ts'
import { noBody } from '../body.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { invalidParameter, readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

const KINDS = ['scheduled', 'copy', 'occurrence', 'delivery'] as const

/** What is held, by what holds it; scheduled actions, where it is not said. */
function kindOf(q: { readonly kind?: string }): (typeof KINDS)[number] {
  const { kind = 'scheduled' } = q
  const known = KINDS.find((k) => k === kind)
  if (!known) throw invalidParameter('kind', `must be one of ${KINDS.join(', ')}${didYouMean(kind, KINDS)}`)
  return known
}
const missing = (kind: string): Problem =>
  notFound(kind === 'scheduled' ? 'scheduled action with this hold id' : `${kind} with this hold id`)

export const scheduledRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/scheduled',
    doc: 'Scheduled actions that have not been released; ?kind= asks for what else is held: copy, occurrence, delivery',
    async handle(c, { schedules, deliveries }) {
      const q = readQuery(c, [...SCOPE, ...PAGE, 'kind'])
      const scope = scopeOf(q)
      const kind = kindOf(q)
      const of = kind === 'scheduled' ? ['scheduled', ...scope] : ['scheduled', ...scope, kind]
      const asked = readPage(q, of)
      if (kind !== 'delivery') {
        const page = await schedules.list(scope, asked, kind)
        return pageOf('scheduled', page.scheduled, page.next, of)
      }
      const page = await deliveries.list(scope, asked)
      return pageOf('scheduled', page.deliveries, page.next, of)
    },
  },
  {
    method: 'GET',
    path: '/v1/scheduled/{id}',
    doc: 'One scheduled action; or by ?kind= what else is held',
    async handle(c, { schedules, deliveries }) {
      const q = readQuery(c, [...SCOPE, 'kind'])
      const [scope, kind, id] = [scopeOf(q), kindOf(q), param(c, 'id')]
      const found = await (kind === 'delivery' ? deliveries.get(scope, id) : schedules.get(scope, id, kind))
      if (!found) throw missing(kind)
      return json(200, found)
    },
  },
  {
    method: 'DELETE',
    path: '/v1/scheduled/{id}',
    doc: 'Cancel a scheduled action, or by ?kind= what else is held, unless it is being released',
    async handle(c, deps) {
      const q = readQuery(c, [...SCOPE, 'kind'])
      const [scope, kind, id] = [scopeOf(q), kindOf(q), param(c, 'id')]
      await noBody(c, deps.server.bodyLimitBytes)
      const by = callerOf(c)
      const end: Cancelled =
        kind === 'delivery'
          ? await deps.deliveries.cancel(scope, id, by)
          : await deps.schedules.cancel(scope, id, by, kind)
      if (end === 'not_found') throw missing(kind)
      if (end === 'being_released') throw new Problem(409, 'being_released', 'the action is being released')
      return noContent()
    },
  },
]
