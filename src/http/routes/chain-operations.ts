import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { sha256 } from '../../core/ids.ts'
import { canonicalJson, isObject, type Json, own } from '../../core/json.ts'
import { json } from '../answer.ts'
import { jsonBody, noBody } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { notRedacted } from '../placeholder.ts'
import { readQuery, SCOPE, scopeOf } from '../query.ts'
import { callerOf, idempotencyKey, param } from '../request.ts'
import type { Ctx, Route } from '../route.ts'

const name = z.string().min(1).max(128)

/** What is done to chain executions from outside. Their owner acts on what was asked: the answer says that it was. */
export const chainOperationRoutes: readonly Route[] = [
  asked(
    'cancel',
    'Ask an execution to end; a step under way is let finish, and what is done is undone where its steps say how',
  ),
  asked('pause', 'Begin nothing more until resume; a step under way is let finish, and the time limit stands still'),
  asked('resume', 'Let a paused execution go on'),
  asked('retry', 'Bring a failed execution back at its failed step; of a group only what failed runs again'),
  {
    method: 'POST',
    path: '/v1/chains/{id}/reset',
    doc: 'Bring an execution back to a step it has taken: {"step": "name"}; it and those after it run again under new tokens',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      const body = await fields(c, deps, ['step'])
      const step = text(body, 'step')
      return json(202, await deps.chains.reset(scope, param(c, 'id'), { step, by: callerOf(c) }))
    },
  },
  {
    method: 'POST',
    path: '/v1/chains/{id}/signal',
    doc: 'Send a signal: {"signal": "name", "payload": …}; one that nobody waits for yet is kept',
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      const body = notRedacted(await fields(c, deps, ['signal', 'payload']), deps)
      const key = idempotencyKey(c)
      const payload = own(body, 'payload') ?? null
      const { answer, repeated } = await deps.chains.signal(scope, param(c, 'id'), {
        name: text(body, 'signal'),
        payload,
        by: callerOf(c),
        ...(key !== undefined && { key: { text: key, hash: sha256(canonicalJson(body)) } }),
      })
      return json(202, answer, repeated ? { 'idempotent-replayed': 'true' } : {})
    },
  },
]

function asked(what: 'cancel' | 'pause' | 'resume' | 'retry', doc: string): Route {
  return {
    method: 'POST',
    path: `/v1/chains/{id}/${what}`,
    doc,
    async handle(c, deps) {
      const scope = scopeOf(readQuery(c, SCOPE))
      await noBody(c, deps.server.bodyLimitBytes)
      return json(202, await deps.chains[what](scope, param(c, 'id'), callerOf(c)))
    },
  }
}

type Fields = { readonly [key: string]: Json }
const wrong = (pointer: string, message: string): Problem =>
  new Problem(400, 'invalid_request', 'the body is not as this route takes it', { errors: [{ pointer, message }] })

async function fields(c: Ctx, deps: HttpDeps, known: readonly string[]): Promise<Fields> {
  const body = await jsonBody(c, deps.server.bodyLimitBytes)
  if (!isObject(body)) throw wrong('', `expected an object with ${known.join(', ')}`)
  for (const key of Object.keys(body))
    if (!known.includes(key)) throw wrong(`/${key}`, `unknown field; this route takes ${known.join(', ')}`)
  return body
}
function text(body: Fields, field: string): string {
  const read = name.safeParse(own(body, field))
  if (!read.success) throw wrong(`/${field}`, 'expected text of 1 to 128 characters')
  return read.data
}
