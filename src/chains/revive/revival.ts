import type { Scope } from '../../core/action.ts'
import type { Env } from '../../core/env.ts'
import { Problem } from '../../core/errors.ts'
import { kinds } from '../../core/hold.ts'
import type { Entry, Op, StateStore } from '../../core/state.ts'
import { LEASE_MS } from '../../delivery/lease.ts'
import { openReady } from '../decide/advance.ts'
import { type Tools, Turn } from '../decide/turn.ts'
import { isAloft } from '../model/due.ts'
import { type Orphan, putOrphans, take } from '../model/inbox.ts'
import { type Loaded, load } from '../model/loaded.ts'
import { lineUp } from '../model/lock.ts'
import { groupOf, hasEnded, type Run, runTags } from '../model/run.ts'
import { putHistory } from '../model/start.ts'
import { type Found, findRun, isUnfinished, reopenStep, unfinishedSteps } from './reopen-step.ts'

/** Executions brought back in one commit, at most. */
const MOST_AT_ONCE = 1000

/** Who brings an execution back, and how that is called in its history. */
export interface How {
  readonly as: 'redriven' | 'retried' | 'reset'
  readonly by: string
  /** Part of the same commit; looked at first. */
  readonly also?: readonly Op[]
}
/** What happens to the execution that is asked for; the others go on where they stopped. */
export interface Change {
  /** No longer done. */
  readonly undone: readonly string[]
  /** Answers the executions that it waits for again. */
  apply(turn: Turn, again: (child: Run) => boolean): Promise<readonly Found[]>
}
export interface RevivalDeps {
  readonly state: StateStore
  readonly env: Env
  readonly owner: string
  readonly tools: Tools
  /** Tells the driver of another execution, if it is here, that it has mail. */
  readonly poke: (id: string) => void
}

export const movedOn = (why: string): Problem =>
  new Problem(409, 'chain_moved_on', `the execution cannot go on at this step: ${why}`)

export async function loaded(state: StateStore, scope: Scope, run: Run, tools: Tools): Promise<Loaded> {
  const at = await load(state, scope, run, tools.chainOf)
  if (!at) throw movedOn('what it began with is gone')
  return at
}

/** An execution that has ended or is paused, with what has happened to it, only if it is as it was read and nobody has it. */
export function putBack(
  { version: before }: Entry,
  { run, events }: Turn,
  version: string,
  due: Pick<Extract<Op, { op: 'put' }>, 'claim' | 'dueAt'>,
): readonly Op[] {
  const next: Run = { ...run, seq: run.seq + 1 }
  return [
    {
      op: 'put',
      kind: kinds.run,
      id: run.id,
      value: JSON.stringify(next),
      version,
      tags: runTags(next),
      ifVersion: before,
      ifUnclaimed: true,
      ...due,
    },
    putHistory(run.id, next.seq, events, version),
  ]
}

/**
 * Brings an execution back, in one commit with all that wait for it and all below that it waits for again. What has been done stands:
 * each goes on where it stopped, under new iterations and so new tokens.
 */
