import { runStatuses } from '../../chains/model/run.ts'
import { dagOf, shownDag } from '../../chains/views/dag.ts'
import { dagStatuses } from '../../chains/views/run-dag.ts'
import { notFound } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { json } from '../answer.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { invalidParameter, moment, readQuery, SCOPE, scopeOf, word } from '../query.ts'
import { param } from '../request.ts'
import type { Route } from '../route.ts'
import { dagAnswer, dagFormats } from './chain-definitions.ts'

/** Looking at chain executions. */
export const chainRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/chains',
    doc: 'Chain executions, newest first, by status, chain_name, entity, attribute (name:value), from and to',
    async handle(c, { chains }) {
      const q = readQuery(c, [...SCOPE, ...PAGE, 'status', 'chain_name', 'entity', 'attribute', 'from', 'to'])
      const scope = scopeOf(q)
      const of = ['chains', ...scope]
      const status = word(q, 'status', runStatuses)
      const from = moment(q, 'from')
      const to = moment(q, 'to')
      const attribute = q.attribute === undefined ? undefined : attributeOf(q.attribute)
      const page = await chains.list(scope, {
        ...(status !== undefined && { status }),
        ...(q.chain_name !== undefined && { name: q.chain_name }),
        ...(q.entity !== undefined && { entity: q.entity }),
        ...(attribute && { attribute }),
        ...(from !== undefined && { from }),
        ...(to !== undefined && { to }),
        ...readPage(q, of),
      })
      return pageOf('chains', page.chains, page.next, of)
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/summary',
    doc: 'Of each chain: executions by status, success rate, mean and 95th percentile of time; `from` and `to`, else the last day',
    async handle(c, { chains }) {
      const q = readQuery(c, [...SCOPE, 'from', 'to'])
      const from = moment(q, 'from')
      const to = moment(q, 'to')
      const asked = { ...(from !== undefined && { from }), ...(to !== undefined && { to }) }
      return json(200, await chains.summary(scopeOf(q), asked))
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/{id}',
    doc: 'One execution, with every step',
    async handle(c, { chains }) {
      const found = await chains.get(scopeOf(readQuery(c, SCOPE)), param(c, 'id'))
      if (!found) throw execution()
      return json(200, found)
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/{id}/dag',
    doc: 'The steps of an execution and the ways between them, with what has become of each; format=mermaid draws it',
    async handle(c, { chains, redact }) {
      const q = readQuery(c, [...SCOPE, 'format'])
      const scope = scopeOf(q)
      const id = param(c, 'id')
      const format = word(q, 'format', dagFormats)
      const [found, definition] = await Promise.all([chains.get(scope, id), chains.definitionOf(scope, id)])
      if (!found || !definition) throw execution()
      const dag = dagOf(definition)
      const statuses = dagStatuses(dag, found['steps'] as readonly JsonObject[])
      const shown = shownDag(dag, redact())
      if (format === 'mermaid') return dagAnswer(shown, format, statuses)
      const nodes = shown.nodes.map((n) => ({ ...n, status: statuses.get(n.id) ?? 'skipped' }))
      return json(200, { chain_id: id, status: found['status'] ?? null, ...shown, nodes })
    },
  },
  {
    method: 'GET',
    path: '/v1/chains/{id}/history',
    doc: 'What has happened to an execution, commit by commit, oldest first',
    async handle(c, { chains }) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const id = param(c, 'id')
      const scope = scopeOf(q)
      const of = ['history', ...scope, id]
      const page = await chains.history(scope, id, readPage(q, of))
      if (!page) throw execution()
      return pageOf('history', page.entries, page.next, of)
    },
  },
]

export const execution = () => notFound('chain execution with this id')

function attributeOf(text: string): { readonly name: string; readonly value: string } {
  const colon = text.indexOf(':')
  if (colon < 1) throw invalidParameter('attribute', 'expected name:value')
  return { name: text.slice(0, colon), value: text.slice(colon + 1) }
}
