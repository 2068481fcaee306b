import { type Action, scopeOf } from '../core/action.ts'
import type { AuditKind } from '../core/audit.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { type Hold, kinds } from '../core/hold.ts'
import type { Lineage } from '../core/lineage.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Plan, Resume } from '../core/plan.ts'
import type { Claimed, Op } from '../core/state.ts'
import { LEASE_MS } from '../delivery/lease.ts'
import { flushAction } from '../groups/group.ts'
import { readHold, unlinkOps } from '../schedules/schedule.ts'
import type { Schedules } from '../schedules/schedules.ts'
import { tidyKeys } from '../schedules/stale-keys.ts'
import { type Admission, admit, claimOf, keysOf, NOTHING_READ } from './admission.ts'
import { goOnHeld } from './behind-first.ts'
import type { GatewayTools } from './gateway.ts'
import { trip } from './hot.ts'
import { givenUp, isLimited, type Waiting, waitAfter } from './limited.ts'
import { cameBack, withoutLoop } from './loop.ts'
import type { Parts } from './parts.ts'
import { refusalRecord } from './refusal-record.ts'
import { judge } from './refused.ts'
import type { Run } from './run.ts'
import type { Send } from './send.ts'
import { isExhausted, letterOps, putBackAt } from './settle.ts'
import { tellEnd } from './told.ts'

/**
 * Held work that has come due, admitted as a caller's action is: the same plan, the same commit, with the hold's removal in it.
 *
 * 1 a hold leaves the store only in the commit that records what became of it
 * 2 it continues after its holder, never from the top
 * 3 a limit puts it back; only attempts or age make it a dead letter
 */
export interface Held {
  /** One claimed `scheduled`, `copy` or `occurrence` entry. */
  release(entry: Claimed): Promise<void>
  /** One claimed `flush` entry. */
  flush(entry: Claimed): Promise<void>
}

export interface HeldTools extends GatewayTools {
  readonly schedules: Pick<Schedules, 'keys' | 'keyOf'>
  /** This chain is defined on this node, and not switched off. */
  readonly canStart: (chain: string) => boolean
}

interface Work {
  readonly entry: Claimed
  readonly kind: AuditKind
  readonly runId: string
  readonly auditId: string
  readonly action: Action
  readonly heldAt: number
  readonly firstDueAt: number
  readonly resume?: Resume
  readonly parentId?: string
  readonly lineage?: Lineage
  readonly rule?: string
  readonly counted: boolean
  readonly hold?: Hold
}

