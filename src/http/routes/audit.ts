import { GLOBAL, type Scope } from '../../core/action.ts'
import { type AuditFilter, auditKinds } from '../../core/audit.ts'
import { notFound } from '../../core/errors.ts'
import { joinParts, sha256 } from '../../core/ids.ts'
import { auditOnlyTags, outcomeTags } from '../../core/outcome.ts'
import { replayAction } from '../../dispatch/replay.ts'
import { outcomeResponse } from '../answer.ts'
import { noBody } from '../body.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { flag, moment, type Query, readQuery, SCOPE, scopeOf, word } from '../query.ts'
import { idempotencyKey, param, prefersAsync } from '../request.ts'
import type { Route } from '../route.ts'
import { requestOf } from './dispatch.ts'

export const FILTERS = [
  'provider',
  'action_type',
  'outcome',
  'rule',
  'kind',
  'caller',
  'chain_id',
  'group_id',
  'action_id',
] as const
const TIMES = ['from', 'to'] as const

/** Administrative records live in the empty scope: `?namespace=&tenant=` asks for them. */
export const auditScope = (q: Query<'namespace' | 'tenant'>): Scope =>
  q.namespace === '' && q.tenant === '' ? GLOBAL : scopeOf(q)

/** Of these kinds there are records in the empty scope alone: who asks for one, and for no scope, means that. */
const OF_NO_SCOPE: readonly (string | undefined)[] = ['admin', 'breaker']
const listScope = (q: Query<'namespace' | 'tenant' | 'kind'>): Scope =>
  q.namespace === undefined && q.tenant === undefined && OF_NO_SCOPE.includes(q.kind) ? GLOBAL : auditScope(q)

const OUTCOMES = [...outcomeTags, ...auditOnlyTags]

/** A word that no record can have would find nothing for ever: it is refused. */
export function columnsOf(q: Query<(typeof FILTERS)[number]>): Omit<AuditFilter, 'from' | 'to'> {
  const outcome = word(q, 'outcome', OUTCOMES)
  const kind = word(q, 'kind', auditKinds)
  return {
    ...(q.provider !== undefined && { provider: q.provider }),
    ...(q.action_type !== undefined && { actionType: q.action_type }),
    ...(outcome !== undefined && { outcome }),
    ...(q.rule !== undefined && { rule: q.rule }),
    ...(kind !== undefined && { kind }),
    ...(q.caller !== undefined && { caller: q.caller }),
    ...(q.chain_id !== undefined && { chainId: q.chain_id }),
    ...(q.group_id !== undefined && { groupId: q.group_id }),
    ...(q.action_id !== undefined && { actionId: q.action_id }),
  }
}

function filterOf(q: Query<(typeof FILTERS)[number] | (typeof TIMES)[number]>): AuditFilter {
  const from = moment(q, 'from')
  const to = moment(q, 'to')
  return {
    ...columnsOf(q),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
  }
}

const pageFrom = ({ limit, after }: ReturnType<typeof readPage>) => ({
  limit,
  ...(after !== undefined && { cursor: after }),
})

export const auditRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/audit',
    doc: 'Audit records, newest first, by provider, action_type, outcome, rule, kind, chain_id, group_id, caller, action_id, from and to',
    async handle(c, { audit }) {
      const q = readQuery(c, [...SCOPE, ...PAGE, ...FILTERS, ...TIMES])
      const scope = listScope(q)
      const of = ['audit', ...scope]
      const page = await audit.query(scope, filterOf(q), pageFrom(readPage(q, of)))
      return pageOf('records', page.records, page.nextCursor, of)
    },
  },
  {
    method: 'GET',
    path: '/v1/audit/{action_id}',
    doc: 'The audit records of one action',
    async handle(c, { audit }) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const scope = auditScope(q)
      const actionId = param(c, 'action_id')
      const of = ['audit', ...scope, actionId]
      const asked = readPage(q, of)
      const page = await audit.query(scope, { actionId }, pageFrom(asked))
      if (page.records.length === 0 && asked.after === undefined && page.nextCursor === undefined)
        throw notFound('audit record of an action with this id')
      return pageOf('records', page.records, page.nextCursor, of)
    },
  },
  {
    method: 'POST',
    path: '/v1/audit/{action_id}/replay',
    doc: 'Dispatch a recorded action again, as a new one',
    async handle(c, deps) {
      const q = readQuery(c, [...SCOPE, 'trace'])
      const scope = scopeOf(q)
      await noBody(c, deps.server.bodyLimitBytes)
      const actionId = param(c, 'action_id')
      const { audit, auditPolicy: policy, env } = deps
      const action = await replayAction({ audit, policy, env }, scope, actionId)
      const modes = { async: prefersAsync(c), trace: flag(q, 'trace') }
      // The action is made anew each time: what the key stands for is the one it was made of.
      const request = requestOf(c, modes, idempotencyKey(c), sha256(joinParts(['replay', actionId])))
      const { outcome, replayed } = await deps.gateway.dispatch(action, request)
      return outcomeResponse(outcome, { redact: deps.redact(), replayed, async: modes.async })
    },
  },
]
