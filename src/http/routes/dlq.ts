import { z } from 'zod'
import { notFound } from '../../core/errors.ts'
import { parseWire } from '../../core/wire.ts'
import { deadLetterView, getDeadLetter, listDeadLetters } from '../../delivery/dead-letters.ts'
import type { Redriven } from '../../dispatch/redrive.ts'
import { json, noContent, outcomeResponse, shown } from '../answer.ts'
import { noBody, optionalBody } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { PAGE, pageOf, readPage } from '../page.ts'
import { flag, readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, param } from '../request.ts'
import type { Route } from '../route.ts'

const manySchema = z.strictObject({
  provider: z.string().min(1).optional(),
  code: z.string().min(1).optional(),
  /** Also those whose caller was told that it failed, and may have repeated it. */
  include_told: z.boolean().default(false),
  force: z.boolean().default(false),
})

const view = (r: Redriven, deps: HttpDeps): object =>
  'resumed' in r ? { redriven: r.id, resumed: r.resumed } : { redriven: r.id, ...shown(r.outcome, deps.redact()) }

export const dlqRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/dlq',
    doc: 'Dead letters, newest first, by provider and code',
    async handle(c, { state, redact }) {
      const q = readQuery(c, [...SCOPE, ...PAGE, 'provider', 'code'])
      const scope = scopeOf(q)
      const of = ['dlq', ...scope]
      const { provider, code } = q
      const filter = { ...(provider !== undefined && { provider }), ...(code !== undefined && { code }) }
      const page = await listDeadLetters(state, scope, { ...readPage(q, of), ...filter })
      const hide = redact()
      return pageOf(
        'dead_letters',
        page.letters.map((l) => deadLetterView(l, hide)),
        page.next,
        of,
      )
    },
  },
  {
    method: 'POST',
    path: '/v1/dlq/redrive',
    doc: 'Send dead letters again by {"provider", "code"}; those whose caller was told only with "include_told": true',
    async handle(c, deps) {
      const q = readQuery(c, [...SCOPE, ...PAGE])
      const scope = scopeOf(q)
      const of = ['redrive', ...scope]
      const page = readPage(q, of)
      const body = await optionalBody(c, deps.server.bodyLimitBytes)
      const { provider, code, include_told: includeTold, force } = parseWire(manySchema, body, 'redrive')
      const filter = { ...(provider !== undefined && { provider }), ...(code !== undefined && { code }) }
      const by = { caller: callerOf(c), force }
      const done = await deps.redrive.many(scope, { ...page, ...filter, includeTold }, by)
      const redriven = done.redriven.map((r) => view(r, deps))
      return pageOf('redriven', redriven, done.next, of, {
        skipped: done.skipped.map(({ id, code: why }) => ({ id, code: why })),
      })
    },
  },
  {
    method: 'GET',
    path: '/v1/dlq/{id}',
    doc: 'One dead letter',
    async handle(c, { state, redact }) {
      const letter = await getDeadLetter(state, scopeOf(readQuery(c, SCOPE)), param(c, 'id'))
      if (!letter) throw notFound('dead letter with this id')
      return json(200, deadLetterView(letter, redact()))
    },
  },
  {
    method: 'POST',
    path: '/v1/dlq/{id}/redrive',
    doc: 'Send one dead letter again; ?force=true although its dedup key has been delivered since',
    async handle(c, deps) {
      const q = readQuery(c, [...SCOPE, 'force'])
      const scope = scopeOf(q)
      const by = { caller: callerOf(c), force: flag(q, 'force') }
      await noBody(c, deps.server.bodyLimitBytes)
      const done = await deps.redrive.one(scope, param(c, 'id'), by)
      if ('resumed' in done) return json(202, view(done, deps))
      return outcomeResponse(done.outcome, { redact: deps.redact(), more: { redriven: done.id } })
    },
  },
  {
    method: 'DELETE',
    path: '/v1/dlq/{id}',
    doc: 'Delete a dead letter, audited',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      await deps.redrive.remove(scope, param(c, 'id'), callerOf(c))
      return noContent()
    },
  },
]
