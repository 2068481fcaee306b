import { z } from 'zod'
import type { Chains, DefinitionVersion, DefinitionView } from '../../chains/chains.ts'
import { type Dag, dagOf, shownDag } from '../../chains/views/dag.ts'
import { mermaidOf } from '../../chains/views/mermaid.ts'
import { notFound } from '../../core/errors.ts'
import type { Json, JsonObject } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Redact } from '../../core/redact.ts'
import { parseWire, preconditionFailed } from '../../core/wire.ts'
import { json, noContent, plain } from '../answer.ts'
import type { Answered } from '../answered.ts'
import { jsonBody, noBody } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { cut, PAGE, pageOf, readPage } from '../page.ts'
import { notRedacted } from '../placeholder.ts'
import { etag, ifMatch } from '../precondition.ts'
import { readQuery, word } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

const OF = ['definitions']
const enabledSchema = z.strictObject({ enabled: z.boolean(), why: z.string().max(1000).optional() })
const rollbackSchema = z.strictObject({ version: z.string().min(1).max(64) })

function named(name: string, chains: Chains): DefinitionView {
  const found = chains.definition(name)
  if (!found) throw notFound('chain definition of this name', didYouMean(name, chains.names()))
  return found
}

export const dagFormats = ['json', 'mermaid'] as const
/** As JSON, or as the text of a Mermaid flowchart coloured by `statuses`. */
export const dagAnswer = (
  dag: Dag,
  format: (typeof dagFormats)[number] = 'json',
  statuses?: ReadonlyMap<string, string>,
): Answered => (format === 'json' ? json(200, dag) : plain(mermaidOf(dag, statuses)))

/** Templates may hold what is not to be read, as a payload may. */
const shown = (view: DefinitionView | DefinitionVersion, redact: Redact): JsonObject =>
  redact(JSON.parse(JSON.stringify(view)) as JsonObject)
const answer = (
  view: DefinitionView | DefinitionVersion,
  { redact }: HttpDeps,
  more: JsonObject = {},
  status: 200 | 201 = 200,
): Answered => json(status, { ...shown(view, redact()), ...more }, etag(view.version))
/** What was put in force, with what is odd about it. */
const inForce = ({ view, warnings, created = false }: PutInForce, deps: HttpDeps): Answered =>
  answer(view, deps, { warnings: warnings.map((w) => w.message) }, created ? 201 : 200)
interface PutInForce {
  readonly view: DefinitionView
  readonly warnings: readonly { readonly message: string }[]
  readonly created?: boolean
}

function listed(
  name: string,
  views: readonly (DefinitionView | DefinitionVersion)[],
  next: string | undefined,
  of: readonly string[],
  { redact }: HttpDeps,
): Answered {
  const hide = redact()
  return pageOf(
    name,
    views.map((v) => shown(v, hide)),
    next,
    of,
  )
}

export const chainDefinitionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/chains/definitions',
    doc: 'Chain definitions, of the file and of the API',
    handle(c, deps) {
      const { items, next } = cut(deps.chains.definitions(), (d) => d.name, readPage(readQuery(c, PAGE), OF))
      return listed('definitions', items, next, OF, deps)
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}',
    doc: 'One definition',
    handle(c, deps) {
      readQuery(c, [])
      return answer(named(param(c, 'name'), deps.chains), deps)
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
      return inForce(await deps.chains.putDefinition(name, body, callerOf(c), version), deps)
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
  {
    method: 'PUT',
    path: '/v1/chains/definitions/{name}/enabled',
    doc: 'Switch a chain: {"enabled": false, "why": "…"}; lasts until its definition says otherwise',
    async handle(c, deps) {
      readQuery(c, [])
      const { enabled, why } = parseWire(enabledSchema, await jsonBody(c, deps.server.bodyLimitBytes), 'switch')
      const how = { by: callerOf(c), ...(why !== undefined && { why }) }
      const { ifMatch: held } = await ifMatch(c, () => deps.chains.definition(param(c, 'name'))?.version)
      if (held !== undefined && deps.chains.definition(param(c, 'name'))?.version !== held)
        throw preconditionFailed('chain definition')
      return answer(await deps.chains.setEnabled(param(c, 'name'), enabled, how), deps)
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}/dag',
    doc: 'Its steps and the ways between them; `?format=mermaid` as a Mermaid flowchart',
    handle(c, { chains, redact }) {
      const q = readQuery(c, ['format'])
      const { definition } = named(param(c, 'name'), chains)
      return dagAnswer(shownDag(dagOf(definition), redact()), word(q, 'format', dagFormats))
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}/versions',
    doc: 'The versions a definition has had, newest first',
    async handle(c, deps) {
      const name = param(c, 'name')
      const of = ['versions', name]
      const { versions, next } = await deps.chains.versions(name, readPage(readQuery(c, PAGE), of))
      return listed('versions', versions, next, of, deps)
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}/versions/{version}',
    doc: 'One version, with the definition as it was',
    async handle(c, deps) {
      readQuery(c, [])
      return answer(await deps.chains.version(param(c, 'name'), param(c, 'version')), deps)
    },
  },
  {
    method: 'POST',
    path: '/v1/chains/definitions/{name}/rollback',
    doc: 'Put a version of before in force again: {"version": "…"}; it is checked against what there is today',
    async handle(c, deps) {
      readQuery(c, [])
      const name = param(c, 'name')
      const { version } = parseWire(rollbackSchema, await jsonBody(c, deps.server.bodyLimitBytes), 'rollback')
      const { ifMatch: held } = await ifMatch(c, () => deps.chains.definition(name)?.version)
      return inForce(await deps.chains.rollback(name, version, callerOf(c), held), deps)
    },
  },
]
