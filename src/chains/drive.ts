import type { Env } from '../core/env.ts'
import { kinds } from '../core/hold.ts'
import type { Op, StateStore } from '../core/state.ts'
import { LEASE_MS, type Lease } from '../delivery/lease.ts'
import { writeRun } from './commit.ts'
import {
  cancelled,
  contextOf,
  type Decision,
  endRecordOps,
  enterStep,
  handBack,
  stepEnded,
  stepOf,
  type Tools,
  timedOut,
} from './decide.ts'
import { endingOps } from './ending.ts'
import { type Loaded, readCancel } from './load.ts'
import { cancelId, hasEnded, runTags, type StepRecord } from './run.ts'
import { KEPT_FOR_EVER, putStep } from './start.ts'
import type { Entered } from './step-kind.ts'

/*
 * 1 One writer: every commit puts the execution under the claim it is driven by. Others leave messages and wake it.
 * 2 Its record is the fold of its history (advance), and a step's result is in the same commit.
 * 3 What a step sends is stored before its first byte; after a crash the same bytes go out under the same token.
 * 4 A child is a function of parent, step and iteration, born in the commit that makes its parent wait.
 * 5 Every commit asks that no cancel has come that was not looked at; a terminal status is final.
 * 6 It is always due: while claimed when the claim runs out, else at its deadline at the latest.
 */

export interface Driver extends Tools {
  readonly state: StateStore
  readonly env: Env
  /** The time a provider step may take in one go. Milliseconds. */
  readonly stepDeadlineMs: () => number
  /** An execution was born by a commit, claimed by this node. */
  readonly born: (at: Loaded, child: string) => void
  /** Something else may be due now. */
  readonly woke: () => void
}
export interface Driving {
  readonly lease: Lease
  /** Just born, so that nothing can have been sent for the step it is at. */
  readonly fresh: boolean
  /** Aborts on a stop of the process or a cancel: back-off ends at once, attempts under way are let finish. */
  readonly interrupt: AbortSignal
  readonly stopping: () => boolean
}

/** How long an execution waits for a node that has what its step needs. */
const LACKING_MS = 5000

/** Drives an execution as far as it goes: to its end, to a wait, or until it is handed back or its claim is lost. */
export async function drive(tools: Driver, loaded: Loaded, how: Driving): Promise<void> {
  const { env } = tools
  let at = loaded
  let resuming = !how.fresh

  /** Commits a decision and goes on from there. True: there is more to do. */
  const settle = async (decide: (at: Loaded, now: number) => Decision): Promise<boolean> => {
    const decision = await commit(tools, at, how.lease, decide)
    if (!decision) return false
    at = decision.after
    if (decision.child !== undefined) tools.born(at, decision.child)
    if (hasEnded(decision.run) && (decision.run.parent || loaded.run.at.child)) tools.woke()
    return !hasEnded(decision.run) && decision.dueAt === undefined
  }

  for (;;) {
    const now = env.clock.now()
    const { run, cancel } = at
    const late = now >= run.deadline
    // A parent that timed out cancels its child, whose own time is then over too: that is what it died of.
    if (cancel && !(cancel.request.fromParent && late)) {
      await settle((seen, t) => cancelled(seen, (seen.cancel ?? cancel).request.by, t))
      return
    }
    // A child's end that has come is the step's, however late: it may be what completes the execution.
    if (late && !at.childEnd) {
      const entered = wanted(tools, at, now)
      await settle((seen, t) => timedOut(tools, seen, t, resuming, entered))
      return
    }
    if (run.at.notBefore !== undefined && run.at.notBefore > now)
      return giveBack(tools, at, how.lease, Math.min(run.at.notBefore, run.deadline))
    if (how.stopping()) return giveBack(tools, at, how.lease, now)

    const step = stepOf(at)
    if (!at.record) {
      const entered = step.kind.enter(step.definition, contextOf(tools, at, now))
      if (entered.lacks !== undefined) return lacking(tools, at, how.lease, entered.lacks)
      const { failed } = entered
      if (failed) {
        if (await settle((seen, t) => over(seen, t, entered.record, failed))) continue
        return
      }
      if (entered.store) {
        if (
          !(await settle((seen, t) =>
            seen.cancel ? cancelled(seen, seen.cancel.request.by, t) : enterStep(tools, seen, entered),
          ))
        )
          return
      } else at = { ...at, record: entered.record }
      resuming = false
    }

    const own = step.definition.timeout_seconds
    const acted = await step.kind.act(step.definition, {
      ...contextOf(tools, at, env.clock.now()),
      record: at.record!,
      clock: env.clock,
      resuming,
      deadline: Math.min(
        run.deadline,
        env.clock.now() + tools.stepDeadlineMs(),
        own === undefined ? Number.POSITIVE_INFINITY : env.clock.now() + own * 1000,
      ),
      hooks: { lost: how.lease.lost, stopping: how.interrupt },
      store: (record) => storeRecord(tools, at, how.lease, record),
      childEnd: at.childEnd,
    })
    switch (acted.kind) {
      case 'lost':
        return
      case 'lacks':
        return lacking(tools, at, how.lease, acted.what)
      case 'waits':
        return giveBack(tools, at, how.lease, run.deadline)
      case 'handed_back': {
        const { dueAt, record } = acted
        await settle((seen, t) =>
          seen.cancel ? cancelled(seen, seen.cancel.request.by, t) : handBack(tools, seen, record, dueAt, t),
        )
        return
      }
      case 'ended':
        if (!(await settle((seen, t) => over(seen, t, acted.record, acted)))) return
        resuming = false
    }
  }

  function over(seen: Loaded, t: number, record: StepRecord, failure: Parameters<typeof stepEnded>[3]): Decision {
    return stepEnded(tools, seen, record, failure, t, how.stopping())
  }
}

