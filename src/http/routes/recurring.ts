import { notFound, Problem } from '../../core/errors.ts'
import { json, noContent } from '../answer.ts'
import type { Answered } from '../answered.ts'
import { jsonBody, noBody } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { notRedacted } from '../placeholder.ts'
import { etag, ifMatch } from '../precondition.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Ctx, Route } from '../route.ts'

const none = (): Problem => notFound('recurring action of this name')

async function turned(c: Ctx, deps: HttpDeps, turn: 'pause' | 'resume'): Promise<Answered> {
  const scope = scopeOf(readQuery(c, SCOPE))
  await noBody(c, deps.server.bodyLimitBytes)
  const name = param(c, 'name')
  const match = await ifMatch(c, async () => (await deps.recurrings.get(scope, name))?.etag)
  const done = await deps.recurrings[turn](scope, name, { caller: callerOf(c), ...match })
  return json(200, done.view, etag(done.etag))
}

export const recurringRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/recurring',
    doc: 'Recurring actions',
    async handle(c, { recurrings }) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const scope = scopeOf(q)
      const of = ['recurring', ...scope]
      const page = await recurrings.list(scope, readPage(q, of))
      return pageOf('recurring', page.recurring, page.next, of)
    },
  },
  {
    method: 'POST',
    path: '/v1/recurring',
    doc: 'Create a recurring action; a name is made where the body has none',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      const body = notRedacted(await jsonBody(c, deps.server.bodyLimitBytes), deps)
      const done = await deps.recurrings.create(scope, body, { caller: callerOf(c) })
      return json(201, done.view, etag(done.etag))
    },
  },
  {
    method: 'GET',
    path: '/v1/recurring/{name}',
    doc: 'One recurring action',
    async handle(c, { recurrings }) {
      const found = await recurrings.get(scopeOf(readQuery(c, SCOPE)), param(c, 'name'))
      if (!found) throw none()
      return json(200, found.view, etag(found.etag))
    },
  },
  {
    method: 'PUT',
    path: '/v1/recurring/{name}',
    doc: 'Create or replace a recurring action; the same body again changes nothing',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      const name = param(c, 'name')
      const body = notRedacted(await jsonBody(c, deps.server.bodyLimitBytes), deps)
      const match = await ifMatch(c, async () => (await deps.recurrings.get(scope, name))?.etag)
      const done = await deps.recurrings.put(scope, name, body, { caller: callerOf(c), ...match })
      return json(done.created ? 201 : 200, done.view, etag(done.etag))
    },
  },
  {
    method: 'DELETE',
    path: '/v1/recurring/{name}',
    doc: 'Delete a recurring action; occurrences already admitted go on',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      const name = param(c, 'name')
      const match = await ifMatch(c, async () => (await deps.recurrings.get(scope, name))?.etag)
      if (!(await deps.recurrings.delete(scope, name, { caller: callerOf(c), ...match }))) throw none()
      return noContent()
    },
  },
  {
    method: 'POST',
    path: '/v1/recurring/{name}/pause',
    doc: 'Make no more occurrences until it is resumed',
    handle: (c, deps) => turned(c, deps, 'pause'),
  },
  {
    method: 'POST',
    path: '/v1/recurring/{name}/resume',
    doc: 'Go on with the next occurrence after now',
    handle: (c, deps) => turned(c, deps, 'resume'),
  },
  {
    method: 'POST',
    path: '/v1/recurring/{name}/backfill',
    doc: 'Not supported yet: 501',
    handle() {
      throw new Problem(501, 'not_supported', 'backfill is not supported yet')
    },
  },
]
