import { runStatuses } from '../../chains/run.ts'
import { notFound } from '../../core/errors.ts'
import { json } from '../answer.ts'
import { noBody } from '../body.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { readQuery, SCOPE, scopeOf, word } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

export const chainRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/chains',
    doc: 'Chain executions, newest first, by status and chain_name',
    async handle(c, { chains }) {
      const q = readQuery(c, [...SCOPE, ...PAGE, 'status', 'chain_name'])
      const scope = scopeOf(q)
      const of = ['chains', ...scope]
      const status = word(q, 'status', runStatuses)
      const { chain_name: name } = q
      const filter = { ...(status !== undefined && { status }), ...(name !== undefined && { name }) }
      const page = await chains.list(scope, { ...filter, ...readPage(q, of) })
      return pageOf('chains', page.chains, page.next, of)
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/{id}',
    doc: 'One execution, with every step',
    async handle(c, { chains }) {
      const found = await chains.get(scopeOf(readQuery(c, SCOPE)), param(c, 'id'))
      if (!found) throw notFound('chain execution with this id')
      return json(200, found)
    },
  },
  {
    method: 'POST',
    path: '/v1/chains/{id}/cancel',
    doc: 'Ask an execution to end; a step under way is let finish',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      return json(202, await deps.chains.cancel(scope, param(c, 'id'), callerOf(c)))
    },
  },
]
