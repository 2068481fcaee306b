import type { DefinitionView } from '../../chains/chains.ts'
import { notFound } from '../../core/errors.ts'
import type { Json, JsonObject } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Redact } from '../../core/redact.ts'
import { json, noContent } from '../answer.ts'
import { jsonBody, noBody } from '../body.ts'
import { cut, PAGE, pageOf, readPage } from '../page.ts'
import { notRedacted } from '../placeholder.ts'
import { etag, ifMatch } from '../precondition.ts'
import { readQuery } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

const OF = ['definitions']

/** Templates may hold what is not to be read, as a payload may. */
const shown = (view: DefinitionView, redact: Redact): JsonObject =>
  redact(JSON.parse(JSON.stringify(view)) as JsonObject)

export const chainDefinitionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/chains/definitions',
    doc: 'Chain definitions, of the file and of the API',
    handle(c, { chains, redact }) {
      const { items, next } = cut(chains.definitions(), (d) => d.name, readPage(readQuery(c, PAGE), OF))
      const hide = redact()
      return pageOf(
        'definitions',
        items.map((d) => shown(d, hide)),
        next,
        OF,
      )
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}',
    doc: 'One definition',
    handle(c, { chains, redact }) {
      readQuery(c, [])
      const name = param(c, 'name')
      const found = chains.definition(name)
      if (!found) throw notFound('chain definition of this name', didYouMean(name, chains.names()))
      return json(200, shown(found, redact()), etag(found.version))
    },
  },
  {
    method: 'PUT',
    path: '/v1/chains/definitions/{name}',
    doc: 'Define a chain; executions under way keep what they began with',
    async handle(c, deps) {
      readQuery(c, [])
      const name = param(c, 'name')
      const body: Json = notRedacted(await jsonBody(c, deps.server.bodyLimitBytes), deps)
      const { ifMatch: version } = await ifMatch(c, () => deps.chains.definition(name)?.version)
      const { view, created, warnings } = await deps.chains.putDefinition(name, body, callerOf(c), version)
      const told = { ...shown(view, deps.redact()), warnings: warnings.map((w) => w.message) }
      return json(created ? 201 : 200, told, etag(view.version))
    },
  },
  {
    method: 'DELETE',
    path: '/v1/chains/definitions/{name}',
    doc: 'Forget a definition made through the API',
    async handle(c, deps) {
      readQuery(c, [])
      const name = param(c, 'name')
      await noBody(c, deps.server.bodyLimitBytes)
      const { ifMatch: version } = await ifMatch(c, () => deps.chains.definition(name)?.version)
      await deps.chains.deleteDefinition(name, callerOf(c), version)
      return noContent()
    },
  },
]
