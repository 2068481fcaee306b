import { notFound, Problem } from '../../core/errors.ts'
import { json, noContent } from '../answer.ts'
import { noBody } from '../body.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

export const scheduledRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/scheduled',
    doc: 'Scheduled actions that have not been released',
    async handle(c, { schedules }) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const scope = scopeOf(q)
      const of = ['scheduled', ...scope]
      const page = await schedules.list(scope, readPage(q, of))
      return pageOf('scheduled', page.scheduled, page.next, of)
    },
  },
  {
    method: 'GET',
    path: '/v1/scheduled/{id}',
    doc: 'One scheduled action',
    async handle(c, { schedules }) {
      const found = await schedules.get(scopeOf(readQuery(c, SCOPE)), param(c, 'id'))
      if (!found) throw notFound('scheduled action with this hold id')
      return json(200, found)
    },
  },
  {
    method: 'DELETE',
    path: '/v1/scheduled/{id}',
    doc: 'Cancel a scheduled action, unless it is being released',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      const end = await deps.schedules.cancel(scope, param(c, 'id'), callerOf(c))
      if (end === 'not_found') throw notFound('scheduled action with this hold id')
      if (end === 'being_released') throw new Problem(409, 'being_released', 'the action is being released')
      return noContent()
    },
  },
]
