import { z } from 'zod'
import type { Chains, DefinitionVersion, DefinitionView } from '../../chains/chains.ts'
import { type Dag, dagOf, shownDag } from '../../chains/views/dag.ts'
import { mermaidOf } from '../../chains/views/mermaid.ts'
import { notFound, type Problem } from '../../core/errors.ts'
import type { Json, JsonObject } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Redact } from '../../core/redact.ts'
import { parseWire } from '../../core/wire.ts'
import { json, noContent, plain } from '../answer.ts'
import type { Answered } from '../answered.ts'
import { jsonBody, noBody } from '../body.ts'
import { cut, PAGE, pageOf, readPage } from '../page.ts'
import { notRedacted } from '../placeholder.ts'
import { etag, ifMatch } from '../precondition.ts'
import { readQuery, word } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

const OF = ['definitions']
const enabledSchema = z.strictObject({ enabled: z.boolean(), why: z.string().max(1000).optional() })
const rollbackSchema = z.strictObject({ version: z.string().min(1).max(64) })

const unknown = (name: string, chains: Chains): Problem =>
  notFound('chain definition of this name', didYouMean(name, chains.names()))

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
      if (!found) throw unknown(name, chains)
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
  {
    method: 'PUT',
    path: '/v1/chains/definitions/{name}/enabled',
    doc: 'Switch a chain: {"enabled": false, "why": "…"}; lasts until its definition says otherwise',
    async handle(c, deps) {
      readQuery(c, [])
      const { enabled, why } = parseWire(enabledSchema, await jsonBody(c, deps.server.bodyLimitBytes), 'switch')
      const how = { by: callerOf(c), ...(why !== undefined && { why }) }
      const view = await deps.chains.setEnabled(param(c, 'name'), enabled, how)
      return json(200, shown(view, deps.redact()), etag(view.version))
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}/dag',
    doc: 'Its steps and the ways between them; `?format=mermaid` as a Mermaid flowchart',
    handle(c, { chains, redact }) {
      const q = readQuery(c, ['format'])
      const name = param(c, 'name')
      const found = chains.definition(name)
      if (!found) throw unknown(name, chains)
      return dagAnswer(shownDag(dagOf(found.definition), redact()), word(q, 'format', dagFormats))
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}/versions',
    doc: 'The versions a definition has had, newest first',
    async handle(c, { chains, redact }) {
      const name = param(c, 'name')
      const of = ['versions', name]
      const { versions, next } = await chains.versions(name, readPage(readQuery(c, PAGE), of))
      const hide = redact()
      return pageOf(
        'versions',
        versions.map((v) => shown(v, hide)),
        next,
        of,
      )
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/definitions/{name}/versions/{version}',
    doc: 'One version, with the definition as it was',
    async handle(c, { chains, redact }) {
      readQuery(c, [])
      const found = await chains.version(param(c, 'name'), param(c, 'version'))
      return json(200, shown(found, redact()), etag(found.version))
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
      const { view, warnings } = await deps.chains.rollback(name, version, callerOf(c), held)
      const told = { ...shown(view, deps.redact()), warnings: warnings.map((w) => w.message) }
      return json(200, told, etag(view.version))
    },
  },
]
