import type { Action } from '../core/action.ts'
import type { Env } from '../core/env.ts'
import { ProviderError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { Lineage, LineageSigner } from '../core/lineage.ts'
import type { Provider, Receipt } from '../core/provider.ts'
import { asProviderError, attempt, NEVER } from './attempt.ts'
import type { Backoff } from './backoff.ts'
import type { Breakers } from './breakers.ts'
import { createCertain, isInstant } from './certain.ts'
import type { Deliver, Delivery, DeliveryEnd, DeliveryHooks } from './delivery.ts'
import type { Health } from './health.ts'
import { kept } from './kept.ts'
import { createLanes } from './lane.ts'
import { type AttemptSeen, type Leg, type LegDeps, runLeg } from './leg.ts'
import { type Route, type Routes, targets } from './route.ts'

/*
 * 1 Whoever calls has stored the request before the first byte; a fallback's is stored here, through the hook, before its own.
 * 2 One token, one body: what is sent is what was stored, each time.
 * 3 Back-off holds no slot, of bulkhead or breaker.
 * 4 Unknown is not failed: one attempt that may have been acted on marks the whole end.
 * 5 No attempt begins after the deadline or outlives it; after `lost` nothing more is sent.
 */

/** One row of `GET /v1/providers/health`, in wire names. */
export interface ProviderHealth extends ReturnType<Health['view']> {
  readonly provider: string
  readonly type: string
  /** Deliveries that hold a slot, and those that wait for one. */
  readonly in_flight: number
  readonly waiting: number
}
/** What `POST /v1/providers/{name}/test` answers, in wire names. */
export interface ProviderTest {
  readonly ok: boolean
  readonly duration_ms: number
  readonly code?: string
  readonly message?: string
}

export interface Delivering extends Deliver {
  /** Routes after a reload. Deliveries and tests in flight finish on the old ones; resolves when they have, so that old providers can be closed. */
  update(routes: Routes): Promise<void>
  health(): readonly ProviderHealth[]
  /** Can it be reached? Undefined: no such provider. */
  test(provider: string): Promise<ProviderTest | undefined>
}

export interface DeliverDeps {
  readonly providers: Routes
  readonly breakers: Breakers
  readonly env: Env
  readonly signer: Pick<LineageSigner, 'sign'>
  /** 200 and 10,000 ms if left out. */
  readonly backoff?: Backoff
  readonly onAttempt?: (attempt: AttemptSeen) => void
  /** Of an answer, as JSON: the rest of it is left out, as it could not be stored. Any if left out. */
  readonly mostResponseBytes?: number
}

/** The routes of one load, and who still uses them. */
interface Generation {
  readonly routes: Routes
  inFlight: number
  ended?: () => void
}

export function createDeliver(deps: DeliverDeps): Delivering {
  const { env, mostResponseBytes: most = Number.POSITIVE_INFINITY } = deps
  const legDeps: LegDeps = {
    env,
    breakers: deps.breakers,
    backoff: deps.backoff ?? { initialMs: 200, maxMs: 10_000 },
    onAttempt: deps.onAttempt ?? (() => {}),
  }
  const lanes = createLanes(env.clock, deps.providers)
  const certain = createCertain(legDeps, lanes, (name) => current.routes.get(name))
  let current: Generation = { routes: deps.providers, inFlight: 0 }

  const routeOf = (name: string): Route => {
    const route = current.routes.get(name)
    if (!route) throw new ProviderError('provider_unknown', `there is no provider "${name}"`, { retryable: true })
    return route
  }

  /** What stays on this machine is read by nobody who could hand a lineage on, and signing costs. */
  const rendered = (route: Route, action: Action, token: string, lineage: Lineage | undefined): Json => {
    const { provider } = route
    const carried = provider.hasEffect && route.lineage !== false ? lineage : undefined
    return provider.render(action, { token, ...(carried && { lineage: deps.signer.sign(carried) }) })
  }

  async function walk(routes: Routes, d: Delivery, hooks: DeliveryHooks): Promise<DeliveryEnd> {
    const sofar: Leg['sofar'] = { attempts: 0, firstAttemptAt: d.firstAttemptAt, unknown: d.unknown ?? false }
    let unknownElsewhere = d.unknownElsewhere ?? false
    let retryAt = Number.POSITIVE_INFINITY
    const tried: string[] = []
    const order = targets(routes, d.provider, d.fallback)
    const sum = () => ({ attempts: sofar.attempts, unknown: sofar.unknown || unknownElsewhere })
    const fail = (provider: string, e: ProviderError, waitMs = e.retryAfterMs): DeliveryEnd => {
      const { attempts, unknown } = sum()
      return {
        kind: 'failed',
        provider,
        code: e.code,
        message: e.message,
        retryable: e.retryable,
        unknown,
        timeout: e.timeout,
        attempts,
        ...(sofar.firstAttemptAt === undefined ? {} : { firstAttemptAt: sofar.firstAttemptAt }),
        ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
        ...(e.response === undefined
          ? {}
          : { response: { status: e.response.status, body: kept(toJson(e.response.body), most) } }),
      }
    }
    if (order[0] !== d.provider)
      return fail(
        d.provider,
        new ProviderError('provider_unknown', `there is no provider "${d.provider}"`, { retryable: true }),
      )

    for (const [i, provider] of order.entries()) {
      const route = routes.get(provider)!
      tried.push(provider)
      const seen = deps.breakers.look(provider)
      if (!seen.admitted) {
        deps.breakers.refused(provider)
        retryAt = Math.min(retryAt, seen.retryAt)
        continue
      }
      let request = d.request
      if (i > 0) {
        unknownElsewhere ||= sofar.unknown
        sofar.unknown = false
        sofar.firstAttemptAt = undefined
        try {
          request = rendered(route, d.action, d.token, d.lineage)
        } catch (e) {
          return fail(provider, asProviderError(env.log, provider, e))
        }
        if (hooks.lost.aborted || !(await hooks.store({ provider, request, unknownElsewhere }))) return { kind: 'lost' }
      }
      const { token, deadline } = d
      const end = await runLeg(legDeps, {
        provider,
        route,
        lane: lanes.of(provider),
        request,
        token,
        deadline,
        maxRetries: d.maxRetries ?? route.maxRetries,
        hooks,
        sofar,
      })
      switch (end.kind) {
        case 'lost':
          return end
        case 'failed':
          return fail(provider, end.error)
        case 'waiting': {
          const { firstAttemptAt } = sofar
          return {
            kind: 'handed_back',
            dueAt: end.dueAt,
            provider,
            ...sum(),
            unknownElsewhere,
            ...(firstAttemptAt === undefined ? {} : { firstAttemptAt }),
          }
        }
        case 'sent': {
          const { attempts, firstAttemptAt } = sofar
          return {
            ...executed(route.provider, request, end, { firstAttemptAt, unknownElsewhere }),
            provider,
            attempts,
            fallback: i > 0,
          }
        }
        case 'refused':
          retryAt = Math.min(retryAt, end.retryAt)
          // The last one to ask, and it was asked: its own words say more than "the circuit is open".
          if (end.error && i === order.length - 1)
            return fail(provider, end.error, Math.max(0, end.retryAt - env.clock.now()))
          deps.breakers.refused(provider)
      }
    }
    const retryAfterMs = Math.max(0, retryAt - env.clock.now())
    return { kind: 'circuit_open', provider: d.provider, tried, retryAfterMs, ...sum() }
  }

  /** By one attempt, at the provider it was for. */
  function executed(
    to: Provider,
    request: Json,
    { receipt, startedAt }: { readonly receipt: Receipt; readonly startedAt: number },
    sofar: { readonly firstAttemptAt?: number | undefined; readonly unknownElsewhere?: boolean },
  ): Extract<DeliveryEnd, { kind: 'executed' }> {
    // Later attempts begin later: if this one began inside the window, all did.
    const inside = startedAt - (sofar.firstAttemptAt ?? startedAt) < to.dedupWindowMs(request)
    return {
      kind: 'executed',
      provider: to.name,
      attempts: 1,
      guarantee: inside && !sofar.unknownElsewhere ? 'exactly_once' : 'at_least_once',
      response: { ...receipt, body: kept(receipt.body, most) },
      fallback: false,
    }
  }

  /** What can neither fail nor wait needs nothing of the way there. Undefined: it has to go it. */
  function atOnce({ provider, request, deadline, ...d }: Delivery, hooks: DeliveryHooks): DeliveryEnd | undefined {
    const to = current.routes.get(provider)?.provider
    const startedAt = env.clock.now()
    if (!to || !isInstant(to) || !certain.is(provider) || hooks.lost.aborted || startedAt >= deadline) return undefined
    const receipt = certain.sendNow(to, request)
    return receipt && executed(to, request, { receipt, startedAt }, d)
  }
  /** Old routes are in use until `act` has ended. */
  async function using<T>(act: (routes: Routes) => Promise<T>): Promise<T> {
    const generation = current
    generation.inFlight++
    try {
      return await act(generation.routes)
    } finally {
      if (--generation.inFlight === 0) generation.ended?.()
    }
  }

  return {
    async deliver(d, hooks) {
      try {
        return atOnce(d, hooks) ?? (await using((routes) => walk(routes, d, hooks)))
      } catch (e) {
        // The store did not confirm a fallback's request, or a fault of ours: nobody may write an end for it here.
        env.log.error(
          { provider: d.provider, action_id: d.action.id, err: e },
          'a delivery is left to whoever claims it next',
        )
        return { kind: 'lost' }
      }
    },
    deliverCertain(provider, request) {
      const to = current.routes.get(provider)?.provider
      if (!to) return undefined
      return isInstant(to) ? certain.sendNow(to, request) : using(() => certain.send(to, request))
    },
    render: (action, provider, token, lineage) => rendered(routeOf(provider), action, token, lineage),
    has: (provider) => current.routes.has(provider),
    hasEffect: (provider) => routeOf(provider).provider.hasEffect,
    certain: certain.is,
    dedupWindowMs: (provider, request) => routeOf(provider).provider.dedupWindowMs(request),
    update(routes) {
      const old = current
      current = { routes, inFlight: 0 }
      lanes.update(routes)
      if (old.inFlight === 0) return Promise.resolve()
      return new Promise((resolve) => {
        old.ended = resolve
      })
    },
    health: () =>
      [...current.routes].map(([name, { provider }]) => {
        const { bulkhead, limiter, health } = lanes.of(name)
        const waiting = bulkhead.waiting + limiter.waiting
        return { provider: name, type: provider.type, in_flight: bulkhead.inFlight, waiting, ...health.view() }
      }),
    test: (name) =>
      using(async (routes) => {
        const route = routes.get(name)
        if (!route) return undefined
        const startedAt = env.clock.now()
        const took = () => env.clock.now() - startedAt
        const send = async (_: Json, { signal }: { signal: AbortSignal }) => {
          await route.provider.check(signal)
          return { status: 200, body: null }
        }
        const check = { ...route.provider, name, send }
        try {
          await attempt(env, check, null, { token: '', timeoutMs: route.timeoutMs, lost: NEVER })
          return { ok: true, duration_ms: took() }
        } catch (e) {
          const { code, message } = asProviderError(env.log, name, e)
          return { ok: false, duration_ms: took(), code, message }
        }
      }),
  }
}

/** What a provider gives as a body of an error is whatever it could read. */
const toJson = (body: unknown): Json => (body === undefined ? null : (JSON.parse(JSON.stringify(body)) as Json))