/** What the step a late execution is at would have sent. A fault in rendering it must not keep the execution from its end. */
function wanted(tools: Driver, at: Loaded, now: number): Entered | undefined {
  if (at.record || at.run.at.child !== undefined) return undefined
  const step = stepOf(at)
  try {
    return step.kind.enter(step.definition, contextOf(tools, at, now))
  } catch (e) {
    tools.env.log.error({ chain_id: at.run.id, step: step.name, err: e }, 'a step that timed out could not be rendered')
    return undefined
  }
}

/** One commit of one decision; decided again when a cancel has come meanwhile. Undefined: the claim is lost. */
async function commit(
  tools: Driver,
  loaded: Loaded,
  lease: Lease,
  decide: (at: Loaded, now: number) => Decision,
): Promise<Decision | undefined> {
  const { state, env } = tools
  for (let at = loaded; ; ) {
    const now = env.clock.now()
    const decision = decide(at, now)
    const { run } = decision
    const version = tools.newId()
    const inbox = cancelId(run.id)
    const claim = { ifClaim: lease.claim, value: JSON.stringify(run), version, tags: runTags(run) }
    const put = { op: 'put', kind: kinds.run, id: run.id, ...claim } as const
    const ops: Op[] = [{ op: 'delete', kind: kinds.inbox, id: inbox, ifVersion: at.cancel?.version ?? null }]
    if (hasEnded(run)) {
      const child = at.run.status === 'waiting' && !at.childEnd ? at.run.at.child : undefined
      const byParent = at.cancel?.request.fromParent === true
      ops.push({ ...put, expiresAt: KEPT_FOR_EVER }, ...decision.ops, ...endRecordOps(tools, decision))
      ops.push(
        ...endingOps(run, decision.after.results.get(run.at.step), {
          child,
          byParent,
          newId: tools.newId,
          now,
        }),
      )
    } else if (decision.dueAt !== undefined) ops.push({ ...put, dueAt: decision.dueAt }, ...decision.ops)
    else ops.push({ ...put, claim: { owner: lease.claim.owner, until: now + LEASE_MS } }, ...decision.ops)

    const written = await writeRun({ state, env }, at.scope, run.id, ops, version, lease)
    if (written.kind === 'done') return decision
    if (written.kind === 'lost' || written.at !== 0) {
      env.log.warn({ chain_id: run.id }, 'an execution has another owner now; this one stops')
      return undefined
    }
    const [entry] = await state.get([{ kind: kinds.inbox, scope: at.scope, id: inbox }])
    const { cancel: _seen, ...rest } = at
    at = { ...rest, cancel: readCancel(entry) }
  }
}

/** A record of the step under way, stored before what it says is done; the touch proves the claim. */
async function storeRecord(tools: Driver, at: Loaded, lease: Lease, record: StepRecord): Promise<boolean> {
  const { run, scope } = at
  const done = await tools.state.commit(scope, [
    { op: 'touch', kind: kinds.run, id: run.id, ifClaim: lease.claim, until: tools.env.clock.now() + LEASE_MS },
    putStep(run.id, record, tools.newId()),
  ])
  return done.ok
}

/** Ends the claim and changes nothing; a wake-up that came meanwhile makes it due at once. */
async function giveBack(tools: Driver, at: Loaded, lease: Lease, dueAt: number): Promise<void> {
  await tools.state.commit(at.scope, [{ op: 'touch', kind: kinds.run, id: at.run.id, ifClaim: lease.claim, dueAt }])
  tools.woke()
}

async function lacking(tools: Driver, at: Loaded, lease: Lease, what: string): Promise<void> {
  const { env } = tools
  env.log.warn({ chain_id: at.run.id, step: at.run.at.step, lacks: what }, 'an execution waits for what its step needs')
  const dueAt = env.clock.now() + LACKING_MS * (1 + env.random.float())
  return giveBack(tools, at, lease, Math.min(Math.ceil(dueAt), at.run.deadline))
}
