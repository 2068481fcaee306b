import type { Scope } from '../../core/action.ts'
import { notFound, type Problem } from '../../core/errors.ts'
import { isObject, type Json, own } from '../../core/json.ts'
import { invalid } from '../../core/wire.ts'
import { policyId } from '../../retention/policy.ts'
import { json, noContent } from '../answer.ts'
import type { Answered } from '../answered.ts'
import { jsonBody, noBody } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { etag, ifMatch } from '../precondition.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Ctx, Route } from '../route.ts'

const none = (): Problem => notFound('retention policy')

/** A scope has one policy, whose id follows from it: naming it says nothing new, but must not be wrong. */
function named(c: Ctx): Scope {
  const scope = scopeOf(readQuery(c, SCOPE))
  if (c.req.param('id') !== undefined && param(c, 'id') !== policyId(scope)) throw none()
  return scope
}
/** What the address names is what is replaced. */
function sameScope(body: Json, scope: Scope): void {
  const wrong = (['namespace', 'tenant'] as const).filter((part, i) => {
    const given = isObject(body) ? (own(body, part) ?? null) : null
    return given !== null && given !== scope[i]
  })
  const errors = wrong.map((part) => ({ pointer: `/${part}`, message: 'is not that of the policy the address names' }))
  if (errors.length > 0) throw invalid('retention', errors)
}
function read(c: Ctx, { retention }: HttpDeps): Answered {
  const found = retention.get(named(c))
  if (!found) throw none()
  return json(200, found.view, etag(found.etag))
}
async function put(c: Ctx, deps: HttpDeps): Promise<Answered> {
  const scope = named(c)
  const body = await jsonBody(c, deps.server.bodyLimitBytes)
  if (c.req.param('id') !== undefined) sameScope(body, scope)
  const match = await ifMatch(c, () => deps.retention.get(scope)?.etag)
  const done = await deps.retention.put(scope, body, { caller: callerOf(c), ...match })
  return json(done.created ? 201 : 200, done.view, etag(done.etag))
}
async function remove(c: Ctx, deps: HttpDeps): Promise<Answered> {
  const scope = named(c)
  await noBody(c, deps.server.bodyLimitBytes)
  const match = await ifMatch(c, () => deps.retention.get(scope)?.etag)
  if (!(await deps.retention.delete(scope, { caller: callerOf(c), ...match }))) throw none()
  return noContent()
}

export const retentionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/retention',
    doc: 'The retention policy of a scope, as a list of at most one',
    handle(c, { retention }) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const scope = scopeOf(q)
      const of = ['retention', ...scope]
      readPage(q, of)
      return pageOf('retention', retention.list(scope), undefined, of)
    },
  },
  {
    method: 'POST',
    path: '/v1/retention',
    doc: 'Create the retention policy of a scope',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      const body = await jsonBody(c, deps.server.bodyLimitBytes)
      const done = await deps.retention.create(scope, body, { caller: callerOf(c) })
      return json(201, done.view, etag(done.etag))
    },
  },
  { method: 'PUT', path: '/v1/retention', doc: 'Create or replace the retention policy of a scope', handle: put },
  { method: 'DELETE', path: '/v1/retention', doc: 'Delete the retention policy of a scope', handle: remove },
  { method: 'GET', path: '/v1/retention/{id}', doc: 'The policy by its id', handle: read },
  { method: 'PUT', path: '/v1/retention/{id}', doc: 'Replace the policy', handle: put },
  { method: 'DELETE', path: '/v1/retention/{id}', doc: 'Delete the policy', handle: remove },
]
