import type { Chains } from '../chains/chains.ts'
import type { Action } from '../core/action.ts'
import { scopeOf } from '../core/action.ts'
import { Problem } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { Outcome } from '../core/outcome.ts'
import { Gathering } from '../core/passing.ts'
import type { Evaluate, Plan, TraceEntry } from '../core/plan.ts'
import type { Committed, Op } from '../core/state.ts'
import type { Rules } from '../rules/rules.ts'
import type { Schedules } from '../schedules/schedules.ts'
import { type Admission, admit, claimOf, keysOf, NOTHING_READ, type ReadBefore } from './admission.ts'
import type { Tools } from './after.ts'
import type { Behind } from './behind.ts'
import { knownProvider, namedProvider } from './door.ts'
import { dryOutcome } from './dry-run.ts'
import { type TripTools, trip } from './hot.ts'
import { type IdempotencyRequest, storedAnswer, takeIdempotency } from './idempotency.ts'
import { common } from './intent.ts'
import { createKeyTurns } from './key-turns.ts'
import { cameBack, withoutLoop } from './loop.ts'
import type { Parts } from './parts.ts'
import { refusalRecord } from './refusal-record.ts'
import { judge, type Verdict } from './refused.ts'
import type { Run } from './run.ts'
import type { Send } from './send.ts'
import { type Abandoned, takeOver } from './takeover.ts'
import { tellEnd } from './told.ts'

/**
 * 1 evaluation reads, never writes
 * 2 before the commit nobody knows of the action, after it somebody owns it
 * 3 nothing leaves before the commit it depends on is durable
 * 4 every admitted run has one run id and one audit id, and ends in one outcome or is due
 * 5 after a 202 only an effect, an explicit refusal or cancel, or a dead letter ends it
 */
export interface Gateway {
  /**
   * One action from a caller to its outcome. Throws Problem (422 `provider_unknown`, `provider_required`, `idempotency_mismatch`;
   * 409 `idempotency_in_progress`), StateUnavailable, StateUnknown.
   */
  dispatch(action: Action, request: DispatchRequest): Promise<Answer>
  /** Admitted in order, delivered concurrently, each on its own: a refused one does not stop the rest. */
  dispatchAll(
    items: readonly { readonly action: Action; readonly request: DispatchRequest }[],
  ): readonly Promise<Answer>[]
  /** The same evaluation and the same commit, with nothing written or sent. */
  dryRun(action: Action, trace: boolean, behind?: Behind): Promise<Outcome>
  /** Resolves when every delivery that nobody waits for has ended or was handed back. */
  idle(): Promise<void>
}
export interface DispatchRequest extends Behind {
  readonly caller: string
  readonly idempotency?: IdempotencyRequest
  /** `Prefer: respond-async`: answered when stored, delivered off the caller's path. */
  readonly async?: boolean
  readonly trace?: boolean
  /** Of whoever waits for it: no attempt at a provider goes beyond. Milliseconds. */
  readonly deadline?: number
}
export interface Answer {
  readonly outcome: Outcome
  /** From the store, under a repeated Idempotency-Key. */
  readonly replayed?: boolean
}

export interface GatewayTools extends Tools, TripTools {
  readonly rules: Pick<Rules, 'current' | 'hit' | 'trip'>
  readonly chains: Pick<Chains, 'startOps' | 'begin' | 'disabled'>
  readonly schedules: Pick<Schedules, 'keys'>
  /** May this chain be passed twice in one lineage? */
  readonly isReentrantChain: (name: string) => boolean
  /** Names for "did you mean". */
  readonly providerNames: () => Iterable<string>
  /** Makes the loop that has new work run now. */
  readonly nudge: (loop: 'flush' | 'copy') => void
}

/** A plan that keeps being overtaken by others is given up after so many rounds; nothing was done. */
const ROUNDS = 8

