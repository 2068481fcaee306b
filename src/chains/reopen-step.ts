import { kinds } from '../core/hold.ts'
import type { StateStore } from '../core/state.ts'
import { prevOf } from './history-pages.ts'
import { memberIds, readRecord } from './loaded.ts'
import { groupOf, type Run, type StepRecord, stepId } from './run.ts'
import type { Turn } from './turn.ts'

/**
 * A step that failed, once more under a new iteration. Of a group only the members that failed, or were never run, run again; what
 * the others gave stands. `alone`: what came after it is done already, so nothing follows.
 */
export async function reopenStep(
  state: StateStore,
  turn: Turn,
  key: string,
  { alone }: { readonly alone: boolean },
): Promise<void> {
  const iteration = turn.run.entered[key] ?? 0
  const prev = await prevOf(state, turn.from.scope, turn.run.id, key)
  const say = (): void =>
    turn.say({ type: 'step_entered', step: key, iteration, ...(prev && { prev }), ...(alone && { alone: true }) })
  const group = await membersOf(state, turn, key, iteration - 1)
  say()
  if (!group) return
  const redo = group.flatMap((m, i) => (m.success ? [] : [i]))
  openGroup(turn, key, group.record, redo, iteration, group.ranIn)
}

type Members = readonly { readonly success: boolean }[] & {
  readonly record: StepRecord
  readonly ranIn: readonly number[]
}

/** How the members of a group that was entered ended; undefined for a step that is none, or never came to them. */
async function membersOf(state: StateStore, turn: Turn, key: string, iteration: number): Promise<Members | undefined> {
  const plan = turn.step(key).group
  if (!plan || iteration < 0) return undefined
  const { scope } = turn.from
  const [entry] = await state.get([{ kind: kinds.step, scope, id: stepId(turn.run.id, key, iteration) }])
  if (!entry) return undefined
  const record = readRecord(entry.value)
  const definition = turn.step(key).definition
  const total = 'parallel' in definition ? definition.parallel.branches.length : (record.items?.length ?? 0)
  if (total === 0) return undefined
  const ids = memberIds(turn.run, { key, iteration, group: { total } }, record, plan)
  const entries = await state.get(ids.map(({ id }) => ({ kind: kinds.step, scope, id })))
  const members = entries.map((e) => ({ success: e !== undefined && readRecord(e.value).result?.success === true }))
  return Object.assign(members, { record, ranIn: ids.map((_, i) => record.ranIn?.[i] ?? iteration) })
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

/** A parent waits again for the execution it failed with. */
export async function waitAgain(state: StateStore, turn: Turn, child: Run): Promise<void> {
  const { step: key } = child.parent!
  const group = groupOf(key)
  const top = group ?? key
  const iteration = turn.run.entered[top] ?? 0
  const prev = await prevOf(state, turn.from.scope, turn.run.id, top)
  if (group === undefined) turn.say({ type: 'step_entered', step: key, iteration, ...(prev && { prev }) })
  else {
    const members = await membersOf(state, turn, group, iteration - 1)
    if (!members) throw new Error(`execution ${turn.run.id} has lost the group "${group}"`)
    const index = turn.step(group).group!.indexOf(key)
    turn.say({ type: 'step_entered', step: group, iteration, ...(prev && { prev }) })
    openGroup(turn, group, members.record, [index], iteration, members.ranIn)
    turn.say({ type: 'step_entered', step: key, iteration, ...(prev && { prev }) })
  }
  turn.keep({
    key,
    iteration,
    seq: turn.run.taken,
    enteredAt: turn.now,
    child: { id: child.id, chain: child.chain },
  })
  turn.say({ type: 'step_attempted', step: key, attempt: child.parent!.attempt, child: child.id })
}
