import { whereIs } from '../../dispatch/where.ts'
import { json } from '../answer.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import { param } from '../request.ts'
import type { Route } from '../route.ts'

export const actionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/actions/{action_id}',
    doc: 'Where an action is now, and what is recorded of it',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      return json(200, await whereIs(deps, scope, param(c, 'action_id')))
    },
  },
]
