import type { Scope } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import type { Entry, StateStore } from '../../core/state.ts'
import type { Turn } from '../decide/turn.ts'
import type { Chain } from '../model/compiled.ts'
import { pastOf } from '../model/history-pages.ts'
import { type Loaded, memberIds, readRecord, readRun } from '../model/loaded.ts'
import { groupOf, hasEnded, type Ref, type Run, type StepRecord, stepId, timesEntered } from '../model/run.ts'

/** An execution with its entry, as it was read. */
export interface Found {
  readonly entry: Entry
  readonly run: Run
}
export interface Reopening {
  readonly state: StateStore
  /** What came after it is done already, so nothing follows. */
  readonly alone: boolean
  /** The execution a step waited for is brought back as well, instead of another being begun. */
  readonly again: (child: Run) => boolean
}

/** Ended without its work being done, and none of it was undone: it may go on where it stopped. */
export function isUnfinished(r: Run): boolean {
  if (!hasEnded(r) || r.undone) return false
  if (r.status === 'timed_out') return true
  // One that was cancelled by somebody has no step to go on at.
  return (r.status === 'failed' || r.status === 'cancelled') && r.cause?.step !== undefined
}

/**
 * Where an execution is to go on, with what is to be done again: the step that failed it; of a graph every step that was begun and
 * not done; of one that was done but for some steps, only these (`alone`).
 */
export function unfinishedSteps(
  run: Run,
  chain: Chain,
): { readonly steps: readonly string[]; readonly alone: boolean } {
  const at = run.cause?.step
  // Steps that were brought back by themselves stay done while they run.
  if (run.status === 'partially_completed' || (at !== undefined && run.done.includes(at)))
    return { steps: run.failures, alone: true }
  if (!chain.graph) return { steps: at === undefined ? [] : [at], alone: false }
  return { steps: Object.keys(run.entered).filter((name) => !run.done.includes(name)), alone: false }
}

/**
 * A step once more under a new iteration. Of a group only the members that failed, or were never run, run again; what the others gave
 * stands. Where an execution it waited for is to be brought back as well, it waits for that one again. Answers those.
 */
export async function reopenStep(turn: Turn, key: string, how: Reopening): Promise<readonly Found[]> {
  const iteration = timesEntered(turn.run, key)
  const { cause } = turn.from.run
  if (cause?.after && cause.step === key) {
    // It was about to be entered, and whatever it did in an earlier round stands.
    turn.say({ type: 'step_entered', step: key, iteration, prev: cause.after })
    return []
  }
  const past = await pastOf(how.state, turn.from.scope, turn.run.id, key)
  const prev = past.prev ?? lastDone(turn.from.run, iteration)
  const own = past.own < iteration - 1 && { own: past.own }
  const say = (step: string): void =>
    turn.say({
      type: 'step_entered',
      step,
      iteration,
      ...(prev && { prev }),
      ...(how.alone && { alone: true }),
      ...own,
    })
  const last = stepId(turn.run.id, key, iteration - 1)
  const [before] = iteration === 0 ? [] : await records(how.state, turn.from.scope, [last])
  const group = before && (await membersOf(turn, key, before, how))
  say(key)
  if (!group) {
    const child = before && (await childOf(turn, before, how))
    forget(turn, before)
    if (child) waitAgain(turn, key, iteration, child.run)
    return child ? [child] : []
  }
  const redo = group.members.flatMap((m, i) => (m.record?.result?.success ? [] : [i]))
  const children = redo.flatMap((i) => group.members[i]!.child ?? [])
  // Those that wait come first: they are opened here, the others as there is room.
  const order = [...redo].sort((a, b) => Number(!group.members[a]!.child) - Number(!group.members[b]!.child))
  openGroup(turn, key, before, order, iteration, group.ranIn)
  for (const i of order) {
    const { key: member, child, record } = group.members[i]!
    forget(turn, record)
    if (!child) continue
    turn.say({ type: 'step_entered', step: member, iteration, ...(prev && { prev }) })
    waitAgain(turn, member, iteration, child.run)
  }
  return children
}