export async function revive(deps: RevivalDeps, scope: Scope, found: Found, how: How, change: Change): Promise<void> {
  const { state, env, owner, tools } = deps
  const now = env.clock.now()
  const line = await lineOf(deps, scope, found)
  const inLine = new Set(line.map((f) => f.run.id))
  const again = (child: Run): boolean => inLine.has(child.id) || isUnfinished(child)
  const ops: Op[] = [...(how.also ?? [])]
  const told: Orphan[] = []
  let count = 0

  async function bring({ entry, run }: Found, above?: { readonly latest: number; readonly root: Run }): Promise<void> {
    if (++count > MOST_AT_ONCE)
      throw new Problem(409, 'too_many_failed', `more than ${MOST_AT_ONCE} executions would have to be brought back`)
    const at = await loaded(state, scope, run, tools)
    // Of one that is paused: what went out before its node died, and nobody saw the end of.
    const resumed = new Set(run.open.filter((t) => isAloft(t, at.records.get(t.key))).map((t) => t.key))
    const turn = new Turn(tools, at, now, { acting: new Set(), holds: true, resumed })
    const deadline = now + run.timeoutMs
    const root = above?.root ?? run
    const target = run.id === found.run.id
    const waits = line[line.findIndex((f) => f.run.id === run.id) - 1]
    const what = target ? change : goingOn(state, at, waits?.run)
    // One that is only paused has its lock, or its place in line, still.
    const lock = above || !run.lock || !hasEnded(run) ? undefined : { id: run.lock.id, place: env.newId() }
    const under = above && root.lock && { lock: root.lock.id, root: root.id }
    turn.say({
      type: 'reopened',
      how: how.as,
      by: how.by,
      deadline,
      undone: what.undone,
      ...(above && { latest: above.latest }),
      ...(lock && { lock }),
      ...(under && { under }),
    })
    const children = await what.apply(turn, again)
    if (waits && !children.some((c) => c.run.id === waits.run.id)) throw movedOn('its parent waits for another by now')
    const version = env.newId()
    ops.push(
      ...putBack(entry, turn, version, target ? { claim: { owner, until: now + LEASE_MS } } : { dueAt: now }),
      // What was said to it after its end was answered so.
      ...(hasEnded(run) ? at.inbox.map(take) : []),
      ...turn.ops,
      ...putOrphans(run.id, turn.orphans, version),
      ...(lock ? lineUp(run.id, lock, version) : []),
    )
    const latest = Math.min(deadline, above?.latest ?? Number.POSITIVE_INFINITY)
    told.push(...turn.orphans)
    for (const child of children) await bring(child, { latest, root })
  }
  await bring(line.at(-1)!)
  const done = await state.commit(scope, ops)
  if (!done.ok) throw movedOn('it, or its letter, has changed meanwhile')
  for (const { id } of told) deps.poke(id)
}

/** The execution and all that wait for it, the root last. A parent that has taken the failure its own way does not want it to go on. */
async function lineOf({ state, tools }: RevivalDeps, scope: Scope, found: Found): Promise<readonly Found[]> {
  const out = [found]
  // One that has not ended has its parent waiting for it still.
  if (!hasEnded(found.run)) return out
  for (let { parent } = found.run; parent; parent = out.at(-1)!.run.parent) {
    const next = await findRun(state, scope, parent.id)
    if (!next) throw movedOn('its parent is gone')
    const { run } = next
    const at = groupOf(parent.step) ?? parent.step
    if (!hasEnded(run) || run.undone) throw movedOn(`its parent is ${run.status}`)
    const { chain } = await loaded(state, scope, run, tools)
    if (!isUnfinished(run) && run.status !== 'partially_completed') throw movedOn(`its parent is ${run.status}`)
    if (!unfinishedSteps(run, chain).steps.includes(at)) throw movedOn(`its parent is ${run.status}`)
    out.push(next)
  }
  return out
}

/** Goes on at every step that was not done; of one that is done but for some, at the one that waits for what is brought back. */
function goingOn(state: StateStore, { run, chain }: Loaded, waits: Run | undefined): Change {
  const { steps, alone } = unfinishedSteps(run, chain)
  const step = waits?.parent && (groupOf(waits.parent.step) ?? waits.parent.step)
  return stepsAgain(state, alone && step !== undefined ? [step] : steps, alone)
}
export const stepsAgain = (state: StateStore, steps: readonly string[], alone: boolean): Change => ({
  undone: alone ? [] : steps,
  async apply(turn, again) {
    const children: Found[] = []
    for (const step of steps) children.push(...(await reopenStep(turn, step, { state, alone, again })))
    if (turn.from.chain.graph && !alone) openReady(turn)
    return children
  },
})
