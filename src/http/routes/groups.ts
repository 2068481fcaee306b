import { notFound, Problem } from '../../core/errors.ts'
import { json, noContent } from '../answer.ts'
import { noBody } from '../body.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

const noGroup = (): Problem => notFound('group with this id')

export const groupRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/groups',
    doc: 'Open groups with their events',
    async handle(c, { groups }) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const scope = scopeOf(q)
      const of = ['groups', ...scope]
      const page = await groups.list(scope, readPage(q, of))
      return pageOf('groups', page.groups, page.next, of)
    },
  },
  {
    method: 'GET',
    path: '/v1/groups/{id}',
    doc: 'One group, and what of it is sealed and not being sent yet',
    async handle(c, { groups }) {
      const found = await groups.get(scopeOf(readQuery(c, SCOPE)), param(c, 'id'))
      if (!found) throw noGroup()
      return json(200, found)
    },
  },
  {
    method: 'POST',
    path: '/v1/groups/{id}/flush',
    doc: 'Seal a group now; what is sealed is sent',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      const id = param(c, 'id')
      const done = await deps.groups.flushNow(scope, id)
      if (!done) throw noGroup()
      return json(202, { group_id: id, flush_ids: done.flushIds })
    },
  },
  {
    method: 'DELETE',
    path: '/v1/groups/{id}',
    doc: 'Drop the open events of a group, naming them in the audit',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      const end = await deps.groups.discard(scope, param(c, 'id'), callerOf(c))
      if (end === 'not_found') throw noGroup()
      if (end === 'being_released')
        throw new Problem(409, 'being_released', 'the events are sealed and on their way out')
      return noContent()
    },
  },
]