/** A step that was never entered, as time ran out just before it, follows the one done last. */
function lastDone(run: Run, iteration: number): Ref | undefined {
  const step = run.done.at(-1)
  return iteration > 0 || step === undefined ? undefined : { step, iteration: timesEntered(run, step) - 1 }
}

/** What it could not deliver goes out again: the letter that kept it has done its work. */
function forget(turn: Turn, record: StepRecord | undefined): void {
  if (record?.deadLetterId !== undefined)
    turn.ops.push({ op: 'delete', kind: kinds.deadLetter, id: record.deadLetterId })
}

async function records(state: StateStore, scope: Scope, ids: readonly string[]) {
  const entries = await state.get(ids.map((id) => ({ kind: kinds.step, scope, id })))
  return entries.map((e) => e && readRecord(e.value))
}

interface Members {
  readonly ranIn: readonly number[]
  readonly members: readonly {
    readonly key: string
    readonly record: StepRecord | undefined
    readonly child: Found | undefined
  }[]
}

/** How the members of a group that was entered ended; undefined for a step that is none, or never came to them. */
async function membersOf(turn: Turn, key: string, group: StepRecord, how: Reopening): Promise<Members | undefined> {
  const { group: plan, definition } = turn.step(key)
  if (!plan) return undefined
  const total = 'parallel' in definition ? definition.parallel.branches.length : (group.items?.length ?? 0)
  if (total === 0) return undefined
  const { iteration } = group
  const ids = memberIds(turn.run, { key, iteration, group: { total } }, group, plan)
  const found = await records(
    how.state,
    turn.from.scope,
    ids.map((m) => m.id),
  )
  const members: Members['members'][number][] = []
  for (const [i, { key: member }] of ids.entries()) {
    const record = found[i]
    const failed = record && !record.result?.success
    members.push({ key: member, record, child: failed ? await childOf(turn, record, how) : undefined })
  }
  return { members, ranIn: ids.map((_, i) => group.ranIn?.[i] ?? iteration) }
}

async function childOf(turn: Turn, record: StepRecord, how: Reopening): Promise<Found | undefined> {
  if (!record.child) return undefined
  const entry = await findRun(how.state, turn.from.scope, record.child.id)
  return entry && how.again(entry.run) ? entry : undefined
}
export async function findRun(state: StateStore, scope: Scope, id: string): Promise<Found | undefined> {
  const [entry] = await state.get([{ kind: kinds.run, scope, id }])
  return entry && { entry, run: readRun(entry.value) }
}

function openGroup(
  turn: Turn,
  key: string,
  record: StepRecord,
  redo: readonly number[],
  iteration: number,
  ranIn: readonly number[],
): void {
  const { result: _r, endedAt: _e, deadLetterId: _d, ...kept } = record
  turn.keep({
    ...kept,
    iteration,
    seq: turn.run.taken,
    enteredAt: turn.now,
    ranIn: ranIn.map((ran, i) => (redo.includes(i) ? iteration : ran)),
  })
  const own = turn.step(key).definition.timeout_seconds
  turn.say({
    type: 'step_attempted',
    step: key,
    attempt: 1,
    members: ranIn.length,
    redo,
    ...(own !== undefined && { until: turn.now + own * 1000 }),
  })
}

function waitAgain(turn: Turn, key: string, iteration: number, child: Run): void {
  turn.keep({
    key,
    iteration,
    seq: turn.run.taken,
    enteredAt: turn.now,
    child: { id: child.id, chain: child.chain },
  })
  const own = turn.step(key).definition.timeout_seconds
  turn.say({
    type: 'step_attempted',
    step: key,
    attempt: child.parent?.attempt ?? 1,
    child: child.id,
    ...(own !== undefined && { until: turn.now + own * 1000, limited: true }),
  })
}

/** Whether that entry into a step, or into a member of a group, is the last one. */
export async function isLatest(
  state: StateStore,
  { scope, run, chain }: Loaded,
  key: string,
  iteration: number,
): Promise<boolean> {
  const group = groupOf(key)
  const last = timesEntered(run, group ?? key) - 1
  if (group === undefined) return last === iteration
  const plan = chain.step(group).group
  const [record] = await records(state, scope, [stepId(run.id, group, last)])
  return plan !== undefined && (record?.ranIn?.[plan.indexOf(key)] ?? last) === iteration
}