export function createGateway(parts: Parts, tools: GatewayTools, sender: Send): Gateway {
  const { env, state } = parts
  const turns = createKeyTurns(env.clock)
  const background = new Gathering<Promise<unknown>>()
  const inBackground = (work: Promise<unknown>): void => {
    const done = work.catch((error: unknown) =>
      env.log.error({ error }, 'background delivery ended without its end being stored; it will be taken up again'),
    )
    void done.finally(background.enter(done))
  }

  function newRun(action: Action, request: DispatchRequest, now: number, rulesVersion: string): Run {
    const runId = env.newId()
    return {
      runId,
      // One record per run of a caller's: the run's own id sorts by its admission.
      auditId: runId,
      kind: 'dispatch',
      action,
      scope: scopeOf(action),
      receivedAt: now,
      caller: request.caller,
      rulesVersion,
      keysVersion: runId,
      ...(request.idempotency && { idempotency: request.idempotency }),
      ...(request.lineage && { lineage: request.lineage }),
      counted: false,
      accepted: request.async === true,
    }
  }

  function planOf(input: Evaluate, { lineage, warnings = [] }: Behind): { plan: Plan; version: string } {
    const ruleset = tools.rules.current()
    const may = { rule: ruleset.isReentrant, chain: tools.isReentrantChain }
    const plan = withoutLoop(ruleset.evaluate({ ...input, internal: cameBack(lineage) }), lineage, may)
    const told = warnings.length === 0 ? plan : { ...plan, warnings: [...warnings, ...plan.warnings] }
    return { plan: told, version: ruleset.version }
  }

  interface Started {
    /** Where the plan reads before it commits: resolves with its place in the order, or its end; the next of a batch comes after it. */
    readonly admitted: Promise<unknown> | undefined
    readonly answer: Promise<Answer>
  }

  function start(action: Action, request: DispatchRequest): Started {
    knownProvider(parts, action, tools.providerNames)
    const now = env.clock.now()
    const trace: TraceEntry[] | undefined = request.trace ? [] : undefined
    const { plan, version } = planOf({ action, now, ...(trace && { trace }) }, request)
    tools.rules.hit(plan.matched, now)
    namedProvider(plan)
    const run = newRun(action, request, now, version)
    const keys = keysOf(plan)
    const place = keys.length > 0 ? Promise.withResolvers<unknown>() : undefined
    const first = place ? undefined : admit(parts, tools, run, plan)
    const committed = first && state.commit(run.scope, first.ops)
    const turn = place && turns.take(run.scope, keys, place.promise)
    const go = () => walk(run, plan, first, committed, place?.resolve, request.deadline)
    const answer = turn ? turn.then(go) : go()
    if (place) answer.then(place.resolve, place.resolve)
    const told = trace
      ? answer.then((a) => ({ ...a, outcome: { ...a.outcome, trace: trace as unknown as Json } }))
      : answer
    return { admitted: place?.promise, answer: told }
  }

  /** Admission, again where something moved, until it stands or a guard has refused. */
  async function walk(
    run: Run,
    plan: Plan,
    first: Admission | undefined,
    committed: ReturnType<typeof state.commit> | undefined,
    placed: ((done: unknown) => void) | undefined,
    deadline: number | undefined,
  ): Promise<Answer> {
    let stale: ReadonlyMap<string, string> = NOTHING_READ.stale
    for (let round = 0; round < ROUNDS; round++) {
      let admission = first
      let done = round === 0 && committed ? await committed : undefined
      if (!admission || !done) {
        admission = admit(parts, tools, run, plan, await readBefore(run, plan, stale))
        done = await state.commit(run.scope, admission.ops)
      }
      if (done.ok) {
        placed?.(done)
        const told = carryOn(run, admission, done, deadline)
        return { outcome: told instanceof Promise ? await told : told }
      }
      const verdict = await judge(parts, run, admission, done)
      if (verdict.is === 'outcome' || verdict.is === 'hot') return { outcome: await refuse(run, plan, verdict) }
      if (verdict.is === 'replayed') return { outcome: verdict.outcome, replayed: true }
      if (verdict.is === 'take_over') {
        const outcome = await goOn(run, verdict.from, deadline)
        if (outcome) return { outcome }
      }
      if (verdict.is === 'again' && verdict.stale) stale = new Map(stale).set(verdict.stale.id, verdict.stale.version)
    }
    throw new Problem(503, 'contention', 'others kept changing what this action depends on; nothing was done', {
      retryAfterMs: 100,
    })
  }

  async function readBefore(run: Run, plan: Plan, stale: ReadonlyMap<string, string>): Promise<ReadBefore> {
    const ids = keysOf(plan)
    return { keys: ids.length > 0 ? await tools.schedules.keys(run.scope, ids) : NOTHING_READ.keys, stale }
  }

  /** After the commit: what was born in it is set in motion, what must be sent is sent. No promise where there is nothing to wait for. */
  function carryOn(run: Run, admission: Admission, committed: Committed, latest?: number): Outcome | Promise<Outcome> {
    const { after } = admission
    for (const c of after.chains) void tools.chains.begin(run.scope, c.chainId, claimOf(c, c.claim, committed))
    for (const loop of after.nudge) tools.nudge(loop)
    tools.runCounts.ran(after.runs, run.receivedAt)
    const outcome = admission.complete(committed)
    if (after.intent) {
      const { intent, at, until } = after.intent
      const sent = sender.send(intent, claimOf({ at }, { owner: parts.node, until }, committed), 1, latest)
      if (!outcome) return sent.then((told) => told ?? { ...common(intent), outcome: 'accepted' })
      inBackground(sent)
    }
    const told = after.send ? sender.sendCertain(after.send, outcome!) : outcome!
    return told instanceof Promise ? told.then((t) => observed(run, t)) : observed(run, told)
  }
  function observed(run: Run, told: Outcome): Outcome {
    if (told.outcome !== 'accepted') tellEnd(parts, told, run, env.clock.now())
    return told
  }

  /** A guard refused: the record and the key's answer are a second commit, and nothing else of the plan happens. */
  async function refuse(run: Run, plan: Plan, verdict: Extract<Verdict, { is: 'outcome' | 'hot' }>): Promise<Outcome> {
    const now = env.clock.now()
    const recordOf = (told: Outcome) => refusalRecord(parts, run, plan, told, now)
    const { outcome, record } =
      verdict.is === 'hot' && verdict.trips
        ? await trip(env, tools, run, verdict.trips, verdict.outcome, recordOf)
        : { outcome: verdict.outcome, record: recordOf(verdict.outcome) }
    const ops: Op[] = []
    // While the first is under way nothing is final: should it fail for certain, a repetition may be sent.
    if (run.idempotency && outcome.outcome === 'deduplicated' && outcome.first_outcome !== 'pending') {
      const answer = storedAnswer(outcome, parts.settings().redact)
      const take = takeIdempotency(run.idempotency, { runId: run.runId, state: 'done', answer }, run.keysVersion, now)
      ops.push({ ...take, orSkip: true } as Op)
    }
    ops.push(...record)
    if (ops.length > 0) await state.commit(run.scope, ops)
    tellEnd(parts, outcome, run, env.clock.now())
    return outcome
  }

  async function goOn(run: Run, from: Abandoned, latest?: number): Promise<Outcome | undefined> {
    const taken = takeOver(parts, from, run)
    const done = await state.commit(run.scope, taken.ops)
    if (!done.ok) return undefined
    const claim = claimOf({ at: taken.at }, { owner: parts.node, until: taken.until }, done)
    const sent = sender.send(taken.intent, claim, 1, latest)
    const accepted: Outcome = { ...common(taken.intent), outcome: 'accepted' }
    if (!run.accepted) return (await sent) ?? accepted
    inBackground(sent)
    return accepted
  }

  return {
    dispatch(action, request) {
      try {
        return start(action, request).answer
      } catch (e) {
        return Promise.reject(e)
      }
    },
    dispatchAll(items) {
      // `last` settles when every earlier action has its place; only plans that read first make the next one wait.
      let last: Promise<unknown> | undefined
      return items.map(({ action, request }) => {
        if (last === undefined) {
          let started: Started
          try {
            started = start(action, request)
          } catch (e) {
            return Promise.reject(e)
          }
          last = started.admitted
          return started.answer
        }
        const begun = last.then(() => start(action, request))
        last = begun.then((s) => s.admitted).catch(() => undefined)
        return begun.then((s) => s.answer)
      })
    },
    async dryRun(action, traced, behind = {}) {
      knownProvider(parts, action, tools.providerNames)
      const now = env.clock.now()
      const trace: TraceEntry[] = []
      const { plan, version } = planOf({ action, now, ...(traced && { trace }) }, behind)
      namedProvider(plan)
      const run = newRun(action, { caller: 'dry_run', ...behind }, now, version)
      const admission = admit(parts, tools, run, plan, await readBefore(run, plan, new Map()))
      const done = await state.commit(run.scope, admission.ops, { dry: true })
      const verdict = done.ok ? undefined : await judge(parts, run, admission, done)
      return dryOutcome(run, plan, admission, verdict, traced ? trace : undefined, parts.settings().redact)
    },
    async idle() {
      while (background.size > 0) await Promise.all(background)
    },
  }
}