const ROUNDS = 8
export function createHeld(parts: Parts, tools: HeldTools, sender: Send): Held {
  const { env, state } = parts
  const keeping = { state, newId: env.newId }

  async function release(work: Work): Promise<void> {
    const now = env.clock.now()
    const ruleset = tools.rules.current()
    const { action, resume } = work
    const may = { rule: ruleset.isReentrant, chain: tools.isReentrantChain }
    const plan: Plan =
      work.kind === 'copy'
        ? {
            action,
            matched: [],
            guards: [],
            limits: [],
            effects: [],
            warnings: [],
            end: {
              kind: 'deliver',
              provider: action.provider,
              rerouted: false,
              ...(work.rule !== undefined && { rule: work.rule }),
            },
          }
        : withoutLoop(
            ruleset.evaluate({ action, now, internal: cameBack(work.lineage), ...(resume && { resume }) }),
            work.lineage,
            may,
          )
    // Those that matched before it was held were told then.
    tools.rules.hit(plan.matched.slice(resume?.matched.length ?? 0), now)
    if (lacks(plan)) return handBack(work, now)
    const stale = new Map<string, string>()
    for (let round = 0; round < ROUNDS; round++) {
      const run = await newRun(work, ruleset.version)
      const ids = keysOf(plan)
      const keys = ids.length > 0 ? await tools.schedules.keys(run.scope, ids) : NOTHING_READ.keys
      const admission = admit(parts, tools, run, plan, { keys, stale })
      const done = await state.commit(run.scope, admission.ops)
      if (done.ok) {
        await tidyKeys(keeping, run.scope, admission.ops, done)
        return carryOn(run, admission, done, work.entry.attempts)
      }
      const verdict = await judge(parts, run, admission, done)
      if (verdict.is === 'claim_lost') return
      if (verdict.is === 'take_over') {
        const went = await goOnHeld(parts, sender, run, verdict.from)
        if (went === 'moved') continue
        return
      }
      // Waiting for it is no attempt: the first may be put back for as long as it likes to, within its own age.
      if (verdict.is === 'behind')
        return comesAgain(work, run, plan, verdict.outcome, { ms: verdict.ms, counts: false })
      if (verdict.is === 'hot' && verdict.trips) await trip(env, tools, run, verdict.trips, verdict.outcome, () => [])
      if (verdict.is === 'outcome' || verdict.is === 'hot') return refused(work, run, plan, verdict.outcome)
      if (verdict.is === 'again' && verdict.stale) stale.set(verdict.stale.id, verdict.stale.version)
    }
    await putBack(work, 1000, 'contention')
  }

  async function newRun(work: Work, rulesVersion: string): Promise<Run> {
    const { entry, action, hold } = work
    const key = hold ? await tools.schedules.keyOf(hold) : undefined
    const remove: Op[] = [{ op: 'delete', kind: entry.key.kind, id: entry.key.id, ifClaim: entry.claim }]
    const unlink = hold ? unlinkOps(hold, key, env.newId()) : []
    return {
      runId: work.runId,
      auditId: work.auditId,
      kind: work.kind,
      action,
      scope: scopeOf(action),
      receivedAt: work.heldAt,
      caller: 'gateway',
      ...(work.parentId !== undefined && { parentId: work.parentId }),
      ...(work.lineage && { lineage: work.lineage }),
      rulesVersion,
      keysVersion: env.newId(),
      counted: work.counted,
      accepted: true,
      held: {
        remove,
        unlink,
        firstDueAt: work.firstDueAt,
        attempts: entry.attempts,
        ...(work.resume && { resume: work.resume }),
      },
    }
  }

  /** What this node's configuration has no name for, where another's may; or a chain that is switched off, for now. */
  function lacks(plan: Plan): boolean {
    const { end } = plan
    if (end.kind === 'chain' && !tools.canStart(end.chain)) return true
    if (end.kind === 'deliver' && end.provider !== undefined && !parts.deliver.has(end.provider)) return true
    return plan.effects.some((e) => e.kind === 'chain' && !tools.canStart(e.chain))
  }

  /** Not counted as an attempt: held work does not disappear because configuration changed. */
  async function handBack(work: Work, now: number): Promise<void> {
    const { key, value, tags, claim, attempts } = work.entry
    const op: Op = {
      op: 'put',
      kind: key.kind,
      id: key.id,
      value,
      version: env.newId(),
      ifClaim: claim,
      tags,
      dueAt: now + LEASE_MS,
      attempts: Math.max(0, attempts - 1),
    }
    await state.commit(key.scope, [op])
    env.log.warn(
      { kind: key.kind, hold_id: key.id, action_id: work.action.id },
      'held work needs a provider or chain that this node does not have, or has switched off; handed back',
    )
  }

  async function carryOn(
    run: Run,
    admission: Admission,
    committed: Extract<Awaited<ReturnType<typeof state.commit>>, { ok: true }>,
    attempts: number,
  ): Promise<void> {
    const { after } = admission
    for (const c of after.chains) void tools.chains.begin(run.scope, c.chainId, claimOf(c, c.claim, committed))
    for (const loop of after.nudge) tools.nudge(loop)
    tools.runCounts.ran(after.runs, env.clock.now())
    const outcome = admission.complete(committed)
    if (after.intent) {
      const { intent, at, until } = after.intent
      await sender.send(intent, claimOf({ at }, { owner: parts.node, until }, committed), attempts)
      return
    }
    const told = after.send ? await sender.sendCertain(after.send, outcome!) : outcome!
    tellEnd(parts, told, run, env.clock.now())
  }

  async function refused(work: Work, run: Run, plan: Plan, outcome: Outcome): Promise<void> {
    if (isLimited(outcome)) return comesAgain(work, run, plan, outcome, waitAfter(outcome))
    await close(run, plan, outcome, [])
  }

  async function comesAgain(
    work: Work,
    run: Run,
    plan: Plan,
    why: Waiting,
    { ms, counts }: ReturnType<typeof waitAfter>,
  ): Promise<void> {
    const now = env.clock.now()
    const { attempts } = work.entry
    if (!isExhausted(parts, counts ? attempts : 0, work.firstDueAt, now))
      return putBack(work, ms, why.outcome, counts ? attempts : attempts - 1)
    const failed = givenUp(run, why, attempts)
    const letter = letterOps(parts, run, plan, failed, now)
    await close(run, plan, { ...failed, dead_letter_id: letter.letterId }, letter.ops)
  }

  async function close(run: Run, plan: Plan, outcome: Outcome, more: readonly Op[]): Promise<void> {
    const { remove = [], unlink = [] } = run.held ?? {}
    const ops = [...remove, ...unlink, ...more, ...refusalRecord(parts, run, plan, outcome, env.clock.now())]
    const done = await state.commit(run.scope, ops)
    if (!done.ok) return
    await tidyKeys(keeping, run.scope, ops, done)
    tellEnd(parts, outcome, run, env.clock.now())
  }

  async function putBack(
    { entry, hold, firstDueAt }: Work,
    retryAfterMs: number,
    why: string,
    attempts = entry.attempts,
  ): Promise<void> {
    const { key, claim, tags, value } = entry
    const op: Op = {
      op: 'put',
      kind: key.kind,
      id: key.id,
      value: hold ? JSON.stringify({ ...hold, lastRefusal: why } satisfies Hold) : value,
      version: env.newId(),
      ifClaim: claim,
      tags,
      dueAt: putBackAt(parts, firstDueAt, retryAfterMs, Math.min(entry.attempts, 3), env.clock.now()),
      attempts,
    }
    await state.commit(key.scope, [op])
  }

  /** The store being away is no fault of the entry's: its claim runs out and it comes back. */
  async function unlessStoreIsAway(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (e) {
      if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
      env.log.warn({ error: e }, 'held work was interrupted by the store; it comes back when its claim ends')
    }
  }

  return {
    async release(entry) {
      const hold = readHold(entry)
      const { runId, auditId, action, heldAt, firstDueAt, counted } = hold
      await unlessStoreIsAway(
        release({
          entry,
          kind: entry.key.kind === kinds.copy ? 'copy' : entry.key.kind === kinds.occurrence ? 'occurrence' : 'release',
          runId,
          auditId,
          action,
          heldAt,
          firstDueAt,
          counted,
          hold,
          ...(hold.resume && { resume: hold.resume }),
          ...(hold.parentId !== undefined && { parentId: hold.parentId }),
          ...(hold.lineage && { lineage: hold.lineage }),
          ...(hold.rule !== undefined && { rule: hold.rule }),
        }),
      )
    },
    async flush(entry) {
      const { action, resume, runId, auditId, sealedAt: heldAt, lineage } = flushAction(entry.value)
      const flush = { action, resume, runId, auditId, heldAt, firstDueAt: heldAt, lineage } as const
      await unlessStoreIsAway(release({ entry, kind: 'flush', counted: true, ...flush }))
    },
  }
}
