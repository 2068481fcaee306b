import { kinds } from '../../core/hold.ts'
import { LEASE_MS, type Lease } from '../../delivery/lease.ts'
import { endStep } from '../decide/advance.ts'
import { settleGroup } from '../decide/group.ts'
import { Turn } from '../decide/turn.ts'
import { endUndo } from '../decide/undo.ts'
import { dropTask, undeliverable } from '../decide/wind-down.ts'
import { type Loaded, readRun, recordId } from '../model/loaded.ts'
import { groupOf, groupTask, hasEnded, type Run, type StepRecord, type Task, taskOf } from '../model/run.ts'
import { putStep } from '../model/start.ts'
import type { ActContext, Acted } from '../model/step-kind.ts'
import type { Driver } from './driver.ts'
import { persevere } from './persevere.ts'

export interface Flight {
  /** Ends back-off at once; an attempt under way is let finish. */
  readonly stop: AbortController
  readonly ended: Promise<FlightEnd>
}
/** What the end of an attempt does to the execution; or that the claim is lost; or what this node lacks. */
export type FlightEnd = ((turn: Turn) => void) | 'lost' | { readonly lacks: string }

interface How {
  /** An earlier claim may have made an attempt. */
  readonly resuming: boolean
  /** Aborts when another may do it, or nobody waits here for its end. */
  readonly lost: AbortSignal
}

/** Does what was stored for one open step, outside of any turn. */
export function flightOf(tools: Driver, at: Loaded, task: Task, lease: Lease, how: How): Flight {
  const stop = new AbortController()
  return { stop, ended: fly(tools, at, task, lease, how, stop.signal) }
}

async function fly(
  tools: Driver,
  at: Loaded,
  task: Task,
  lease: Lease,
  { resuming, lost }: How,
  stopping: AbortSignal,
): Promise<FlightEnd> {
  const { clock } = tools.env
  const step = at.chain.step(task.key)
  const turn = new Turn(tools, at, clock.now(), { acting: new Set(), holds: false, resumed: new Set() })
  const record = at.records.get(task.key)!
  const own = deadlineOf(tools, at, task)
  const deadline = isWithin(at.run, task, own) ? own : await withinAbove(tools, at, own, lost)
  const aboveEnds = deadline < own ? deadline : Number.POSITIVE_INFINITY
  const context: ActContext = {
    ...turn.context(task),
    record,
    clock,
    resuming,
    deadline,
    once: task.undo === true || step.retry !== undefined,
    hooks: { lost, stopping },
    store: (r) => storeRecord(tools, at, task, lease, lost, r),
    dispatch: tools.dispatch,
  }
  const acts = task.undo ? step.undo!.does.act : step.does.act!
  const acted = await acts(context)
  if (acted.kind === 'lost') return 'lost'
  if (acted.kind !== 'lacks')
    return (t) => {
      t.aboveEnds = aboveEnds
      land(t, task, record, acted)
    }
  if (clock.now() < at.run.deadline) return { lacks: acted.what }
  // Its time is over, and still nobody has what it takes.
  const unknown = resuming || record.sending?.unknown === true
  return (t) => land(t, task, record, { kind: 'ended', record, ...undeliverable(t, record, acted.what, unknown) })
}

function deadlineOf(tools: Driver, { run, chain }: Loaded, task: Task): number {
  const now = tools.env.clock.now()
  const own = task.undo ? undefined : chain.step(task.key).definition.timeout_seconds
  return Math.min(
    run.deadline,
    now + tools.stepDeadlineMs(),
    own === undefined ? Number.POSITIVE_INFINITY : now + own * 1000,
    // No attempt outlives its group's time.
    groupTask(run, task)?.until ?? Number.POSITIVE_INFINITY,
  )
}

const isWithin = ({ latest }: Run, task: Task, until: number): boolean =>
  task.undo === true || latest === undefined || until <= latest

/** No attempt goes beyond the time of those above either, unless they are paused: then that stands still. */
async function withinAbove(
  { state, env }: Driver,
  { run, scope }: Loaded,
  own: number,
  lost: AbortSignal,
): Promise<number> {
  let most = own
  for (let at = run; at.parent && at.latest !== undefined && at.latest < most; ) {
    const { id, step } = at.parent
    const got = await persevere(env, lost, () => state.get([{ kind: kinds.run, scope, id }]))
    const entry = got?.answer[0]
    const above = entry && readRun(entry.value)
    if (!above || hasEnded(above)) return most
    const waits = taskOf(above, step)
    const ends = [above.deadline, waits?.until, waits && groupTask(above, waits)?.until]
    if (!above.paused) most = Math.min(most, ...ends.filter((t) => t !== undefined))
    at = above
  }
  return most
}

function land(turn: Turn, task: Task, sent: StepRecord, acted: Exclude<Acted, { kind: 'lost' | 'lacks' }>): void {
  const { key } = task
  if (turn.task(key)?.iteration !== task.iteration) return
  if (acted.kind === 'ended') {
    if (task.undo) endUndo(turn, key, acted.record, acted)
    else endStep(turn, key, acted.record, acted)
    return
  }
  // Back-off, or a stop: it goes on then, and no stray wake-up before.
  const { record } = acted
  turn.records.set(key, record)
  turn.ops.push(putStep(turn.run.id, recordId(turn.run, task), record, turn.tools.newId()))
  // Counted before it was made, and not made.
  const unmade = (record.attempts ?? 0) === (sent.attempts ?? 0)
  turn.say({ type: 'step_backed_off', step: key, not_before: acted.dueAt, ...(unmade && { unmade }) })
  const group = groupTask(turn.run, task)
  if (groupOf(key) === undefined || task.undo || (group && !group.group?.stopped)) return
  dropTask(turn, turn.task(key)!)
  if (group) settleGroup(turn, group.key, endStep)
}

/** A record of the step under way, stored before what it says is done; the touch proves the claim. */
async function storeRecord(
  tools: Driver,
  { run, scope }: Loaded,
  task: Task,
  { claim }: Lease,
  lost: AbortSignal,
  record: StepRecord,
): Promise<boolean> {
  const put = putStep(run.id, recordId(run, task), record, tools.newId())
  const done = await persevere(tools.env, lost, () => {
    const until = tools.env.clock.now() + LEASE_MS
    return tools.state.commit(scope, [{ op: 'touch', kind: kinds.run, id: run.id, ifClaim: claim, until }, put])
  })
  return done?.answer.ok ?? false
}
