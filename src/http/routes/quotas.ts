import { notFound, type Problem } from '../../core/errors.ts'
import { json, noContent } from '../answer.ts'
import { jsonBody, noBody } from '../body.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { etag, ifMatch } from '../precondition.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

const none = (): Problem => notFound('quota of this name')

export const quotaRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/quotas',
    doc: 'Quotas',
    handle(c, { quotas }) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const scope = scopeOf(q)
      const of = ['quotas', ...scope]
      const page = quotas.list(scope, readPage(q, of))
      return pageOf('quotas', page.quotas, page.next, of)
    },
  },
  {
    method: 'POST',
    path: '/v1/quotas',
    doc: 'Create a quota; a name is made where the body has none',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      const body = await jsonBody(c, deps.server.bodyLimitBytes)
      const done = await deps.quotas.create(scope, body, { caller: callerOf(c) })
      return json(201, done.view, etag(done.etag))
    },
  },
  {
    method: 'GET',
    path: '/v1/quotas/{name}',
    doc: 'One quota',
    handle(c, { quotas }) {
      const found = quotas.get(scopeOf(readQuery(c, SCOPE)), param(c, 'name'))
      if (!found) throw none()
      return json(200, found.view, etag(found.etag))
    },
  },
  {
    method: 'PUT',
    path: '/v1/quotas/{name}',
    doc: 'Create or replace a quota',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      const name = param(c, 'name')
      const body = await jsonBody(c, deps.server.bodyLimitBytes)
      const match = await ifMatch(c, () => deps.quotas.get(scope, name)?.etag)
      const done = await deps.quotas.put(scope, name, body, { caller: callerOf(c), ...match })
      return json(done.created ? 201 : 200, done.view, etag(done.etag))
    },
  },
  {
    method: 'DELETE',
    path: '/v1/quotas/{name}',
    doc: 'Delete a quota',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      const name = param(c, 'name')
      const match = await ifMatch(c, () => deps.quotas.get(scope, name)?.etag)
      if (!(await deps.quotas.delete(scope, name, { caller: callerOf(c), ...match }))) throw none()
      return noContent()
    },
  },
  {
    method: 'GET',
    path: '/v1/quotas/{name}/usage',
    doc: 'What is counted in the window of now',
    async handle(c, { quotas }) {
      const usage = await quotas.usage(scopeOf(readQuery(c, SCOPE)), param(c, 'name'))
      if (!usage) throw none()
      return json(200, usage)
    },
  },
]
