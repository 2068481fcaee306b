import { Problem } from '../../core/errors.ts'
import { sha256 } from '../../core/ids.ts'
import { isObject, type Json, own } from '../../core/json.ts'
import { LINEAGE_HEADER } from '../../core/lineage.ts'
import { httpStatus } from '../../core/outcome.ts'
import { type Behind, behindAction, behindRequest } from '../../dispatch/behind.ts'
import type { Answer, DispatchRequest } from '../../dispatch/gateway.ts'
import { idempotencyId } from '../../dispatch/idempotency.ts'
import { type ReadContext, readAction } from '../../dispatch/read-action.ts'
import { json, outcomeResponse, shown } from '../answer.ts'
import { needsJson, parseJson, readBody } from '../body.ts'
import type { HttpDeps } from '../deps.ts'
import { problemBody, problemOf } from '../problem.ts'
import { flag, readQuery } from '../query.ts'
import { callerOf, header, idempotencyKey, prefersAsync } from '../request.ts'
import type { Ctx, Route } from '../route.ts'

const BATCH_MAX = 1000
const MODES = ['dry_run', 'trace'] as const

export const dispatchRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/dispatch',
    doc: 'Dispatch one action; ?dry_run=true asks what would become of it, ?trace=true also tells why',
    async handle(c, deps) {
      needsJson(c)
      const q = readQuery(c, MODES)
      const trace = flag(q, 'trace')
      const dry = flag(q, 'dry_run')
      const raw = await readBody(c, deps.server.bodyLimitBytes)
      const { action, behind } = received(readAction(parseJson(raw), readContext(deps)), behindOf(c, deps), deps)
      const redact = deps.redact()
      if (dry) return outcomeResponse(await deps.gateway.dryRun(action, trace, behind), { redact })
      const async = prefersAsync(c)
      const key = idempotencyKey(c)
      const request = requestOf(c, { async, trace }, key, key === undefined ? '' : sha256(raw))
      const { outcome, replayed } = await deps.gateway.dispatch(action, { ...request, ...behind })
      return outcomeResponse(outcome, { redact, replayed, async })
    },
  },
  {
    method: 'POST',
    path: '/v1/dispatch/batch',
    doc: `Dispatch up to ${BATCH_MAX} actions, an array or {"actions": []}; each has its own status and outcome`,
    async handle(c, deps) {
      needsJson(c)
      const q = readQuery(c, MODES)
      const modes = { async: prefersAsync(c), trace: flag(q, 'trace') }
      const key = idempotencyKey(c)
      const body = parseJson(await readBody(c, deps.server.batchLimitBytes))
      const { items, at } = itemsOf(body)
      const common = behindOf(c, deps)
      const results = flag(q, 'dry_run')
        ? items.map((item) => asked(item, modes.trace, common, deps))
        : dispatched(c, items, modes, key, common, deps)
      const settled = await Promise.allSettled(results)
      return json(200, { results: settled.map((r, i) => resultOf(r, `${at}/${i}`, deps)) })
    },
  },
]

/** What an action is read with. Exported for the routes that make actions otherwise. */
export function readContext(deps: HttpDeps): ReadContext {
  const { env } = deps
  const defaultProvider = deps.defaultProvider()
  return { newId: env.newId, now: env.clock.now(), ...(defaultProvider !== undefined && { defaultProvider }) }
}

export function requestOf(
  c: Ctx,
  modes: { readonly async: boolean; readonly trace: boolean },
  key: string | undefined,
  hash: string,
): DispatchRequest {
  const caller = callerOf(c)
  return { caller, ...modes, ...(key !== undefined && { idempotency: { id: idempotencyId(caller, key), hash } }) }
}

function itemsOf(body: Json): { readonly items: readonly Json[]; readonly at: string } {
  const named = isObject(body) && Object.keys(body).join() === 'actions' ? own(body, 'actions') : undefined
  const items = Array.isArray(body) ? (body as readonly Json[]) : named
  if (!Array.isArray(items))
    throw new Problem(400, 'invalid_batch', 'a batch is an array of actions, or {"actions": [...]} and nothing else', {
      errors: [{ pointer: named === undefined ? '' : '/actions', message: 'expected an array' }],
    })
  if (items.length > BATCH_MAX)
    throw new Problem(400, 'batch_too_large', `a batch has at most ${BATCH_MAX} actions; this one has ${items.length}`)
  return { items, at: named === undefined ? '' : '/actions' }
}

type Item = ReturnType<typeof readAction>

/** What came with the request, for each of its actions. */
export const behindOf = (c: Ctx, deps: HttpDeps): Behind => {
  const behind = behindRequest(header(c, LINEAGE_HEADER.toLowerCase()), deps.signer)
  if (behind.warnings) unsigned(deps, 'header')
  return behind
}
export function received(read: Item, common: Behind, deps: HttpDeps): ReturnType<typeof behindAction> {
  const one = behindAction(read, common, deps.signer)
  if (one.behind.warnings !== common.warnings) unsigned(deps, 'metadata')
  return one
}
const unsigned = ({ env }: HttpDeps, where: string): void =>
  env.log.warn({ where }, 'a lineage that this gateway has not signed was ignored')

async function asked(item: Json, trace: boolean, common: Behind, deps: HttpDeps): Promise<Answer> {
  const { action, behind } = received(readAction(item, readContext(deps)), common, deps)
  return { outcome: await deps.gateway.dryRun(action, trace, behind) }
}

/** The readable ones go to the gateway in one go, in their order; what cannot be read is refused in its place. */
function dispatched(
  c: Ctx,
  items: readonly Json[],
  modes: { readonly async: boolean; readonly trace: boolean },
  key: string | undefined,
  common: Behind,
  deps: HttpDeps,
): readonly Promise<Answer>[] {
  const results: Promise<Answer>[] = []
  const good: { action: Item; request: DispatchRequest }[] = []
  const places: number[] = []
  for (const [i, item] of items.entries())
    try {
      const { action, behind } = received(readAction(item, readContext(deps)), common, deps)
      const own = key === undefined ? undefined : `${key}/${i}`
      const request = requestOf(c, modes, own, own === undefined ? '' : sha256(JSON.stringify(item)))
      good.push({ action, request: { ...request, ...behind } })
      places.push(i)
    } catch (e) {
      results[i] = Promise.reject(e)
      // Looked at with all others, later.
      results[i].catch(() => undefined)
    }
  for (const [n, answer] of deps.gateway.dispatchAll(good).entries()) results[places[n]!] = answer
  return results
}

function resultOf(settled: PromiseSettledResult<Answer>, at: string, deps: HttpDeps): object {
  if (settled.status === 'fulfilled') {
    const { outcome, replayed } = settled.value
    const told = shown(outcome, deps.redact())
    return { status: httpStatus(outcome), ...told, ...(replayed && { idempotent_replayed: true }) }
  }
  const p = problemOf(settled.reason, { log: deps.env.log, newId: deps.env.newId })
  deps.stats.problem(p)
  // Pointers are into the body as it was sent, which is the whole batch.
  const errors = p.errors.map((e) => ({ ...e, pointer: e.pointer.startsWith('?') ? e.pointer : at + e.pointer }))
  return { ...problemBody(p), ...(errors.length > 0 && { errors }) }
}
